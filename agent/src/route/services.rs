//! The registry: every service that is declared, by Kubernetes or by a ServiceEntry, with its endpoints.

mod entries;
mod kept;
mod kube;
mod nearest;

use std::{
    cell::OnceCell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    Answers, At, Here, Protocol,
    difference::{Difference, differing},
    exports,
    findings::{Finding, Findings, Hint, Site},
    nearness::Nearness,
    objects::address,
};
use crate::config::{
    Code, Labels, Located, Location, Meta,
    kubernetes::{SlicePort, TrafficDistribution},
};
pub(super) use kept::SharedLabels;
use kept::{AllDeclared, Kept};
pub(super) use nearest::Nearest;

/// Kept as a whole while nothing that it is made of changes, else service by service.
#[derive(Debug, Default)]
pub(super) struct Registry {
    pub(super) services: Vec<Arc<Service>>,
    by_host: HashMap<Arc<str>, Arc<Service>>,
    declared: AllDeclared,
    findings: Vec<Finding>,
    /// Ports of apps at which HTTPS is read: every service is about them.
    opened: Arc<[u16]>,
    pub(super) here: Arc<Here>,
}

/// One host of a ServiceEntry, or a Service of Kubernetes. The same value for as long as nothing about it changes.
#[derive(Debug)]
pub(super) struct Service {
    /// In full.
    pub(super) host: Arc<str>,
    pub(super) kind: Kind,
    /// Without its labels.
    pub(super) meta: Meta,
    pub(super) ports: Box<[Port]>,
    pub(super) endpoints: Arc<[Endpoint]>,
    /// Cluster IPs, or `addresses` of a ServiceEntry that are no ranges: clients may name the service by them.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) headless: bool,
    /// The name an ExternalName service stands for.
    pub(super) alias: Option<String>,
    /// `location: MESH_EXTERNAL`, or an ExternalName.
    pub(super) external: bool,
    /// One of these must be in its certificate.
    pub(super) subject_alt_names: Vec<Located<String>>,
    export_to: Vec<Located<String>>,
    pub(super) distribution: Option<TrafficDistribution>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// kube-proxy sends its traffic to every endpoint, whatever rules say.
    Kubernetes,
    Entry,
}

#[derive(Debug)]
pub(super) struct Port {
    pub(super) number: u16,
    pub(super) name: Box<str>,
    pub(super) speaks_http: bool,
    pub(super) is_https: bool,
    /// Ports of apps at which HTTPS is read.
    pub(super) opened: Arc<[u16]>,
    /// What Istio speaks to it, unless a rule says otherwise.
    pub(super) protocol: Protocol,
    /// Where it was written.
    pub(super) at: Location,
    target: Target,
}

/// Where endpoints serve a port, unless they say so themselves.
#[derive(Debug)]
enum Target {
    Number(u16),
    /// A named port of each pod.
    Name(Box<str>),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// Its share of copies among the others; 1 where none was written.
    pub(super) weight: u32,
    pub(super) labels: Arc<Labels>,
    /// One that is not ready may still have requests under way, but gets no copies.
    pub(super) ready: bool,
    pub(super) nearness: Nearness,
    ports: Ports,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Ip(IpAddr),
    /// To be resolved by whoever connects: nothing is captured there.
    Name(Arc<str>, Answers),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Ports {
    /// By the service port's name, where they differ from its target: a ServiceEntry's. None: nowhere.
    Written(Option<Arc<BTreeMap<String, u16>>>),
    /// By their own names: a pod's.
    Pod(Arc<BTreeMap<String, u16>>),
    /// All there are: an EndpointSlice's.
    Slice(Arc<[SlicePort]>),
}

impl Registry {
    /// A Service of Kubernetes comes before a ServiceEntry of the same host; of two entries the older wins, as among
    /// virtual services. None when nothing has changed since `before`.
    pub(super) fn new(difference: &Difference<'_>, before: &Self, labels: &mut SharedLabels) -> Option<Self> {
        let objects = &difference.now;
        let reopened = objects.opened != before.opened;
        let workloads_changed =
            difference.any(|objects| &objects.pods) || difference.any(|objects| &objects.workload_entries);
        let changed = reopened
            || workloads_changed
            || difference.any(|objects| &objects.services)
            || difference.any(|objects| &objects.endpoint_slices)
            || difference.any(|objects| &objects.service_entries);
        if !changed {
            return None;
        }
        let (opened, here) = (Arc::clone(&objects.opened), Arc::clone(&objects.here));
        let mut registry = Self { opened, here, ..Self::default() };
        registry.services.reserve(before.services.len());
        registry.by_host.reserve(before.services.len());
        let nothing = AllDeclared::default();
        let mut kept = Kept::new(if reopened { &nothing } else { &before.declared }, labels);
        let workloads = OnceCell::new();
        let workloads = || workloads.get_or_init(|| kube::Workloads::new(objects));
        for service in kube::services(objects, !workloads_changed, &workloads, &mut kept) {
            registry.add(service);
        }
        let mut in_order = objects.service_entries.clone();
        in_order.sort_by_key(|e| (&e.meta.created, &e.meta.name.value, &e.meta.namespace));
        for entry in in_order {
            let same = !workloads_changed || entry.workload_selector.is_none();
            let declared = kept.declared(address(entry), same, Vec::new(), |labels, findings| {
                entries::services(entry, objects, &workloads, labels, findings)
            });
            registry.findings.extend(declared.findings.iter().cloned());
            for (index, service) in declared.services.iter().enumerate() {
                if let Some(winner) = registry.get(&service.host) {
                    let what = format!("`{}` is already declared by {}", service.host, winner.declared_by());
                    let hint = "a Service comes first, of two entries the older, then the first by name";
                    let (site, at) = (Site::of("ServiceEntry", &entry.meta), &entry.hosts[index].at);
                    let site = site.item("hosts", index);
                    let hint = Some(Hint::Text(hint.to_owned()));
                    registry.findings.push(Finding::new(Code::Shadowed, at, &site, what, hint));
                    continue;
                }
                registry.add(Arc::clone(service));
            }
        }
        registry.declared = kept.into_declared();
        Some(registry)
    }

    fn add(&mut self, service: Arc<Service>) {
        self.by_host.insert(Arc::clone(&service.host), Arc::clone(&service));
        self.services.push(service);
    }

    pub(super) fn report(&self, findings: &mut Findings<'_>) {
        self.findings.iter().for_each(|finding| findings.tell(finding));
    }

    pub(super) fn get(&self, host: &str) -> Option<&Service> {
        self.by_host.get(host).map(|service| &**service)
    }

    /// The services that are not the same in both, of either.
    pub(super) fn changed<'r>(&'r self, before: &'r Self) -> Vec<&'r Arc<Service>> {
        let (gone, come) = differing(&before.services, &self.services);
        let mut all: Vec<_> = gone.iter().chain(come).collect();
        all.sort_unstable_by_key(|service| Arc::as_ptr(service));
        // One that is in both only stands elsewhere.
        all.chunk_by(|a, b| Arc::ptr_eq(a, b)).filter(|same| same.len() == 1).map(|only| only[0]).collect()
    }
}

impl Service {
    pub(super) fn namespace(&self) -> &str {
        &self.meta.namespace
    }

    /// What tells it from every other one.
    pub(super) fn identity(&self) -> usize {
        address(self)
    }

    pub(super) fn port(&self, number: u16) -> Option<&Port> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// Those whose requests can be read.
    pub(super) fn http_ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().filter(|p| p.speaks_http || p.is_https && !p.opened.is_empty())
    }

    pub(super) fn is_visible_to(&self, namespace: &str) -> bool {
        exports::reach(&self.export_to, self.namespace(), namespace).is_some()
    }

    /// `ServiceEntry default/my-app`
    pub(super) fn declared_by(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.meta.qualified())
    }
}

/// What tells of a service, its labels aside.
fn meta(written: &Meta) -> Meta {
    let Meta { name, namespace, labels: _, created } = written;
    let (name, namespace, created) = (name.clone(), namespace.clone(), created.clone());
    Meta { name, namespace, labels: Labels::NONE, created }
}

impl Endpoint {
    /// What a name stands for, as its only endpoint.
    fn alone(address: Address, labels: &mut SharedLabels) -> Self {
        Self {
            address,
            weight: 1,
            labels: labels.share(&Labels::NONE),
            ready: true,
            nearness: Nearness::default(),
            ports: Ports::Written(None),
        }
    }

    /// Where this endpoint serves a port of its service; None when it does not, has a name instead of an address, or
    /// speaks TLS that stays closed.
    pub(super) fn socket(&self, port: &Port) -> Option<SocketAddr> {
        match self.address {
            Address::Ip(address) => {
                let number = self.port(port)?;
                let is_read = port.speaks_http || port.opened.contains(&number);
                is_read.then(|| SocketAddr::new(address, number))
            }
            Address::Name(..) => None,
        }
    }

    /// The same for whoever connects.
    pub(super) fn target(&self, port: &Port) -> Option<super::Endpoint> {
        let number = self.port(port)?;
        let at = match &self.address {
            Address::Ip(address) => At::Address(SocketAddr::new(*address, number)),
            Address::Name(name, answers) => {
                At::Name { name: Arc::clone(name), port: number, answers: *answers }
            }
        };
        Some(super::Endpoint { at, weight: self.weight, level: 0 })
    }

    fn port(&self, port: &Port) -> Option<u16> {
        let number = match (&self.ports, &port.target) {
            (Ports::Slice(ports), _) => {
                let of_name = ports.iter().find(|p| *p.name == *port.name)?;
                // Without a number it is the service's own (headless services of any port).
                of_name.port.unwrap_or(port.number)
            }
            (Ports::Written(ports), Target::Number(number)) => {
                ports.as_ref().and_then(|ports| ports.get(&*port.name).copied()).unwrap_or(*number)
            }
            (Ports::Pod(_), Target::Number(number)) => *number,
            (Ports::Written(None), Target::Name(_)) => return None,
            (Ports::Pod(ports) | Ports::Written(Some(ports)), Target::Name(name)) => *ports.get(&**name)?,
        };
        Some(number)
    }
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Kubernetes => "Service",
            Self::Entry => "ServiceEntry",
        }
    }
}

impl Ports {
    fn written(ports: &BTreeMap<String, u16>) -> Self {
        Self::Written((!ports.is_empty()).then(|| Arc::new(ports.clone())))
    }
}

/// True when a port's name says one of these, by Istio's convention: `http`, `http-api`.
fn named_after(name: &str, protocols: &[&str]) -> bool {
    let starts = |protocol: &&str| {
        name.get(..protocol.len()).is_some_and(|start| start.eq_ignore_ascii_case(protocol))
            && matches!(name.as_bytes().get(protocol.len()), None | Some(b'-'))
    };
    protocols.iter().any(starts)
}

fn address_of(written: &str, answers: Answers) -> Address {
    match written.parse::<IpAddr>() {
        Ok(address) => Address::Ip(address.to_canonical()),
        Err(_) => Address::Name(written.into(), answers),
    }
}

/// 0 stands for the default, as in all of Istio's numbers.
fn weight(written: Option<u32>) -> u32 {
    written.unwrap_or(1).max(1)
}

const HTTP: [&str; 4] = ["http", "http2", "grpc", "grpc-web"];
/// Those of them that are HTTP/2 (Istio's `IsHTTP2`).
const HTTP2: [&str; 3] = ["http2", "grpc", "grpc-web"];
