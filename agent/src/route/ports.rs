//! What is known of one captured address and port: the services that own it and the rules of each.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{
    CapturedPort, Decision,
    hosts::{ServiceHost, split_authority},
    served::Served,
    services::Endpoint,
    source::{Source, Sources},
    table::Ruling,
};
use crate::message::RequestHead;

/// The rules of one captured address and port.
#[derive(Debug)]
pub struct PortRules {
    at: CapturedPort,
    owners: Vec<Owner>,
    /// Who clients are; None where no rule asks.
    sources: Option<Arc<Sources>>,
}

/// A service with an endpoint at the address and port.
#[derive(Debug)]
pub struct Owner {
    /// Its host, in full.
    pub service: Arc<str>,
    pub namespace: Arc<str>,
    /// The labels of this endpoint, such as `version`.
    pub labels: Arc<BTreeMap<String, String>>,
    pub(super) host: Arc<ServiceHost>,
    /// By service port, in the order written; more than one when several lead to the same place.
    pub(super) rulings: Vec<(u16, Arc<Ruling>)>,
}

impl PortRules {
    pub(super) fn new(at: CapturedPort) -> Self {
        // One service and one of its ports is what most endpoints have.
        Self { at, owners: Vec::with_capacity(1), sources: None }
    }

    /// Judges a request of a client. A service's only endpoint here serves it whatever the authority.
    pub fn decide(&self, head: &RequestHead<'_>, client: IpAddr) -> Decision<'_> {
        self.decide_for(head, self.sources.as_ref().and_then(|sources| sources.get(client)))
    }

    /// The same for a client whose workload is known.
    pub fn decide_for(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Decision<'_> {
        let Some(owner) = self.owner(head) else { return Decision::NoHost };
        owner.ruling(head).decide(head, source, self.at).map_or(Decision::NoRule, Decision::Rule)
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

    /// Every service that owns the endpoint, in the order of their age.
    pub fn owners(&self) -> &[Owner] {
        &self.owners
    }

    /// The endpoint.
    pub fn at(&self) -> CapturedPort {
        self.at
    }

    pub(super) fn mirrors(&self) -> bool {
        self.owners.iter().flat_map(|owner| &owner.rulings).any(|(_, ruling)| ruling.mirrors())
    }

    /// Adds a service port that leads here.
    pub(super) fn add(
        &mut self,
        service: &Served,
        endpoint: &Endpoint,
        (port, ruling): (u16, &Arc<Ruling>),
        sources: &Arc<Sources>,
    ) {
        if self.sources.is_none() && ruling.asks_for_source() {
            self.sources = Some(Arc::clone(sources));
        }
        let known = self.owners.iter().position(|owner| Arc::ptr_eq(&owner.service, &service.host));
        let index = known.unwrap_or_else(|| {
            self.owners.push(Owner {
                service: Arc::clone(&service.host),
                namespace: Arc::clone(&service.namespace),
                labels: Arc::clone(&endpoint.labels),
                host: Arc::clone(&service.names),
                rulings: Vec::with_capacity(1),
            });
            self.owners.len() - 1
        });
        let rulings = &mut self.owners[index].rulings;
        if !rulings.iter().any(|&(known, _)| known == port) {
            rulings.push((port, Arc::clone(ruling)));
        }
    }
}

impl Owner {
    /// How specifically a host names this service; None when it does not.
    pub fn names(&self, host: &str) -> Option<usize> {
        self.host.names(host)
    }

    /// The service ports that lead to the endpoint.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.rulings.iter().map(|&(port, _)| port)
    }

    /// Which service port was dialled is not known here. Where it matters, the port the client named tells (80 when it
    /// named none), else the first one written.
    pub(super) fn ruling(&self, head: &RequestHead<'_>) -> &Ruling {
        const HTTP: u16 = 80;
        let index = match self.rulings.len() {
            1 => 0,
            _ => {
                let dialled = head.authority().and_then(|a| split_authority(a).1).unwrap_or(HTTP);
                self.rulings.iter().position(|&(port, _)| port == dialled).unwrap_or(0)
            }
        };
        &self.rulings[index].1
    }
}
