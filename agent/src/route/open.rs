//! Puts a rule in force: opens the accounts of its mirrors and lays out its ways.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    Enforced, Mirror, Policy, Rule, Share, Unmirrored, alter,
    changes::{Changes, Matched},
    clusters::{Clusters, Place},
    mirrors::{Meaning, Mirrored},
    rules::unique,
    ways::{Preflight, Ways},
};
use crate::record::{Account, Accounts, MirrorKey, RuleAccount};

/// A rule and its ways so far: rewrites of a path depend on what a match compared.
pub(super) struct Opener<'a> {
    meaning: Meaning<'a>,
    mirrors: Vec<(Arc<Account>, Share, Place<'a>)>,
    /// Without mirrors, for whatever reason.
    plain: Rule,
    made: Vec<(Matched, Arc<Ways>)>,
}

impl<'a> Opener<'a> {
    pub(super) fn new(
        account: Arc<RuleAccount>,
        mut meaning: Meaning<'a>,
        clusters: &mut Clusters<'a>,
        accounts: &Accounts,
    ) -> Self {
        let mut texts = BTreeSet::new();
        let mut open = |Mirrored { place, share, .. }: Mirrored<'a>| {
            let text = clusters.text(place);
            let name = unique(&mut texts, text.to_string());
            let mirror = if *name == *text { text } else { name.into() };
            let books = accounts.account(&MirrorKey { rule: Arc::clone(&account.key), mirror });
            clusters.cluster(place);
            (books, share, place)
        };
        let mirrors = match meaning.unmirrored {
            Some(_) => Vec::new(),
            None => meaning.mirrors.drain(..).map(&mut open).collect(),
        };
        let destinations = meaning.primaries.iter().map(|primary| primary.destination.clone()).collect();
        let (action, unmirrored) = (meaning.action, meaning.unmirrored);
        let plain = Rule { account, action, destinations, mirrors: Box::default(), unmirrored };
        Self { meaning, mirrors, plain, made: Vec::new() }
    }

    /// The ways of this rule under a match that compared so much of the path.
    pub(super) fn ways(&mut self, matched: Matched, clusters: &mut Clusters<'a>) -> Arc<Ways> {
        // Only a replacement of the matched part tells matches apart.
        let matched = if self.meaning.rewritten.is_some() { matched } else { Matched::Whole };
        if let Some((_, known)) = self.made.iter().find(|(known, _)| *known == matched) {
            return Arc::clone(known);
        }
        let ways = Arc::new(self.new_ways(matched, clusters));
        self.made.push((matched, Arc::clone(&ways)));
        ways
    }

    fn new_ways(&self, matched: Matched, clusters: &mut Clusters<'a>) -> Ways {
        if self.mirrors.is_empty() {
            let unmirrored = Arc::new(self.plain.clone());
            return Ways { destinations: Box::default(), preflight: None, unmirrored };
        }
        let path = self.meaning.rewritten.as_ref().map(|rewritten| rewritten.change(matched));
        let mut rules = Vec::<(Option<Arc<Changes>>, Arc<Rule>)>::new();
        let mut destinations = Vec::with_capacity(self.meaning.primaries.len());
        for primary in &self.meaning.primaries {
            let (authority, headers) = (primary.authority.clone(), primary.headers.clone());
            let changes = alter::some(Changes { path: path.clone(), authority, headers });
            let rule = match rules.iter().find(|(known, _)| *known == changes) {
                Some((_, rule)) => Arc::clone(rule),
                None => {
                    let rule = Arc::new(self.rule(changes.as_ref(), clusters));
                    rules.push((changes, Arc::clone(&rule)));
                    rule
                }
            };
            destinations.push((clusters.members(primary.place), rule));
        }
        let preflight = self.meaning.cors.as_ref().map(|cors| {
            let (origins, answers_all) = (cors.origins.clone(), cors.answers_all);
            Box::new(Preflight { origins, answers_all, rule: self.unmirrored(Unmirrored::Preflight) })
        });
        let destinations = destinations.into();
        Ways { destinations, preflight, unmirrored: self.unmirrored(Unmirrored::Elsewhere) }
    }

    fn rule(&self, changes: Option<&Arc<Changes>>, clusters: &mut Clusters<'a>) -> Rule {
        let mirror = |(account, share, place): &(Arc<Account>, Share, Place<'a>)| {
            Arc::new(Mirror {
                account: Arc::clone(account),
                share: *share,
                cluster: clusters.cluster(*place),
                changes: changes.cloned(),
                timeout: self.meaning.timeout,
                enforced: self.meaning.policy.as_ref().map(|policy| enforce(policy, account)),
            })
        };
        Rule { mirrors: self.mirrors.iter().map(mirror).collect(), ..self.plain.clone() }
    }

    fn unmirrored(&self, why: Unmirrored) -> Arc<Rule> {
        Arc::new(Rule { unmirrored: Some(why), ..self.plain.clone() })
    }
}

fn enforce(policy: &Arc<Policy>, account: &Account) -> Enforced {
    let coverage = policy.sampling.as_ref().and_then(|sampling| sampling.coverage);
    let kinds = coverage.map(|coverage| account.standing.kinds(coverage.kinds));
    Enforced { policy: Arc::clone(policy), kinds }
}
