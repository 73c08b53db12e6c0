//! What is known of one captured address and port: the services that own it and the rules of each.

use std::{net::IpAddr, sync::Arc};

use super::{
    CapturedPort, Decision, Mirror, Share,
    hosts::{ServiceHost, split_authority},
    served::Served,
    services::Endpoint,
    source::{Source, Sources},
    table::Ruling,
    workloads::{Late, workload},
};
use crate::{
    config::Labels,
    message::RequestHead,
    record::{Serving, Workload},
};

/// The rules of one captured address and port.
#[derive(Debug)]
pub struct PortRules {
    at: CapturedPort,
    /// It is on another node: no request arrives at it here.
    is_elsewhere: bool,
    /// Shared with the service's other endpoints of the same labels.
    owners: Vec<Arc<Owner>>,
    /// Services whose rules send requests here without owning the endpoint.
    guests: Vec<Arc<Owner>>,
    /// Who clients are; None where nothing depends on it.
    sources: Option<Arc<Sources>>,
}

/// A service with an endpoint at the address and port, or one whose rules send requests there.
#[derive(Clone, Debug)]
pub struct Owner {
    /// Its host, in full.
    pub service: Arc<str>,
    pub namespace: Arc<str>,
    /// The labels of this endpoint, such as `version`; none for a guest.
    pub labels: Arc<Labels>,
    pub(super) host: Arc<ServiceHost>,
    /// By service port, in the order written; more than one when several lead to the same place.
    pub(super) rulings: Vec<(u16, Arc<Ruling>)>,
    pub(super) served: Late,
}

impl PortRules {
    pub(super) fn new(at: CapturedPort) -> Self {
        // One service and one of its ports is what most endpoints have.
        Self { at, is_elsewhere: false, owners: Vec::with_capacity(1), guests: Vec::new(), sources: None }
    }

    /// Judges a request of a client. A service's only endpoint here serves it whatever the authority.
    pub fn decide(&self, head: &RequestHead<'_>, client: IpAddr) -> Decision<'_> {
        self.decide_for(head, self.source(client))
    }

    /// The same, with the service that the request is for.
    pub fn judge(&self, head: &RequestHead<'_>, client: IpAddr) -> (Option<&Owner>, Decision<'_>) {
        self.judge_for(head, self.source(client))
    }

    /// The workload of a client; None when it is not known, or no rule here asks.
    pub fn source(&self, client: IpAddr) -> Option<&Source> {
        self.sources.as_ref()?.get(client)
    }

    /// The same for a client whose workload is known.
    pub fn decide_for(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Decision<'_> {
        self.judge_for(head, source).1
    }

    fn judge_for(&self, head: &RequestHead<'_>, source: Option<&Source>) -> (Option<&Owner>, Decision<'_>) {
        let Some(owner) = self.owner(head, source) else { return (None, Decision::NoHost) };
        let rule = owner.ruling(head).decide(head, source, self.at);
        (Some(owner), rule.map_or(Decision::NoRule, Decision::Rule))
    }

    /// The service a request is for: the one its authority names (port and case ignored), be it an owner or a guest; else
    /// the only owner.
    pub fn owner(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Option<&Owner> {
        let only = if let [only] = self.owners.as_slice() { Some(&**only) } else { None };
        if only.is_some() && self.guests.is_empty() {
            return only;
        }
        let Some(authority) = head.authority() else { return only };
        let (host, _) = split_authority(authority);
        let namespace = source.map(|source| source.namespace.as_str());
        let owner = most_specific(&self.owners, host, namespace);
        let guest = most_specific(&self.guests, host, namespace);
        match (owner, guest) {
            (Some((known, owner)), guest) if guest.is_none_or(|(specificity, _)| specificity <= known) => {
                owner
            }
            (_, Some((_, guest))) => guest,
            _ => only,
        }
    }

    /// Every service that owns the endpoint, in the order of their age.
    pub fn owners(&self) -> &[Arc<Owner>] {
        &self.owners
    }

    /// The owners, then the services whose rules send requests here.
    pub fn services(&self) -> impl Iterator<Item = &Owner> {
        self.owners.iter().chain(&self.guests).map(|service| &**service)
    }

    /// Every mirror of every rule here; one that several rules share comes again.
    pub fn all_mirrors(&self) -> impl Iterator<Item = &Arc<Mirror>> {
        let rulings = self.services().flat_map(|service| &service.rulings);
        let blocks = rulings.flat_map(|(_, ruling)| ruling.all()).flat_map(|table| &table.blocks);
        blocks.flat_map(|entry| &entry.ways.destinations).flat_map(|(_, rule)| &rule.mirrors)
    }

    /// For requests that will arrive here. Of a large cluster's rules most are for other nodes, and what is prepared is large.
    pub(super) fn prepare(&self) {
        if self.is_elsewhere {
            return;
        }
        let rulings = self.services().flat_map(|service| &service.rulings);
        let blocks = rulings.flat_map(|(_, ruling)| ruling.all()).flat_map(|table| &table.blocks);
        blocks.for_each(|entry| entry.block.prepare());
    }

    /// The endpoint.
    pub fn at(&self) -> CapturedPort {
        self.at
    }

    /// Whether anything here depends on who the client is.
    pub(super) fn asks_for_source(&self) -> bool {
        self.sources.is_some()
    }

    pub(super) fn mirrors(&self) -> bool {
        self.services().flat_map(|service| &service.rulings).any(|(_, ruling)| ruling.mirrors())
    }

    /// The share of connections that some mirror here may copy requests of: the largest one, for draws are the same for
    /// all; all of them as soon as one mirror draws for anything else.
    pub fn connections(&self) -> Share {
        let rulings = self.services().flat_map(|service| &service.rulings).map(|(_, ruling)| ruling);
        let entries = rulings.flat_map(|ruling| ruling.all()).flat_map(|table| &table.blocks);
        let rules = entries.flat_map(|entry| &entry.ways.destinations).map(|(_, rule)| rule);
        let mut largest = Share::NONE;
        for mirror in rules.flat_map(|rule| &rule.mirrors) {
            largest = largest.max(mirror.connections());
            if largest == Share::ALL {
                break;
            }
        }
        largest
    }

    /// Adds a service port that leads here. `last` is what the port's last endpoint was given, to be used again.
    pub(super) fn add(
        &mut self,
        service: &Served,
        endpoint: &Endpoint,
        (port, ruling): (u16, &Arc<Ruling>),
        sources: &Arc<Sources>,
        last: &mut Option<Arc<Owner>>,
    ) {
        self.is_elsewhere |= endpoint.nearness.is_on_another_node();
        let known = self.owners.iter_mut().find(|owner| Arc::ptr_eq(&owner.service, &service.host));
        match known {
            Some(owner) if owner.ports().any(|known| known == port) => {}
            Some(owner) => Arc::make_mut(owner).rulings.push((port, Arc::clone(ruling))),
            None => {
                let alike = last.take().filter(|last| Arc::ptr_eq(&last.labels, &endpoint.labels));
                let owner = alike.unwrap_or_else(|| {
                    Arc::new(Owner {
                        service: Arc::clone(&service.host),
                        namespace: Arc::clone(&service.namespace),
                        labels: Arc::clone(&endpoint.labels),
                        host: Arc::clone(&service.names),
                        rulings: vec![(port, Arc::clone(ruling))],
                        served: Late::default(),
                    })
                });
                self.owners.push(Arc::clone(last.insert(owner)));
            }
        }
        self.ask_for_source(ruling, sources);
    }

    /// Adds a service whose rules send requests here. One that owns the endpoint is no guest.
    pub(super) fn add_guest(&mut self, guest: &Arc<Owner>, sources: &Arc<Sources>) {
        if !self.services().any(|known| Arc::ptr_eq(&known.service, &guest.service)) {
            self.guests.push(Arc::clone(guest));
            guest.rulings.iter().for_each(|(_, ruling)| self.ask_for_source(ruling, sources));
        }
    }

    pub(super) fn has_guest(&self, guest: &Arc<Owner>) -> bool {
        self.guests.iter().any(|known| Arc::ptr_eq(known, guest))
    }

    /// Rules may ask who the client is; and a short name that several services have is the one of the client's namespace.
    fn ask_for_source(&mut self, ruling: &Ruling, sources: &Arc<Sources>) {
        let several = self.owners.len() > 1 || self.guests.len() > 1;
        if self.sources.is_none() && (several || ruling.asks_for_source()) {
            self.sources = Some(Arc::clone(sources));
        }
    }
}

/// The service that a host names most specifically. Of several that it names alike, as a short name may, the one of the
/// client's namespace is meant, else none.
fn most_specific<'o>(
    services: &'o [Arc<Owner>],
    host: &str,
    namespace: Option<&str>,
) -> Option<(usize, Option<&'o Owner>)> {
    let at_home = |owner: &&Owner| Some(&*owner.namespace) == namespace;
    let mut best: Option<(usize, Option<&Owner>)> = None;
    for service in services.iter().map(|service| &**service) {
        let Some(specificity) = service.host.names(host) else { continue };
        best = match best {
            Some((known, _)) if known > specificity => best,
            Some((known, other)) if known == specificity => {
                Some((known, Some(service).filter(at_home).or(other.filter(at_home))))
            }
            _ => Some((specificity, Some(service))),
        };
    }
    best
}

impl Owner {
    /// What metrics call it. `at_home` is asked once, for the workload at the endpoint, as far as it is known by its
    /// address; else the endpoint's labels tell.
    pub fn served(&self, at_home: impl FnOnce() -> Option<Arc<Workload>>) -> &Arc<Serving> {
        self.served.get(|| Serving {
            service: Arc::clone(&self.service),
            namespace: Arc::clone(&self.namespace),
            workload: at_home().unwrap_or_else(|| Arc::new(workload(&self.namespace, &self.labels))),
        })
    }

    /// How specifically a host names this service; None when it does not.
    pub fn names(&self, host: &str) -> Option<usize> {
        self.host.names(host)
    }

    /// The service ports that lead to the endpoint.
    pub fn ports(&self) -> impl Iterator<Item = u16> {
        self.rulings.iter().map(|&(port, _)| port)
    }

    /// Which service port was dialled is not known here. Where it matters, the port the client named tells (80 or 443 when
    /// it named none), else the first one written.
    pub(super) fn ruling(&self, head: &RequestHead<'_>) -> &Ruling {
        let default = if head.encrypted { 443 } else { 80 };
        let index = match self.rulings.len() {
            1 => 0,
            _ => {
                let dialled = head.authority().and_then(|a| split_authority(a).1).unwrap_or(default);
                self.rulings.iter().position(|&(port, _)| port == dialled).unwrap_or(0)
            }
        };
        &self.rulings[index].1
    }
}
