//! What is known of one captured address and port: the services that own it and the rules of each.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    Decision,
    hosts::{ServiceHost, split_authority},
    table::Table,
};
use crate::message::RequestHead;

/// The rules of one captured address and port.
#[derive(Debug, Default)]
pub struct PortRules {
    owners: Vec<Owner>,
}

/// A service with an endpoint at the address and port.
#[derive(Debug)]
pub struct Owner {
    /// The host of its ServiceEntry, in full.
    pub service: Arc<str>,
    /// The namespace of its ServiceEntry.
    pub namespace: Arc<str>,
    /// The labels of this endpoint, such as `version`.
    pub labels: Arc<BTreeMap<String, String>>,
    pub(super) host: Arc<ServiceHost>,
    /// By service port, in the order written; more than one when several lead to the same place.
    pub(super) tables: Vec<(u16, Arc<Table>)>,
}

impl PortRules {
    /// Judges a request. A service's only endpoint here serves it whatever the authority.
    pub fn decide(&self, head: &RequestHead<'_>) -> Decision<'_> {
        let Some(owner) = self.owner(head) else { return Decision::NoHost };
        owner.table(head).decide(head).map_or(Decision::NoRule, Decision::Rule)
    }

    /// The service a request is for: the only one, else the one its authority names (port and case ignored).
    pub fn owner(&self, head: &RequestHead<'_>) -> Option<&Owner> {
        if let [only] = self.owners.as_slice() {
            return Some(only);
        }
        let (host, _) = split_authority(head.authority()?);
        let mut best = None;
        for owner in &self.owners {
            let Some(specificity) = owner.host.names(host) else { continue };
            best = match best {
                Some((known, _)) if known > specificity => best,
                // A short name that two services share names neither.
                Some((known, _)) if known == specificity => Some((known, None)),
                _ => Some((specificity, Some(owner))),
            };
        }
        best.and_then(|(_, owner)| owner)
    }

    /// Every service that owns the endpoint, in the order of their ServiceEntries.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    pub(super) fn mirrors(&self) -> bool {
        self.owners.iter().flat_map(|owner| &owner.tables).any(|(_, table)| table.mirrors())
    }

    /// Adds a service port that leads here; `new` makes its service known the first time.
    pub(super) fn add(
        &mut self,
        service: &Arc<str>,
        port: u16,
        table: &Arc<Table>,
        new: impl FnOnce() -> Owner,
    ) {
        let known = self.owners.iter().position(|owner| Arc::ptr_eq(&owner.service, service));
        let index = known.unwrap_or_else(|| {
            self.owners.push(new());
            self.owners.len() - 1
        });
        let tables = &mut self.owners[index].tables;
        if !tables.iter().any(|&(known, _)| known == port) {
            tables.push((port, Arc::clone(table)));
        }
    }
}

impl Owner {
    /// Which service port was dialled is not known here. Where it matters, the port the client named tells (80 when it
    /// named none), else the first one written.
    fn table(&self, head: &RequestHead<'_>) -> &Table {
        const HTTP: u16 = 80;
        let index = match self.tables.len() {
            1 => 0,
            _ => {
                let dialled = head.authority().and_then(|a| split_authority(a).1).unwrap_or(HTTP);
                self.tables.iter().position(|&(port, _)| port == dialled).unwrap_or(0)
            }
        };
        &self.tables[index].1
    }
}
