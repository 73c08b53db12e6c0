//! The tables in force: for each service and port, the winning VirtualService's.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    precedence::Claim,
    rules::{Compiler, Fate},
    table::Table,
};
use crate::{config::istio::VirtualService, record::Accounts};

/// Tables by virtual service and service port, and which claims they came from.
pub(super) struct Tables<'a, 'r> {
    pub(super) virtual_services: &'a [VirtualService],
    pub(super) compiler: Compiler<'a, 'r>,
    accounts: &'a Accounts,
    pub(super) made: HashMap<(usize, u16), Made>,
    /// The service ports each virtual service claims, won or lost.
    pub(super) ports: BTreeMap<usize, BTreeSet<u16>>,
    pub(super) won: BTreeSet<Claim>,
    /// Loser → the virtual service it lost to.
    pub(super) lost: BTreeMap<Claim, usize>,
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
        virtual_services: &'a [VirtualService],
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

    /// The table of the first claim for which any rule exists on this port; the others get nothing there.
    pub(super) fn winner(&mut self, claims: &[Claim], port: u16) -> Option<Arc<Table>> {
        let mut winner = None;
        for &claim in claims {
            self.ports.entry(claim.virtual_service).or_default().insert(port);
            if let Some((_, winner)) = winner {
                self.lost.insert(claim, winner);
            } else if let Some(table) = self.table(claim.virtual_service, port) {
                self.won.insert(claim);
                winner = Some((table, claim.virtual_service));
            }
        }
        winner.map(|(table, _)| table)
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
