//! From a VirtualService as written to its table for one service port: which rules exist there, and until where.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Mirror, Rule,
    clusters::{Clusters, Place},
    conditions,
    findings::{Findings, Site},
    matcher::Block,
    precedence,
    share::Share,
    table::Table,
};
use crate::{
    config::{
        Code,
        istio::{HttpRoute, VirtualService},
    },
    record::{Accounts, MirrorKey, RuleKey},
};

/// Compiles tables; what it found out about clusters and faults is kept over all of them.
pub(super) struct Compiler<'a, 'r> {
    pub(super) clusters: Clusters<'a>,
    pub(super) findings: Findings<'r>,
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
        virtual_service: &'a VirtualService,
        listener: u16,
        accounts: &Accounts,
    ) -> (Table, Vec<Fate>) {
        let (mut table, mut fates) = (Table::default(), Vec::new());
        let mut ended_by = None;
        for ((index, route), key) in virtual_service.http.iter().enumerate().zip(rule_keys(virtual_service)) {
            let site = precedence::site(virtual_service).field(format_args!("http[{index}]"));
            if route.delegate.is_some() {
                let what = "is not honoured yet: this rule produces nothing";
                self.findings.add(Code::NotHonoured, &route.at, &site.field("delegate"), what, None);
                fates.push(Fate::Absent);
                continue;
            }
            // Both are done for a rule out of reach as well, so that all of its faults are told.
            let (blocks, ends) = self.blocks(route, listener, &site);
            let mirrors = self.mirrors(route, &virtual_service.meta.namespace, listener, &site);
            let fate = match ended_by {
                Some(rule) => Fate::CutOff(rule),
                None if blocks.is_empty() => Fate::Absent,
                None => Fate::Present,
            };
            if fate == Fate::Present {
                let rule = Arc::new(open(key, mirrors, &mut self.clusters, accounts));
                blocks.into_iter().for_each(|block| table.push(block, &rule));
                ended_by = ends.then_some(index);
            }
            fates.push(fate);
        }
        (table, fates)
    }

    /// The blocks that exist for this port, and whether the last one ends the list.
    fn blocks(&mut self, route: &HttpRoute, listener: u16, site: &Site) -> (Vec<Block>, bool) {
        if route.matches.is_empty() {
            return (vec![Block::any()], true);
        }
        let (mut blocks, mut ends) = (Vec::new(), false);
        for (index, written) in route.matches.iter().enumerate() {
            let site = site.field(format_args!("match[{index}]"));
            let block = conditions::Reader::new(&mut self.findings, site).block(written, listener);
            if let Some(block) = block.filter(|_| !ends) {
                ends = block.is_catch_all();
                blocks.push(block);
            }
        }
        (blocks, ends)
    }
}

/// Opens the accounts of a rule that is in force.
fn open<'a>(
    key: Arc<RuleKey>,
    mirrors: Vec<(Place<'a>, Share)>,
    clusters: &mut Clusters<'a>,
    accounts: &Accounts,
) -> Rule {
    let mut texts = BTreeSet::new();
    let mirrors = mirrors.into_iter().map(|(place, share)| {
        let mirror = unique(&mut texts, place.text());
        let account = accounts.account(&MirrorKey { rule: (*key).clone(), mirror });
        Arc::new(Mirror { account, share, cluster: clusters.cluster(place) })
    });
    Rule { mirrors: mirrors.collect(), key }
}

/// A rule's name, or its index when it has none.
fn rule_keys(virtual_service: &VirtualService) -> Vec<Arc<RuleKey>> {
    let mut texts = BTreeSet::new();
    let rules = virtual_service.http.iter().enumerate().map(|(index, route)| {
        let name = route.name.clone().filter(|name| !name.is_empty());
        let rule = unique(&mut texts, name.unwrap_or_else(|| index.to_string()));
        Arc::new(RuleKey { virtual_service: virtual_service.meta.qualified(), rule })
    });
    rules.collect()
}

/// Istio allows equal names and equal mirrors; accounts must not be shared by them.
fn unique(taken: &mut BTreeSet<String>, text: String) -> String {
    let again = (2..).map(|nth| format!("{text}#{nth}"));
    let free = std::iter::once(text.clone()).chain(again).find(|t| !taken.contains(t)).unwrap_or(text);
    taken.insert(free.clone());
    free
}
