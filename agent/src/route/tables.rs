//! The tables in force: for each service and port, those of its consumers' routes, then the winner among virtual
//! services and the service's own routes.

use std::sync::Arc;

use foldhash::HashSet;

use super::{
    delegates::{Root, Roots},
    findings::Finding,
    gateway::{Attached, Route, report_shadowed},
    objects::address,
    precedence::{Claim, Precedence, Rank, Views},
    ruled::{Claimed, Lot, Ruled},
    rules::Compiler,
    served::Served,
    services::Service,
    table::{Others, Ruling, Table},
    units::{Key, Unit, Units},
};
use crate::record::Accounts;

/// Makes the tables, and knows those it looked at.
pub(super) struct Tables<'a, 'r> {
    pub(super) roots: &'a Roots<'a>,
    pub(super) compiler: Compiler<'a, 'r>,
    accounts: &'a Accounts,
    kept: &'a Units,
    made: Units,
    /// The units whose findings were told.
    told: HashSet<*const Unit>,
}

/// What came up while the tables of one service were looked for.
#[derive(Debug, Default)]
struct Trail {
    units: Vec<Arc<Unit>>,
    claims: Vec<Claimed>,
}

impl<'a, 'r> Tables<'a, 'r> {
    pub(super) fn new(
        roots: &'a Roots<'a>,
        accounts: &'a Accounts,
        compiler: Compiler<'a, 'r>,
        kept: &'a Units,
    ) -> Self {
        Self { roots, compiler, accounts, kept, made: Units::default(), told: HashSet::default() }
    }

    pub(super) fn into_made(self) -> (Compiler<'a, 'r>, Units) {
        (self.compiler, self.made)
    }

    /// Tells what was found in units, once, and then what was found beside them.
    pub(super) fn tell(&mut self, units: &[Arc<Unit>], findings: &[Finding]) {
        let Self { compiler, told, .. } = self;
        for unit in units {
            if told.insert(Arc::as_ptr(unit)) {
                unit.findings.iter().for_each(|finding| compiler.findings.tell(finding));
                compiler.exposure.tell(&unit.exposed, &mut compiler.findings);
            }
        }
        findings.iter().for_each(|finding| compiler.findings.tell(finding));
    }

    /// A service with the tables of its ports. `before` is what it was, if it is the same service.
    pub(super) fn rule(
        &mut self,
        service: &Arc<Service>,
        precedence: &Precedence<'a>,
        attached: Option<&Attached<'a>>,
        before: Option<&Arc<Ruled>>,
    ) -> Ruled {
        let views = precedence.views(&service.host, service.namespace());
        let mut trail = Trail::default();
        self.compiler.findings.begin();
        let ports = service.http_ports();
        let rulings =
            ports.map(|port| self.ruling(service, port.number, &views, attached, &mut trail)).collect();
        let findings = self.compiler.findings.noted();
        let Trail { mut units, mut claims } = trail;
        units.shrink_to_fit();
        claims.shrink_to_fit();
        let served = Served::new(service, rulings, before.map(|before| &before.served));
        let mut tables = units.iter().filter_map(|unit| unit.table.as_ref());
        let in_force = |table: &Arc<Table>| served.tables().any(|other| Arc::ptr_eq(table, other));
        Ruled {
            service: Arc::clone(service),
            is_settled: tables.all(|table| !table.mirrors() || in_force(table)),
            served,
            attached: attached.map(Attached::identity).unwrap_or_default(),
            units,
            claims,
            findings,
        }
    }

    /// The tables that speak for a service port, for every client there may be. Where no client is known, those of the
    /// service's own namespace stand for all.
    fn ruling(
        &mut self,
        service: &Service,
        port: u16,
        views: &Views<'_>,
        attached: Option<&Attached<'a>>,
        trail: &mut Trail,
    ) -> Ruling {
        let tables = self.seen(service, port, &views.own, attached, trail);
        let mut others = None;
        if let Some((named, rest)) = views.others.as_ref().filter(|_| self.compiler.clusters.known.sources())
        {
            let mut seen = |claims| self.seen(service, port, claims, attached, trail);
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
        service: &Service,
        port: u16,
        claims: &[(Rank<'_>, Claim)],
        attached: Option<&Attached<'a>>,
        trail: &mut Trail,
    ) -> Vec<Arc<Table>> {
        let mut ruling = Vec::new();
        let mut producers = None;
        if let Some(attached) = attached {
            for (namespace, routes) in attached.consumers() {
                ruling.extend(self.routes(service, &routes, port, Some(namespace), trail));
            }
            let routes = attached.producers();
            if let Some(rank) = attached.rank() {
                producers = Some((rank, routes));
            }
        }
        let mut winner: Option<String> = None;
        for (rank, claim) in claims {
            if let Some((_, routes)) = producers.take_if(|(producers, _)| *producers <= *rank) {
                self.produce(service, port, &routes, &mut ruling, &mut winner, trail);
            }
            let lot = if let Some(winner) = &winner {
                Lot::Lost(winner.as_str().into())
            } else {
                let unit = self.unit(self.roots.at(claim.virtual_service), port, true);
                let table = unit.table.clone();
                trail.units.push(unit);
                match table {
                    Some(table) => {
                        if table.is_for_all() {
                            winner = Some(format!("{} {}", table.kind, table.object));
                        }
                        ruling.push(table);
                        Lot::Won
                    }
                    None => Lot::Passed,
                }
            };
            trail.claims.push(Claimed { claim: *claim, port, lot });
        }
        if let Some((_, routes)) = producers {
            self.produce(service, port, &routes, &mut ruling, &mut winner, trail);
        }
        ruling
    }

    fn produce(
        &mut self,
        service: &Service,
        port: u16,
        routes: &[Route<'a>],
        ruling: &mut Vec<Arc<Table>>,
        winner: &mut Option<String>,
        trail: &mut Trail,
    ) {
        let Some(table) = self.routes(service, routes, port, None, trail) else { return };
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
        service: &Service,
        routes: &[Route<'a>],
        port: u16,
        consumers: Option<&str>,
        trail: &mut Trail,
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
        trail.units.push(Arc::clone(unit));
        unit.table.clone()
    }

    /// A virtual service compiled for a service port.
    pub(super) fn unit(&mut self, root: &Root<'a>, port: u16, in_force: bool) -> Arc<Unit> {
        let Self { roots, accounts, compiler, kept, made, .. } = self;
        let key = Key::VirtualService { object: address(root.written), port, in_force };
        let unit = made.entry(key).or_insert_with_key(|key| {
            let mut inputs = root.delegates().to_vec();
            if !compiler.policies.is_empty() {
                let objects = root.objects(roots).into_iter();
                inputs.extend(objects.flat_map(|object| compiler.policies.touching(object)));
            }
            compiler.unit(kept.get(key), inputs, |compiler| {
                let (written, rules) = (root.written, root.rules(roots));
                if in_force {
                    let (table, fates) = compiler.table(written, &rules, port, accounts);
                    (Some(table), fates)
                } else {
                    // Its accounts are never used.
                    (None, compiler.table(written, &rules, port, &Accounts::default()).1)
                }
            })
        });
        Arc::clone(unit)
    }
}
