//! Routes of the Gateway API that are attached to services of the mesh (GAMMA): HTTPRoute and GRPCRoute, made into one
//! table for each service port. Unlike a VirtualService's, their rules have no order: the most specific match comes
//! first.

mod attach;
mod backends;
mod filters;
mod matches;

use std::{collections::BTreeSet, sync::Arc};

pub(super) use attach::{Attached, Attachments, Route, report_shadowed};

use self::matches::Specificity;
use super::{
    findings::Site,
    matcher::Block,
    open::Opener,
    rules::{self, Compiler},
    services::Service,
    source::SourceCondition,
    table::{BlockId, Table},
    ways::Ways,
};
use crate::record::{Accounts, RuleAccount};

/// A match with its rule, ready to be put in its place.
struct Found {
    specificity: Specificity,
    id: BlockId,
    block: Block,
    ways: Arc<Ways>,
}

impl<'a> Compiler<'a, '_> {
    /// The table of routes attached to a service, the oldest first, for one of its ports. Consumer routes hold for the
    /// clients of their own namespace only.
    pub(super) fn routes(
        &mut self,
        service: &Service,
        routes: &[Route<'a>],
        listener: u16,
        consumers: Option<&str>,
        accounts: &Accounts,
    ) -> Table {
        let mut found = Vec::new();
        let mut rules_before = 0;
        let mirrors = routes.iter().any(Route::mirrors);
        for route in routes {
            let names = (0..route.rules()).map(|index| route.rule_name(index));
            let object = format!("{} {}", route.kind(), route.meta().qualified());
            let keys = rules::keys(&object, names, &mut BTreeSet::new());
            for (index, key) in keys.into_iter().enumerate() {
                let id = BlockId::whole(rules_before + index);
                if route.is_for(listener) {
                    let account = rules::account(key, mirrors, accounts);
                    self.rule(route, index, id, account, listener, accounts, &mut found);
                }
            }
            rules_before += route.rules();
        }
        // Equally specific ones stay in the order of their routes, and within a route of their rules.
        found.sort_by_key(|found| std::cmp::Reverse(found.specificity));
        let mut table = match routes {
            [only] => Table::new(only.kind(), only.meta().qualified()),
            _ => Table::new("routes of", service.host.to_string()),
        };
        for Found { id, mut block, ways, .. } in found {
            block.source =
                SourceCondition { namespace: consumers.map(Into::into), ..SourceCondition::default() };
            table.push(id, block, &ways);
        }
        table.whole()
    }

    #[allow(clippy::too_many_arguments, reason = "one step of the loop above")]
    fn rule(
        &mut self,
        route: &Route<'a>,
        index: usize,
        id: BlockId,
        account: Arc<RuleAccount>,
        listener: u16,
        accounts: &Accounts,
        found: &mut Vec<Found>,
    ) {
        let root = Site::of(route.kind(), route.meta());
        let site = root.item("rules", index);
        let blocks = matches::blocks(route, index, &site, &mut self.findings);
        let mut meaning = self.route_meaning(route, index, listener, &site);
        meaning.policy = self.policies.of(&[route.object()], &[&account.key.rule]);
        let seen: Vec<_> = blocks.iter().map(|(_, (_, block))| block).collect();
        self.expose(&meaning, &seen, &site, (route.kind(), route.meta()));
        let mut opener = Opener::new(account, meaning, &mut self.clusters, accounts);
        for (number, (specificity, block)) in blocks {
            let id = BlockId { block: number, ..id };
            let ways = opener.ways(block.matched(), &mut self.clusters);
            found.push(Found { specificity, id, block, ways });
        }
    }
}
