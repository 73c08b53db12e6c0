//! The rules of one service port: the first match decides.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    CapturedPort, Rule,
    conditions::Absent,
    matcher::{self, Block},
    paths::Paths,
    source::Source,
    ways::{Members, Ways},
};
use crate::message::RequestHead;

/// Those of one VirtualService, or of the routes attached to a service, in order.
#[derive(Debug)]
pub(super) struct Table {
    /// The kind of the object that speaks.
    pub(super) kind: &'static str,
    /// `namespace/name` of the object; of the service, where several routes speak together.
    pub(super) object: String,
    pub(super) blocks: Vec<Entry>,
    /// Of a long one.
    paths: Option<Paths>,
    /// What was written and does not exist for this port.
    pub(super) absent: Vec<(BlockId, Absent)>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: BlockId,
    pub(super) block: Block,
    pub(super) ways: Arc<Ways>,
}

/// Where a block was written: the rule's index, and the match's within it, if the rule has any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BlockId {
    pub(super) rule: u32,
    pub(super) block: Option<u32>,
}

/// The tables that speak for a service port, the strongest first. One speaks for a client when it has any block for it
/// at all; every other one is then not asked, whatever the request ("nothing generated" against "nothing matched").
#[derive(Debug, Default)]
pub(super) struct Ruling {
    /// For the clients of the service's own namespace, who also stand for those whom nobody knows.
    pub(super) tables: Vec<Arc<Table>>,
    /// Where `exportTo` tells clients apart.
    pub(super) others: Option<Box<Others>>,
}

/// The tables for clients of other namespaces.
#[derive(Debug)]
pub(super) struct Others {
    /// By the namespaces that some `exportTo` singles out.
    pub(super) named: BTreeMap<String, Vec<Arc<Table>>>,
    pub(super) rest: Vec<Arc<Table>>,
}

/// The same tables, not merely equal ones.
impl PartialEq for Ruling {
    fn eq(&self, other: &Self) -> bool {
        same_tables(&self.tables, &other.tables) && self.others == other.others
    }
}

impl PartialEq for Others {
    fn eq(&self, other: &Self) -> bool {
        let same = |((a, seen), (b, other)): ((&String, &Vec<_>), (&String, &Vec<_>))| {
            a == b && same_tables(seen, other)
        };
        same_tables(&self.rest, &other.rest)
            && self.named.len() == other.named.len()
            && self.named.iter().zip(&other.named).all(same)
    }
}

fn same_tables(one: &[Arc<Table>], other: &[Arc<Table>]) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| Arc::ptr_eq(a, b))
}

impl BlockId {
    pub(super) fn new(rule: usize, block: usize) -> Self {
        Self { block: u32::try_from(block).ok(), ..Self::whole(rule) }
    }

    pub(super) fn whole(rule: usize) -> Self {
        Self { rule: u32::try_from(rule).unwrap_or(u32::MAX), block: None }
    }
}

impl Table {
    pub(super) fn new(kind: &'static str, object: String) -> Self {
        Self { kind, object, blocks: Vec::new(), paths: None, absent: Vec::new() }
    }

    pub(super) fn push(&mut self, id: BlockId, block: Block, ways: &Arc<Ways>) {
        self.blocks.push(Entry { id, block, ways: Arc::clone(ways) });
    }

    pub(super) fn leave_out(&mut self, id: BlockId, why: Absent) {
        self.absent.push((id, why));
    }

    /// No block is pushed any more.
    pub(super) fn whole(mut self) -> Self {
        self.blocks.shrink_to_fit();
        self.paths = Paths::of(self.blocks.iter().map(|entry| &entry.block.path));
        self
    }

    /// The first match.
    pub(super) fn find(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Option<&Entry> {
        match &self.paths {
            Some(paths) => {
                let (path, _) = matcher::path_and_query(head);
                let matches = |block: usize| self.blocks[block].block.matches(head, source);
                paths.first(path.as_bytes(), matches).map(|block| &self.blocks[block])
            }
            None => self.blocks.iter().find(|entry| entry.block.matches(head, source)),
        }
    }

    /// No block came into being: Istio then passes the VirtualService over for this port.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether it speaks for every client.
    pub(super) fn is_for_all(&self) -> bool {
        self.blocks.iter().any(|entry| entry.block.source.is_empty())
    }

    pub(super) fn is_for(&self, source: Option<&Source>) -> bool {
        self.blocks.iter().any(|entry| entry.block.source.holds(source))
    }

    pub(super) fn mirrors(&self) -> bool {
        self.blocks.iter().any(|entry| entry.ways.mirrors())
    }

    fn asks_for_source(&self) -> bool {
        self.blocks.iter().any(|entry| !entry.block.source.is_empty())
    }
}

impl Ruling {
    /// The table that speaks for a client.
    pub(super) fn table(&self, source: Option<&Source>) -> Option<&Table> {
        let tables = match (&self.others, source) {
            (Some(others), Some(Source { namespace, .. })) => {
                others.named.get(namespace).unwrap_or(&others.rest)
            }
            _ => &self.tables,
        };
        tables.iter().find(|table| table.is_for(source)).map(|table| &**table)
    }

    pub(super) fn decide(
        &self,
        head: &RequestHead<'_>,
        source: Option<&Source>,
        at: CapturedPort,
    ) -> Option<&Arc<Rule>> {
        self.table(source)?.find(head, source).map(|entry| entry.ways.rule(head, at))
    }

    pub(super) fn mirrors(&self) -> bool {
        self.all().any(|table| table.mirrors())
    }

    pub(super) fn asks_for_source(&self) -> bool {
        self.others.is_some() || self.tables.iter().any(|table| table.asks_for_source())
    }

    /// The endpoints that rules which mirror send requests to under another host than the service's own.
    pub(super) fn of_others(&self, host: &str) -> impl Iterator<Item = &Members> {
        self.all().flat_map(|table| &table.blocks).flat_map(move |entry| entry.ways.of_others(host))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Table>> {
        let others =
            self.others.iter().flat_map(|others| others.named.values().flatten().chain(&others.rest));
        self.tables.iter().chain(others)
    }
}
