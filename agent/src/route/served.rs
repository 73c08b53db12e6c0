//! What each service adds to the endpoints it owns, and from that the ports of a snapshot. Where nothing was added and
//! nothing taken away, a port's rules are the ones of the snapshot before.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{
    CapturedPort, Cluster, Owner, PortRules, Snapshot,
    compile::Keep,
    difference::differing,
    guests::Guest,
    hosts::ServiceHost,
    services::{Endpoint, Service},
    source::Sources,
    table::{Ruling, Table},
    workloads::Late,
};

/// A service and the rules of its ports.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) host: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) names: Arc<ServiceHost>,
    endpoints: Arc<[Endpoint]>,
    /// The service's.
    identity: usize,
    /// Those with an endpoint, or whose rules lead to those of others.
    ports: Vec<ServedPort>,
    /// What it is at the endpoints of others.
    guest: Option<Guest>,
    /// Those its rules send copies to, by place in memory.
    clusters: Vec<Arc<Cluster>>,
}

#[derive(Debug)]
struct ServedPort {
    number: u16,
    ruling: Arc<Ruling>,
    /// Where, and the index of the endpoint.
    at: Vec<(CapturedPort, u32)>,
}

impl ServedPort {
    fn leads_elsewhere(&self, host: &str) -> bool {
        self.ruling.of_others(host).any(|members| !members.is_empty())
    }
}

impl Served {
    /// The rulings are those of the HTTP ports, in order. `before` is the same service's, whose parts are used again
    /// where they are the same.
    pub(super) fn new(service: &Service, rulings: Vec<Ruling>, before: Option<&Arc<Self>>) -> Arc<Self> {
        let before = before.filter(|before| before.identity == service.identity());
        let mut ports = Vec::with_capacity(rulings.len());
        let mut same = true;
        for (port, ruling) in service.http_ports().zip(rulings) {
            let known = before.and_then(|before| before.ports.iter().find(|p| p.number == port.number));
            if let Some(known) = known.filter(|known| *known.ruling == ruling) {
                let (ruling, at) = (Arc::clone(&known.ruling), Vec::new());
                ports.push(ServedPort { number: port.number, ruling, at });
                continue;
            }
            let indexed = (0..).zip(&*service.endpoints);
            let mut at = Vec::with_capacity(service.endpoints.len());
            let socket =
                |(index, endpoint): (u32, &Endpoint)| Some((CapturedPort::of(endpoint.socket(port)?), index));
            at.extend(indexed.filter_map(socket));
            at.shrink_to_fit();
            let port = ServedPort { number: port.number, ruling: Arc::new(ruling), at };
            if !port.at.is_empty() || port.leads_elsewhere(&service.host) {
                same = false;
                ports.push(port);
            }
        }
        match before {
            Some(before) if same && before.ports.len() == ports.len() => Arc::clone(before),
            _ => {
                for port in ports.iter_mut().filter(|port| port.at.is_empty()) {
                    let of_before = before.into_iter().flat_map(|before| &before.ports);
                    let known = of_before.into_iter().find(|p| p.number == port.number);
                    port.at = known.map_or_else(Vec::new, |known| known.at.clone());
                }
                let names = Arc::new(ServiceHost::new(&service.host, &service.addresses, service.headless));
                let namespace: Arc<str> = service.namespace().into();
                let leaving = ports.iter().filter(|port| port.leads_elsewhere(&service.host));
                let guest = Guest::new(Owner {
                    service: Arc::clone(&service.host),
                    namespace: Arc::clone(&namespace),
                    labels: Arc::default(),
                    host: Arc::clone(&names),
                    rulings: leaving.map(|port| (port.number, Arc::clone(&port.ruling))).collect(),
                    served: Late::default(),
                });
                Arc::new(Self {
                    host: Arc::clone(&service.host),
                    namespace,
                    names,
                    endpoints: Arc::clone(&service.endpoints),
                    identity: service.identity(),
                    clusters: clusters(&ports),
                    ports,
                    guest,
                })
            }
        }
    }

    /// The same but for what it sends elsewhere: nobody is there.
    fn unseated(&self) -> Self {
        let Self { host, namespace, names, endpoints, identity, ports, guest: _, clusters: _ } = self;
        let ports = ports.iter().filter(|port| !port.at.is_empty()).map(|port| ServedPort {
            number: port.number,
            ruling: Arc::clone(&port.ruling),
            at: port.at.clone(),
        });
        let ports: Vec<_> = ports.collect();
        Self {
            host: Arc::clone(host),
            namespace: Arc::clone(namespace),
            names: Arc::clone(names),
            endpoints: Arc::clone(endpoints),
            identity: *identity,
            clusters: clusters(&ports),
            ports,
            guest: None,
        }
    }

    pub(super) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.ports.iter().flat_map(|port| port.ruling.all())
    }

    /// Wherever it has a say.
    fn sockets(&self) -> impl Iterator<Item = CapturedPort> {
        let visits = self.guest.iter().flat_map(Guest::visits).copied();
        self.ports.iter().flat_map(|port| port.at.iter().map(|(at, _)| *at)).chain(visits)
    }
}

/// A snapshot and what it was put together from.
#[derive(Debug, Default)]
pub(super) struct Assembled {
    pub(super) snapshot: Snapshot,
    /// In the order of precedence.
    pub(super) services: Vec<Arc<Served>>,
    pub(super) sources: Arc<Sources>,
}

impl Assembled {
    pub(super) fn assemble(
        before: &Self,
        mut services: Vec<Arc<Served>>,
        sources: Arc<Sources>,
        keep: Keep,
    ) -> Self {
        let touched = touched(before, &services, &sources);
        let mut ports = HashMap::<CapturedPort, PortRules>::default();
        for service in &services {
            for ServedPort { number, ruling, at } in &service.ports {
                let mut last = None;
                for &(at, index) in at {
                    if touched.as_ref().is_none_or(|touched| touched.contains(&at)) {
                        let rules = ports.entry(at).or_insert_with(|| PortRules::new(at));
                        let endpoint = &service.endpoints[index as usize];
                        rules.add(service, endpoint, (*number, ruling), &sources, &mut last);
                    }
                }
            }
        }
        let guests = services.iter().filter_map(|service| service.guest.as_ref());
        guests.for_each(|guest| guest.seat(&mut ports, &sources));
        let mut snapshot = match &touched {
            Some(_) => before.snapshot.clone(),
            None => Snapshot::default(),
        };
        for at in touched.iter().flatten() {
            if let Some(address) = at.address.filter(|_| !ports.contains_key(at)) {
                snapshot.exact.remove(&(address, at.port));
            }
        }
        let all = keep == Keep::Everything;
        // Those for every address first: an exact one must not fall to their rules.
        let (any, exact): (Vec<_>, Vec<_>) = ports.into_iter().partition(|(at, _)| at.address.is_none());
        for (CapturedPort { address, port }, rules) in any.into_iter().chain(exact) {
            let mirrors = rules.mirrors();
            if mirrors {
                rules.prepare();
            }
            let kept = all || mirrors;
            match address {
                None if kept => drop(snapshot.any.insert(port, Arc::new(rules))),
                None => {}
                Some(address) if kept || snapshot.any.contains_key(&port) => {
                    snapshot.exact.insert((address, port), Arc::new(rules));
                }
                Some(address) => snapshot.exact.remove(&(address, port)),
            }
        }
        for service in &mut services {
            if service.guest.as_ref().is_some_and(|guest| !guest.is_seated(&snapshot)) {
                *service = Arc::new(service.unseated());
            }
        }
        snapshot.sources = Arc::clone(&sources);
        let mut assembled = Self { snapshot, services, sources };
        assembled.snapshot.clusters = match assembled.sends_as(before) {
            true => Arc::clone(&before.snapshot.clusters),
            false => assembled.clusters(&before.snapshot.clusters),
        };
        assembled
    }

    /// Whether copies go to the same clusters as before.
    fn sends_as(&self, before: &Self) -> bool {
        let same = |(one, other): (&Arc<Served>, &Arc<Served>)| {
            Arc::ptr_eq(one, other)
                || one.clusters.iter().map(Arc::as_ptr).eq(other.clusters.iter().map(Arc::as_ptr))
        };
        self.services.len() == before.services.len() && self.services.iter().zip(&before.services).all(same)
    }

    /// Those that copies are sent to, in the order of their names. Most are the same as before.
    fn clusters(&self, before: &[Arc<Cluster>]) -> Arc<[Arc<Cluster>]> {
        let used = distinct(self.services.iter().flat_map(|service| &service.clusters));
        let mut is_known = vec![false; used.len()];
        let mut stays = |cluster: &&Arc<Cluster>| {
            let place = used.binary_search_by_key(&Arc::as_ptr(cluster), Arc::as_ptr);
            place.inspect(|&place| is_known[place] = true).is_ok()
        };
        let stay: Vec<_> = before.iter().filter(|cluster| stays(cluster)).cloned().collect();
        let come = used.iter().zip(is_known).filter(|(_, is_known)| !is_known);
        let mut come: Vec<_> = come.map(|(cluster, _)| Arc::clone(cluster)).collect();
        come.sort_by(|a, b| in_order(a, b));
        let (mut all, mut rest) = (Vec::with_capacity(used.len()), stay.as_slice());
        for cluster in come {
            let place = rest.partition_point(|known| in_order(known, &cluster).is_le());
            let (smaller, larger) = rest.split_at(place);
            all.extend_from_slice(smaller);
            all.push(cluster);
            rest = larger;
        }
        all.extend_from_slice(rest);
        all.into()
    }
}

fn in_order(a: &Cluster, b: &Cluster) -> std::cmp::Ordering {
    (&a.name, &a.settings.rules).cmp(&(&b.name, &b.settings.rules))
}

fn clusters(ports: &[ServedPort]) -> Vec<Arc<Cluster>> {
    let entries = ports.iter().flat_map(|port| port.ruling.all()).flat_map(|table| &table.blocks);
    let rules = entries.flat_map(|entry| &entry.ways.destinations).map(|(_, rule)| rule);
    distinct(rules.flat_map(|rule| &rule.mirrors).map(|mirror| &mirror.cluster))
}

/// By place in memory, in that order.
fn distinct<'c>(clusters: impl Iterator<Item = &'c Arc<Cluster>>) -> Vec<Arc<Cluster>> {
    let mut clusters: Vec<_> = clusters.collect();
    clusters.sort_unstable_by_key(|cluster| Arc::as_ptr(cluster));
    clusters.dedup_by_key(|cluster| Arc::as_ptr(cluster));
    clusters.into_iter().cloned().collect()
}

/// The endpoints whose rules may differ from those before; None for all.
fn touched(
    before: &Assembled,
    services: &[Arc<Served>],
    sources: &Arc<Sources>,
) -> Option<HashSet<CapturedPort>> {
    let (gone, come) = differing(&before.services, services);
    let places: HashMap<_, _> = gone.iter().map(Arc::as_ptr).zip(0..).collect();
    let mut stays = vec![false; gone.len()];
    let (mut touched, mut last) = (HashSet::default(), None);
    for service in come {
        match places.get(&Arc::as_ptr(service)) {
            Some(&index) => {
                // The owners of an endpoint stand in the order of their services.
                if last > Some(index) {
                    return None;
                }
                (stays[index], last) = (true, Some(index));
            }
            None => touched.extend(service.sockets()),
        }
    }
    let gone = gone.iter().zip(stays).filter(|(_, stays)| !stays);
    touched.extend(gone.flat_map(|(service, _)| service.sockets()));
    if !Arc::ptr_eq(&before.sources, sources) {
        let asking = before.snapshot.all_ports().filter(|(_, rules)| rules.asks_for_source());
        touched.extend(asking.map(|(at, _)| at));
    }
    // What is said of every address bears on each exact one.
    let exact = touched.iter().all(|at| at.address.is_some());
    (exact && !before.services.is_empty()).then_some(touched)
}
