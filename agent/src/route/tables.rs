//! The tables in force: for each service and port, those of its consumers' routes, then the winner among virtual
//! services and the service's own routes.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    delegates::Merged,
    gateway::{Attached, Route, report_shadowed},
    objects::address,
    precedence::{Claim, Rank, Views},
    rules::Compiler,
    services::Service,
    table::{Others, Ruling, Table},
    units::{Key, Unit, Units},
};
use crate::record::Accounts;

/// Tables by virtual service and service port, and which claims they came from.
pub(super) struct Tables<'a, 'r> {
    pub(super) virtual_services: &'a [Merged<'a>],
    pub(super) compiler: Compiler<'a, 'r>,
    accounts: &'a Accounts,
    kept: &'a Units,
    pub(super) made: Units,
    /// The service ports each virtual service claims, won or lost.
    pub(super) ports: BTreeMap<usize, BTreeSet<u16>>,
    pub(super) won: BTreeSet<Claim>,
    /// Loser → the object it lost to.
    pub(super) lost: BTreeMap<Claim, String>,
}

impl<'a, 'r> Tables<'a, 'r> {
    pub(super) fn new(
        virtual_services: &'a [Merged<'a>],
        accounts: &'a Accounts,
        compiler: Compiler<'a, 'r>,
        kept: &'a Units,
    ) -> Self {
        Self {
            virtual_services,
            compiler,
            accounts,
            kept,
            made: Units::default(),
            ports: BTreeMap::new(),
            won: BTreeSet::new(),
            lost: BTreeMap::new(),
        }
    }

    /// The tables that speak for a service port, for every client there may be. Where no client is known, those of the
    /// service's own namespace stand for all.
    pub(super) fn ruling(
        &mut self,
        service: &Service<'a>,
        port: u16,
        views: &Views<'_>,
        attached: Option<&Attached<'a>>,
    ) -> Ruling {
        let tables = self.seen(service, port, &views.own, attached);
        let mut others = None;
        if let Some((named, rest)) = views.others.as_ref().filter(|_| self.compiler.clusters.known.sources())
        {
            let mut seen = |claims| self.seen(service, port, claims, attached);
            let named = named.iter().map(|(viewer, claims)| ((*viewer).to_owned(), seen(claims))).collect();
            others = Some(Box::new(Others { named, rest: seen(rest) }));
        }
        Ruling { tables, others }
    }

    /// The tables that clients who see these claims ask: until one speaks for all of them. Istio makes a virtual service of
    /// the routes attached to a service, as old as the oldest of them, and lets it compete with the others; the routes
    /// of a client's own namespace come before all.
    fn seen(
        &mut self,
        service: &Service<'a>,
        port: u16,
        claims: &[(Rank<'_>, Claim)],
        attached: Option<&Attached<'a>>,
    ) -> Vec<Arc<Table>> {
        let mut ruling = Vec::new();
        let mut producers = None;
        if let Some(attached) = attached {
            for (namespace, routes) in attached.consumers() {
                ruling.extend(self.routes(service, &routes, port, Some(namespace)));
            }
            let routes = attached.producers();
            if let Some(rank) = attached.rank() {
                producers = Some((rank, routes));
            }
        }
        let mut winner: Option<String> = None;
        for (rank, claim) in claims {
            if let Some((_, routes)) = producers.take_if(|(producers, _)| *producers <= *rank) {
                self.produce(service, port, &routes, &mut ruling, &mut winner);
            }
            self.ports.entry(claim.virtual_service).or_default().insert(port);
            if let Some(winner) = &winner {
                self.lost.insert(*claim, winner.clone());
            } else if let Some(table) = self.table(claim.virtual_service, port) {
                self.won.insert(*claim);
                if table.is_for_all() {
                    winner = Some(format!("{} {}", table.kind, table.object));
                }
                ruling.push(table);
            }
        }
        if let Some((_, routes)) = producers {
            self.produce(service, port, &routes, &mut ruling, &mut winner);
        }
        ruling
    }

    fn produce(
        &mut self,
        service: &Service<'a>,
        port: u16,
        routes: &[Route<'a>],
        ruling: &mut Vec<Arc<Table>>,
        winner: &mut Option<String>,
    ) {
        let Some(table) = self.routes(service, routes, port, None) else { return };
        match winner {
            Some(winner) => routes.iter().for_each(|route| {
                report_shadowed(route, winner, &mut self.compiler.findings);
            }),
            None => {
                *winner = Some(format!("{} {}", table.kind, table.object));
                ruling.push(table);
            }
        }
    }

    fn routes(
        &mut self,
        service: &Service<'a>,
        routes: &[Route<'a>],
        port: u16,
        consumers: Option<&str>,
    ) -> Option<Arc<Table>> {
        let host = Arc::clone(&service.host);
        let key = Key::Routes { service: host, port, consumers: consumers.map(Box::from) };
        let Self { accounts, kept, made, compiler, .. } = self;
        let unit = made.entry(key).or_insert_with_key(|key| {
            let policies = routes.iter().flat_map(|route| compiler.policies.touching(route.object()));
            let inputs = routes.iter().flat_map(Route::identity).chain(policies).collect();
            compiler.unit(kept.get(key), inputs, |compiler| {
                (Some(compiler.routes(service, routes, port, consumers, accounts)), Vec::new())
            })
        });
        unit.table.clone()
    }

    fn table(&mut self, virtual_service: usize, port: u16) -> Option<Arc<Table>> {
        self.unit(virtual_service, port, true).table.clone()
    }

    /// A virtual service compiled for a service port.
    pub(super) fn unit(&mut self, virtual_service: usize, port: u16, in_force: bool) -> &Unit {
        let Self { virtual_services, accounts, compiler, kept, made, .. } = self;
        let merged = &virtual_services[virtual_service];
        let key = Key::VirtualService { object: address(merged.written), port, in_force };
        made.entry(key).or_insert_with_key(|key| {
            let mut inputs = merged.delegates();
            inputs.extend(merged.objects().flat_map(|object| compiler.policies.touching(object)));
            compiler.unit(kept.get(key), inputs, |compiler| {
                if in_force {
                    let (table, fates) = compiler.table(merged, port, accounts);
                    (Some(table), fates)
                } else {
                    // Its accounts are never used.
                    (None, compiler.table(merged, port, &Accounts::default()).1)
                }
            })
        })
    }

    /// Whether it was compiled to be in force.
    pub(super) fn is_in_force(&self, virtual_service: usize, port: u16) -> bool {
        let object = address(self.virtual_services[virtual_service].written);
        self.made.contains_key(&Key::VirtualService { object, port, in_force: true })
    }
}
