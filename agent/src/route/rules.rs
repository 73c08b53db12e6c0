//! From a VirtualService as written to its table for one service port: which rules exist there, and what each mirrors.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Mirror, Rule,
    clusters::{Clusters, Place},
    conditions,
    findings::{Findings, Site},
    matcher::Block,
    precedence,
    share::{Share, Written},
    table::Table,
};
use crate::{
    config::{
        Code,
        istio::{Destination, HttpRoute, VirtualService},
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

/// The service port a table is for, and the object it comes from.
struct Context<'a, 's> {
    virtual_service: &'a VirtualService,
    listener: u16,
    accounts: &'s Accounts,
}

impl<'a> Compiler<'a, '_> {
    pub(super) fn table(
        &mut self,
        virtual_service: &'a VirtualService,
        listener: u16,
        accounts: &Accounts,
    ) -> (Table, Vec<Fate>) {
        let context = Context { virtual_service, listener, accounts };
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
            let mirrors = self.mirrors(route, &context, &site);
            let fate = match ended_by {
                Some(rule) => Fate::CutOff(rule),
                None if blocks.is_empty() => Fate::Absent,
                None => Fate::Present,
            };
            if fate == Fate::Present {
                let rule = Arc::new(open(key, mirrors, &mut self.clusters, context.accounts));
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

    /// Every mirror that can get a copy: `mirror`, then `mirrors` in order.
    fn mirrors(
        &mut self,
        route: &'a HttpRoute,
        context: &Context<'a, '_>,
        site: &Site,
    ) -> Vec<(Place<'a>, Share)> {
        let mut found = Vec::new();
        if let Some(destination) = &route.mirror {
            let field = site.field("mirror");
            found.extend(self.mirror(destination, &Written::of_rule(route), context, &field, site));
        }
        for (index, policy) in route.mirrors.iter().enumerate() {
            let policy_site = site.field(format_args!("mirrors[{index}]"));
            if let Some(destination) = &policy.destination {
                let field = policy_site.field("destination");
                found.extend(self.mirror(
                    destination,
                    &Written::of_policy(policy),
                    context,
                    &field,
                    &policy_site,
                ));
            }
        }
        if found.is_empty() || !self.answers_by_itself(route, site) && self.has_primary(route, context, site)
        {
            return found;
        }
        Vec::new()
    }

    fn mirror(
        &mut self,
        destination: &'a Destination,
        written: &Written<'_>,
        context: &Context<'a, '_>,
        site: &Site,
        parent: &Site,
    ) -> Option<(Place<'a>, Share)> {
        let namespace = &context.virtual_service.meta.namespace;
        let place = match self.clusters.locate(destination, namespace, context.listener) {
            Ok(place) => place,
            Err(fault) => {
                self.findings.add(fault.code, fault.at, &site.field(fault.field), fault.what, fault.hint);
                return None;
            }
        };
        if written.share == Share::NONE {
            let at = written.at.unwrap_or(&destination.at);
            let (what, hint) = match written.percent {
                None => (
                    "has no value, which means 0: nothing is mirrored".into(),
                    Some("leave it out for 100 %".into()),
                ),
                Some(0.0) => ("is 0: nothing is mirrored".to_owned(), None),
                Some(percent) => (
                    format!("{percent} rounds to nothing: nothing is mirrored"),
                    Some("the smallest share is 0.0001 %".to_owned()),
                ),
            };
            self.findings.add(Code::MirrorsNothing, at, &parent.field(&written.field), what, hint);
            return None;
        }
        if self.clusters.cluster(place).endpoints.is_empty() {
            let what = format!("`{}` has no endpoints: every copy will be dropped", place.text());
            let hint = "see `endpoints` of its ServiceEntry and `labels` of the subset".to_owned();
            self.findings.add(Code::NoEndpoints, &destination.at, site, what, hint);
        }
        Some((place, written.share))
    }

    fn answers_by_itself(&mut self, route: &HttpRoute, site: &Site) -> bool {
        let redirect = route.redirect.as_ref().map(|at| ("redirect", at));
        let answer = redirect.or(route.direct_response.as_ref().map(|at| ("directResponse", at)));
        if let Some((field, at)) = answer {
            let what = "answers by itself, so this rule never mirrors";
            self.findings.add(Code::MirrorsNothing, at, &site.field(field), what, None);
        }
        answer.is_some()
    }

    /// Without a cluster for the primary Envoy answers 503 and mirrors nothing. One known destination is enough: which
    /// of them a request went to is not known here.
    fn has_primary(&mut self, route: &'a HttpRoute, context: &Context<'a, '_>, site: &Site) -> bool {
        let several = route.route.len() > 1;
        let mut known = false;
        for (index, primary) in route.route.iter().enumerate() {
            // A single destination's weight means nothing; among several, 0 means it is not there.
            if several && primary.weight.as_ref().is_none_or(|w| w.value <= 0) {
                continue;
            }
            let namespace = &context.virtual_service.meta.namespace;
            match self.clusters.locate(&primary.destination, namespace, context.listener) {
                Ok(_) => known = true,
                Err(fault) => {
                    let site = site.field(format_args!("route[{index}].destination.{}", fault.field));
                    let what = format!("{}; Istio answers 503 there and mirrors nothing", fault.what);
                    self.findings.add(Code::UnknownPrimary, fault.at, &site, what, fault.hint);
                }
            }
        }
        known
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
