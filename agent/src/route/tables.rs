//! The tables in force: for each service and port, those of its consumers' routes, then the winner among virtual
//! services and the service's own routes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    delegates::Merged,
    gateway::Attached,
    precedence::{Claim, Rank, Views},
    rules::{Compiler, Fate},
    services::Service,
    table::{Others, Ruling, Table},
};
use crate::record::Accounts;

/// Tables by virtual service and service port, and which claims they came from.
pub(super) struct Tables<'a, 'r> {
    pub(super) virtual_services: &'a [Merged<'a>],
    pub(super) compiler: Compiler<'a, 'r>,
    accounts: &'a Accounts,
    pub(super) made: HashMap<(usize, u16), Made>,
    /// The service ports each virtual service claims, won or lost.
    pub(super) ports: BTreeMap<usize, BTreeSet<u16>>,
    pub(super) won: BTreeSet<Claim>,
    /// Loser → the object it lost to.
    pub(super) lost: BTreeMap<Claim, String>,
}

/// A virtual service compiled for one service port.
pub(super) struct Made {
    /// None where no rule exists for the port: Istio passes the virtual service over there.
    table: Option<Arc<Table>>,
    /// By rule.
    pub(super) fates: Vec<Fate>,
}

impl<'a, 'r> Tables<'a, 'r> {
    pub(super) fn new(
        virtual_services: &'a [Merged<'a>],
        accounts: &'a Accounts,
        compiler: Compiler<'a, 'r>,
    ) -> Self {
        Self {
            virtual_services,
            compiler,
            accounts,
            made: HashMap::new(),
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
    ) -> Arc<Ruling> {
        let tables = self.seen(service, port, &views.own, attached);
        let mut others = None;
        if let Some((named, rest)) = views.others.as_ref().filter(|_| self.compiler.sources_known) {
            let mut seen = |claims| self.seen(service, port, claims, attached);
            let named = named.iter().map(|(viewer, claims)| ((*viewer).to_owned(), seen(claims))).collect();
            others = Some(Box::new(Others { named, rest: seen(rest) }));
        }
        Arc::new(Ruling { tables, others })
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
                let table = self.compiler.routes(service, &routes, port, Some(namespace), self.accounts);
                ruling.extend(Some(table).filter(|table| !table.is_empty()).map(Arc::new));
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
        routes: &[super::gateway::Route<'a>],
        ruling: &mut Vec<Arc<Table>>,
        winner: &mut Option<String>,
    ) {
        let table = self.compiler.routes(service, routes, port, None, self.accounts);
        if table.is_empty() {
            return;
        }
        match winner {
            Some(winner) => routes.iter().for_each(|route| {
                super::gateway::report_shadowed(route, winner, &mut self.compiler.findings);
            }),
            None => {
                *winner = Some(format!("{} {}", table.kind, table.object));
                ruling.push(Arc::new(table));
            }
        }
    }

    fn table(&mut self, virtual_service: usize, port: u16) -> Option<Arc<Table>> {
        let Self { virtual_services, accounts, compiler, made, .. } = self;
        let make = || {
            let (table, fates) = compiler.table(&virtual_services[virtual_service], port, accounts);
            Made { table: (!table.is_empty()).then(|| Arc::new(table)), fates }
        };
        made.entry((virtual_service, port)).or_insert_with(make).table.clone()
    }
}
