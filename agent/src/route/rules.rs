//! From a VirtualService as written to its table for one service port: which rules exist there, and until where.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    clusters::Clusters,
    conditions,
    delegates::MergedRule,
    exposure::Exposure,
    findings::{Findings, Site},
    matcher::Block,
    open::Opener,
    policies::{Object, Policies},
    table::{BlockId, Table},
};
use crate::{
    config::istio::VirtualService,
    record::{Accounts, RuleAccount, RuleKey},
};

/// Compiles tables; what it found out about clusters and faults is kept over all of them.
pub(super) struct Compiler<'a, 'r> {
    pub(super) clusters: Clusters<'a>,
    pub(super) findings: Findings<'r>,
    pub(super) exposure: Exposure,
    pub(super) policies: Policies<'a>,
}

/// What became of a rule in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Present,
    /// The list ended before it, at this rule.
    CutOff(usize),
    /// Filtered out.
    Absent,
}

impl<'a> Compiler<'a, '_> {
    pub(super) fn table(
        &mut self,
        written: &'a VirtualService,
        rules: &[MergedRule<'a>],
        listener: u16,
        accounts: &Accounts,
    ) -> (Table, Vec<Fate>) {
        let mut table = Table::new("VirtualService", written.meta.qualified());
        table.blocks.reserve_exact(rules.iter().map(|rule| rule.route.matches.len().max(1)).sum());
        let mut fates = Vec::with_capacity(rules.len());
        let mut ended_by = None;
        let mirrors = rules.iter().any(|it| it.route.mirror.is_some() || !it.route.mirrors.is_empty());
        for ((index, rule), key) in rules.iter().enumerate().zip(rule_keys(written, rules)) {
            let root = rule.root();
            let site = root.item("http", rule.index);
            // Both are done for a rule out of reach as well, so that all of its faults are told.
            let (blocks, ends) = self.blocks(rule, index, listener, &site, &mut table);
            let mut meaning = self.meaning(&rule.route, &written.meta.namespace, listener, &site);
            meaning.policy = self.policies.of(&objects(written, rule), &names(rule, &key));
            let fate = match ended_by {
                Some(rule) => Fate::CutOff(rule),
                None if blocks.is_empty() => Fate::Absent,
                None => Fate::Present,
            };
            if fate == Fate::Present {
                let seen: Vec<_> = blocks.iter().map(|(_, block)| block).collect();
                self.expose(&meaning, &seen, &site, ("VirtualService", &rule.origin.meta));
                let account = account(key, mirrors, accounts);
                let mut opener = Opener::new(account, meaning, &mut self.clusters, accounts);
                for (id, block) in blocks {
                    let ways = opener.ways(block.matched(), &mut self.clusters);
                    table.push(id, block, &ways);
                }
                ended_by = ends.then_some(index);
            }
            fates.push(fate);
        }
        (table.whole(), fates)
    }

    /// The blocks that exist for this port, and whether the last one ends the list.
    fn blocks(
        &mut self,
        rule: &MergedRule<'_>,
        index: usize,
        listener: u16,
        site: &Site<'_>,
        table: &mut Table,
    ) -> (Vec<(BlockId, Block)>, bool) {
        if rule.route.matches.is_empty() {
            return (vec![(BlockId::whole(index), Block::any())], true);
        }
        let (mut blocks, mut ends) = (Vec::new(), false);
        let sources_known = self.clusters.known.sources();
        for (number, written) in rule.route.matches.iter().enumerate() {
            let id = BlockId::new(index, number);
            let site = site.item("match", number);
            match conditions::Reader::new(&mut self.findings, site, sources_known).block(written, listener) {
                Ok(block) if !ends => {
                    ends = block.is_catch_all();
                    blocks.push((id, block));
                }
                Ok(_) => {}
                Err(why) => table.leave_out(id, why),
            }
        }
        (blocks, ends)
    }
}

/// The virtual service and, where it has one, the rule's delegate.
fn objects<'m>(written: &'m VirtualService, rule: &'m MergedRule<'_>) -> Vec<Object<'m>> {
    let mut objects = vec![Object::virtual_service(written)];
    objects.extend(Some(Object::virtual_service(rule.origin)).filter(|origin| !objects.contains(origin)));
    objects
}

/// As metrics call it, and as it was written.
fn names<'m>(rule: &'m MergedRule<'_>, key: &'m RuleKey) -> Vec<&'m str> {
    let own = rule.origin.http.get(rule.index).and_then(|rule| rule.name.as_deref());
    let mut names = vec![key.rule.as_str()];
    names.extend(own.filter(|own| !names.contains(own)));
    names
}

/// A rule's name, or its index when it has none.
fn rule_keys(written: &VirtualService, rules: &[MergedRule<'_>]) -> Vec<Arc<RuleKey>> {
    let mut texts = BTreeSet::new();
    let names = rules.iter().map(|rule| rule.route.name.as_deref());
    keys(&written.meta.qualified(), names, &mut texts)
}

/// The books of a rule. Those of a table that mirrors nothing are kept with the rule alone: nobody asks for them, and
/// there are many.
pub(super) fn account(key: Arc<RuleKey>, mirrors: bool, accounts: &Accounts) -> Arc<RuleAccount> {
    if mirrors { accounts.rule(&key) } else { Arc::new(RuleAccount::new(key)) }
}

/// Istio allows equal names; accounts must not be shared by them.
pub(super) fn keys<'n>(
    object: &str,
    names: impl Iterator<Item = Option<&'n str>>,
    taken: &mut BTreeSet<String>,
) -> Vec<Arc<RuleKey>> {
    let object: Arc<str> = object.into();
    let keys = names.enumerate().map(|(index, name)| {
        let name = name.filter(|name| !name.is_empty());
        let rule = unique(taken, name.map_or_else(|| index.to_string(), str::to_owned));
        Arc::new(RuleKey { virtual_service: Arc::clone(&object), rule })
    });
    keys.collect()
}

pub(super) fn unique(taken: &mut BTreeSet<String>, text: String) -> String {
    let again = (2..).map(|nth| format!("{text}#{nth}"));
    let free = std::iter::once(text.clone()).chain(again).find(|t| !taken.contains(t)).unwrap_or(text);
    taken.insert(free.clone());
    free
}
