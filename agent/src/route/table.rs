//! The rules of one service port: the first match decides.

use std::sync::Arc;

use super::{Rule, CapturedPort, matcher::Block, source::Source, ways::Ways};
use crate::message::RequestHead;

/// Those of one VirtualService, or of the routes attached to a service, in order.
#[derive(Debug, Default)]
pub(super) struct Table {
    blocks: Vec<(Block, Arc<Ways>)>,
}

/// The tables that speak for a service port, the strongest first. One speaks for a client when it has any block for it
/// at all; every other one is then not asked, whatever the request ("nothing generated" against "nothing matched").
#[derive(Debug, Default)]
pub(super) struct Ruling(pub(super) Vec<Arc<Table>>);

impl Table {
    pub(super) fn push(&mut self, block: Block, ways: &Arc<Ways>) {
        self.blocks.push((block, Arc::clone(ways)));
    }

    fn decide(&self, head: &RequestHead<'_>, source: Option<&Source>, at: CapturedPort) -> Option<&Arc<Rule>> {
        let (_, ways) = self.blocks.iter().find(|(block, _)| block.matches(head, source))?;
        Some(ways.rule(head, at))
    }

    /// No block came into being: Istio then passes the VirtualService over for this port.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Whether it speaks for every client.
    pub(super) fn is_for_all(&self) -> bool {
        self.blocks.iter().any(|(block, _)| block.source.is_empty())
    }

    fn is_for(&self, source: Option<&Source>) -> bool {
        self.blocks.iter().any(|(block, _)| block.source.holds(source))
    }

    fn mirrors(&self) -> bool {
        self.blocks.iter().any(|(_, ways)| ways.mirrors())
    }

    pub(super) fn asks_for_source(&self) -> bool {
        self.blocks.iter().any(|(block, _)| !block.source.is_empty())
    }
}

impl Ruling {
    pub(super) fn decide(
        &self,
        head: &RequestHead<'_>,
        source: Option<&Source>,
        at: CapturedPort,
    ) -> Option<&Arc<Rule>> {
        self.0.iter().find(|table| table.is_for(source))?.decide(head, source, at)
    }

    pub(super) fn mirrors(&self) -> bool {
        self.0.iter().any(|table| table.mirrors())
    }

    pub(super) fn asks_for_source(&self) -> bool {
        self.0.iter().any(|table| table.asks_for_source())
    }
}
