//! The registry: every service that is declared, by Kubernetes or by a ServiceEntry, with its endpoints.

mod entries;
mod kube;

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    ops::Bound,
    sync::Arc,
};

use super::{
    Answers, At, Protocol, exports,
    findings::{Findings, Site},
};
use crate::config::{Code, Located, Location, Meta, Resources, kubernetes::SlicePort};

/// How many names are compared by their letters in one compilation: a person reads few hints, and comparing is slow.
const COMPARISONS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Registry<'a> {
    pub(super) services: Vec<Service<'a>>,
    by_host: BTreeMap<Arc<str>, usize>,
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
    pub(super) endpoints: Arc<[Endpoint<'a>]>,
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

#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    pub(super) address: Address<'a>,
    /// Its share of copies among the others; 1 where none was written.
    pub(super) weight: u32,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    /// One that is not ready may still have requests under way, but gets no copies.
    pub(super) ready: bool,
    ports: Ports<'a>,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Address<'a> {
    Ip(IpAddr),
    /// To be resolved by whoever connects: nothing is captured there.
    Name(&'a str, Answers),
}

#[derive(Clone, Copy, Debug)]
enum Ports<'a> {
    /// By the service port's name, where they differ from its target: a ServiceEntry's.
    Written(&'a BTreeMap<String, u16>),
    /// By their own names: a pod's.
    Pod(&'a BTreeMap<String, u16>),
    /// All there are: an EndpointSlice's.
    Slice(&'a [SlicePort]),
}

impl<'a> Registry<'a> {
    /// A Service of Kubernetes comes before a ServiceEntry of the same host; of two entries the older wins, as among
    /// virtual services.
    pub(super) fn new(resources: &'a Resources, findings: &mut Findings<'_>) -> Self {
        let mut registry = Self { services: Vec::new(), by_host: BTreeMap::new(), comparisons: Cell::new(0) };
        let mut labels = Labels::default();
        let workloads = kube::Workloads::new(resources);
        for service in workloads.services(resources, &mut labels) {
            registry.add(service);
        }
        let mut in_order: Vec<_> = resources.service_entries.iter().collect();
        in_order.sort_by_key(|e| (&e.meta.created, &e.meta.name.value, &e.meta.namespace));
        for entry in in_order {
            let site = Site::of("ServiceEntry", &entry.meta);
            let endpoints: Arc<[_]> =
                entries::endpoints(entry, resources, &workloads, &mut labels, &site, findings).into();
            for (index, written) in entry.hosts.iter().enumerate() {
                let service = entries::service(entry, written, Arc::clone(&endpoints), &mut labels);
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
        let starting = |start: &str| {
            let (known, _) =
                self.by_host.range::<str, _>((Bound::Included(start), Bound::Unbounded)).next()?;
            known.starts_with(start).then_some(&**known)
        };
        let name = host.split('.').next().unwrap_or(host);
        let alone = || self.by_host.get_key_value(name).map(|(known, _)| &**known);
        starting(&format!("{host}."))
            .or_else(|| starting(&format!("{name}.")))
            .or_else(alone)
            .or_else(|| self.nearest_by_letters(host))
    }

    fn nearest_by_letters(&self, host: &str) -> Option<&str> {
        self.comparisons.update(|n| n + self.by_host.len());
        if self.comparisons.get() > COMPARISONS {
            return None;
        }
        let nearest =
            self.by_host.keys().map(|known| (strsim::damerau_levenshtein(host, known), known)).min();
        nearest.filter(|&(distance, _)| distance <= 3).map(|(_, known)| &**known)
    }
}

impl<'a> Service<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        &self.meta.namespace
    }

    pub(super) fn port(&self, number: u16) -> Option<&Port<'a>> {
        self.ports.iter().find(|p| p.number == number)
    }

    pub(super) fn http_ports(&self) -> impl Iterator<Item = &Port<'a>> {
        self.ports.iter().filter(|p| p.speaks_http)
    }

    pub(super) fn is_visible_to(&self, namespace: &str) -> bool {
        exports::reach(self.export_to, self.namespace(), namespace).is_some()
    }

    /// `ServiceEntry default/my-app`
    pub(super) fn declared_by(&self) -> String {
        format!("{} {}", self.kind.as_str(), self.meta.qualified())
    }
}

impl Endpoint<'_> {
    /// Where this endpoint serves a port of its service; None when it does not, or has a name instead of an address.
    pub(super) fn socket(&self, port: &Port<'_>) -> Option<SocketAddr> {
        match self.address {
            Address::Ip(address) => Some(SocketAddr::new(address, self.port(port)?)),
            Address::Name(..) => None,
        }
    }

    /// The same for whoever connects.
    pub(super) fn target(&self, port: &Port<'_>) -> Option<super::Endpoint> {
        let number = self.port(port)?;
        let at = match self.address {
            Address::Ip(address) => At::Address(SocketAddr::new(address, number)),
            Address::Name(name, answers) => At::Name { name: name.into(), port: number, answers },
        };
        Some(super::Endpoint { at, weight: self.weight })
    }

    fn port(&self, port: &Port<'_>) -> Option<u16> {
        let number = match (self.ports, port.target) {
            (Ports::Slice(ports), _) => {
                let of_name = ports.iter().find(|p| p.name == port.name)?;
                // Without a number it is the service's own (headless services of any port).
                of_name.port.unwrap_or(port.number)
            }
            (Ports::Written(ports), Target::Number(number)) => {
                ports.get(port.name).copied().unwrap_or(number)
            }
            (Ports::Pod(_), Target::Number(number)) => number,
            (Ports::Pod(ports) | Ports::Written(ports), Target::Name(name)) => *ports.get(name)?,
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

/// Endpoints of one workload carry the same labels: they are kept once.
#[derive(Debug, Default)]
struct Labels<'a>(HashMap<&'a BTreeMap<String, String>, Arc<BTreeMap<String, String>>>);

impl<'a> Labels<'a> {
    fn share(&mut self, labels: &'a BTreeMap<String, String>) -> Arc<BTreeMap<String, String>> {
        Arc::clone(self.0.entry(labels).or_insert_with(|| Arc::new(labels.clone())))
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

/// 0 stands for the default, as in all of Istio's numbers.
fn weight(written: Option<u32>) -> u32 {
    written.unwrap_or(1).max(1)
}

const HTTP: [&str; 4] = ["http", "http2", "grpc", "grpc-web"];
/// Those of them that are HTTP/2 (Istio's `IsHTTP2`).
const HTTP2: [&str; 3] = ["http2", "grpc", "grpc-web"];
