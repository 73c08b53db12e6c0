//! The registry: every service that is declared, by Kubernetes or by a ServiceEntry, with its endpoints.

mod entries;
mod kept;
mod kube;

use std::{
    cell::{Cell, OnceCell},
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    ops::Bound,
    sync::Arc,
};

use foldhash::HashMap;

use super::{
    Answers, At, Protocol, exports,
    findings::{Findings, Site},
    known::Changed,
    objects::{Objects, address},
};
use crate::config::{Code, Labels, Located, Location, Meta, kubernetes::SlicePort};
pub(super) use kept::{AllEndpoints, Kept, SharedLabels};

/// How many names are compared by their letters in one compilation: a person reads few hints, and comparing is slow.
const COMPARISONS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Registry<'a> {
    pub(super) services: Vec<Service<'a>>,
    by_host: HashMap<Arc<str>, usize>,
    /// In order; only hints need it.
    hosts: OnceCell<BTreeSet<Arc<str>>>,
    comparisons: Cell<usize>,
}

/// One host of a ServiceEntry, or a Service of Kubernetes.
#[derive(Debug)]
pub(super) struct Service<'a> {
    /// In full.
    pub(super) host: Arc<str>,
    pub(super) kind: Kind,
    pub(super) meta: &'a Meta,
    pub(super) ports: Vec<Port<'a>>,
    /// The same value for as long as nothing about them changes.
    pub(super) endpoints: Arc<[Endpoint]>,
    /// Cluster IPs, or `addresses` of a ServiceEntry that are no ranges: clients may name the service by them.
    pub(super) addresses: Vec<IpAddr>,
    pub(super) headless: bool,
    /// The name an ExternalName service stands for.
    pub(super) alias: Option<&'a Located<String>>,
    /// `location: MESH_EXTERNAL`, or an ExternalName.
    pub(super) external: bool,
    /// One of these must be in its certificate.
    pub(super) subject_alt_names: &'a [Located<String>],
    export_to: &'a [Located<String>],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// kube-proxy sends its traffic to every endpoint, whatever rules say.
    Kubernetes,
    Entry,
}

#[derive(Debug)]
pub(super) struct Port<'a> {
    pub(super) number: u16,
    pub(super) name: &'a str,
    pub(super) speaks_http: bool,
    pub(super) is_https: bool,
    /// Ports of apps at which HTTPS is read.
    pub(super) opened: Arc<[u16]>,
    /// What Istio speaks to it, unless a rule says otherwise.
    pub(super) protocol: Protocol,
    /// Where it was written.
    pub(super) at: &'a Location,
    target: Target<'a>,
}

/// Where endpoints serve a port, unless they say so themselves.
#[derive(Clone, Copy, Debug)]
enum Target<'a> {
    Number(u16),
    /// A named port of each pod.
    Name(&'a str),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) address: Address,
    /// Its share of copies among the others; 1 where none was written.
    pub(super) weight: u32,
    pub(super) labels: Arc<Labels>,
    /// One that is not ready may still have requests under way, but gets no copies.
    pub(super) ready: bool,
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

impl<'a> Registry<'a> {
    /// A Service of Kubernetes comes before a ServiceEntry of the same host; of two entries the older wins, as among
    /// virtual services.
    pub(super) fn new(
        objects: &Objects<'a>,
        changed: Changed,
        kept: &mut Kept<'_>,
        findings: &mut Findings<'_>,
    ) -> Self {
        let mut registry = Self {
            services: Vec::with_capacity(objects.services.len() + objects.service_entries.len()),
            by_host: HashMap::default(),
            hosts: OnceCell::new(),
            comparisons: Cell::new(0),
        };
        let workloads = OnceCell::new();
        let workloads = || workloads.get_or_init(|| kube::Workloads::new(objects));
        for service in kube::services(objects, changed, &workloads, kept, findings) {
            registry.add(service);
        }
        let mut in_order = objects.service_entries.clone();
        in_order.sort_by_key(|e| (&e.meta.created, &e.meta.name.value, &e.meta.namespace));
        for entry in in_order {
            let site = Site::of("ServiceEntry", &entry.meta);
            let same = !changed.workloads || entry.workload_selector.is_none();
            let endpoints = kept.endpoints(address(entry), findings, same, Vec::new(), |labels, findings| {
                entries::endpoints(entry, objects, &workloads, labels, &site, findings)
            });
            for (index, written) in entry.hosts.iter().enumerate() {
                let endpoints = Arc::clone(&endpoints);
                let service = entries::service(entry, written, endpoints, &objects.opened, kept, findings);
                if let Some(winner) = registry.get(&service.host) {
                    let what = format!("`{}` is already declared by {}", service.host, winner.declared_by());
                    let hint = "a Service comes first, of two entries the older, then the first by name";
                    let site = site.item("hosts", index);
                    findings.add(Code::Shadowed, &written.at, &site, what, hint.to_owned());
                    continue;
                }
                registry.add(service);
            }
        }
        registry
    }

    fn add(&mut self, service: Service<'a>) {
        self.by_host.insert(Arc::clone(&service.host), self.services.len());
        self.services.push(service);
    }

    pub(super) fn get(&self, host: &str) -> Option<&Service<'a>> {
        self.by_host.get(host).map(|&index| &self.services[index])
    }

    /// The known host a person who wrote this one may have meant: the same name elsewhere, else one a few letters away.
    pub(super) fn nearest(&self, host: &str) -> Option<&str> {
        let hosts = self.hosts.get_or_init(|| self.by_host.keys().cloned().collect());
        let starting = |start: &str| {
            let known = hosts.range::<str, _>((Bound::Included(start), Bound::Unbounded)).next()?;
            known.starts_with(start).then_some(&**known)
        };
        let name = host.split('.').next().unwrap_or(host);
        let alone = || hosts.get(name).map(|known| &**known);
        starting(&format!("{host}."))
            .or_else(|| starting(&format!("{name}.")))
            .or_else(alone)
            .or_else(|| self.nearest_by_letters(host, hosts))
    }

    fn nearest_by_letters<'h>(&self, host: &str, hosts: &'h BTreeSet<Arc<str>>) -> Option<&'h str> {
        self.comparisons.update(|n| n + hosts.len());
        if self.comparisons.get() > COMPARISONS {
            return None;
        }
        let nearest = hosts.iter().map(|known| (strsim::damerau_levenshtein(host, known), known)).min();
        nearest.filter(|&(distance, _)| distance <= 3).map(|(_, known)| &**known)
    }
}

impl<'a> Service<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        &self.meta.namespace
    }

    /// What tells it from every other one: the object that declares it, and its endpoints.
    pub(super) fn identity(&self) -> [usize; 2] {
        [address(self.meta), address(&*self.endpoints)]
    }

    pub(super) fn port(&self, number: u16) -> Option<&Port<'a>> {
        self.ports.iter().find(|p| p.number == number)
    }

    /// Those whose requests can be read.
    pub(super) fn http_ports(&self) -> impl Iterator<Item = &Port<'a>> {
        self.ports.iter().filter(|p| p.speaks_http || p.is_https && !p.opened.is_empty())
    }

    pub(super) fn is_visible_to(&self, namespace: &str) -> bool {
        exports::reach(self.export_to, self.namespace(), namespace).is_some()
    }

    /// `ServiceEntry default/my-app`
    pub(super) fn declared_by(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.meta.qualified())
    }
}

impl Endpoint {
    /// What a name stands for, as its only endpoint.
    fn alone(address: Address, labels: &mut SharedLabels) -> Self {
        Self {
            address,
            weight: 1,
            labels: labels.share(&Labels::NONE),
            ready: true,
            ports: Ports::Written(None),
        }
    }

    /// Where this endpoint serves a port of its service; None when it does not, has a name instead of an address, or
    /// speaks TLS that stays closed.
    pub(super) fn socket(&self, port: &Port<'_>) -> Option<SocketAddr> {
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
    pub(super) fn target(&self, port: &Port<'_>) -> Option<super::Endpoint> {
        let number = self.port(port)?;
        let at = match &self.address {
            Address::Ip(address) => At::Address(SocketAddr::new(*address, number)),
            Address::Name(name, answers) => {
                At::Name { name: Arc::clone(name), port: number, answers: *answers }
            }
        };
        Some(super::Endpoint { at, weight: self.weight })
    }

    fn port(&self, port: &Port<'_>) -> Option<u16> {
        let number = match (&self.ports, port.target) {
            (Ports::Slice(ports), _) => {
                let of_name = ports.iter().find(|p| p.name == port.name)?;
                // Without a number it is the service's own (headless services of any port).
                of_name.port.unwrap_or(port.number)
            }
            (Ports::Written(ports), Target::Number(number)) => {
                ports.as_ref().and_then(|ports| ports.get(port.name).copied()).unwrap_or(number)
            }
            (Ports::Pod(_), Target::Number(number)) => number,
            (Ports::Written(None), Target::Name(_)) => return None,
            (Ports::Pod(ports) | Ports::Written(Some(ports)), Target::Name(name)) => *ports.get(name)?,
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
