//! The registry: every service some ServiceEntry declares, with its endpoints.

use std::{
    cell::Cell,
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::findings::{Findings, Site};
use crate::config::{
    Code,
    istio::{Resolution, ServiceEntry, ServicePort},
};

/// How many names are compared by their letters in one compilation: a person reads few hints, and comparing is slow.
const COMPARISONS: usize = 50_000;

#[derive(Debug)]
pub(super) struct Registry<'a> {
    pub(super) services: Vec<Service<'a>>,
    by_host: BTreeMap<String, usize>,
    comparisons: Cell<usize>,
}

/// One host of a ServiceEntry.
#[derive(Debug)]
pub(super) struct Service<'a> {
    pub(super) host: String,
    pub(super) entry: &'a ServiceEntry,
    pub(super) endpoints: Arc<[Endpoint<'a>]>,
}

#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    pub(super) address: IpAddr,
    pub(super) labels: Arc<BTreeMap<String, String>>,
    ports: &'a BTreeMap<String, u16>,
}

impl<'a> Registry<'a> {
    /// Of two entries for one host the older wins, as among virtual services.
    pub(super) fn new(entries: &'a [ServiceEntry], findings: &mut Findings<'_>) -> Self {
        let mut in_order: Vec<_> = entries.iter().collect();
        in_order.sort_by_key(|e| (&e.meta.created, &e.meta.name.value, &e.meta.namespace));
        let mut registry = Self { services: Vec::new(), by_host: BTreeMap::new(), comparisons: Cell::new(0) };
        for entry in in_order {
            let site =
                Site { object: format!("ServiceEntry {}", entry.meta.qualified()), path: "spec".into() };
            let endpoints: Arc<[_]> = endpoints(entry, &site, findings).into();
            for (index, written) in entry.hosts.iter().enumerate() {
                let host = written.value.to_ascii_lowercase();
                if let Some(winner) = registry.get(&host) {
                    let what = format!("`{host}` is already declared by {}", winner.entry.meta.qualified());
                    let hint = "of two entries the older wins, then the first by name".to_owned();
                    let site = site.field(format_args!("hosts[{index}]"));
                    findings.add(Code::Shadowed, &written.at, &site, what, hint);
                    continue;
                }
                registry.by_host.insert(host.clone(), registry.services.len());
                registry.services.push(Service { host, entry, endpoints: Arc::clone(&endpoints) });
            }
        }
        registry
    }

    pub(super) fn get(&self, host: &str) -> Option<&Service<'a>> {
        self.by_host.get(host).map(|&index| &self.services[index])
    }

    /// The known host a person who wrote this one may have meant: the same name elsewhere, else one a few letters away.
    pub(super) fn nearest(&self, host: &str) -> Option<&str> {
        let starting = |start: &str| {
            let (known, _) = self.by_host.range(start.to_owned()..).next()?;
            known.starts_with(start).then_some(known.as_str())
        };
        let name = host.split('.').next().unwrap_or(host);
        let alone = || self.by_host.get_key_value(name).map(|(known, _)| known.as_str());
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
        nearest.filter(|&(distance, _)| distance <= 3).map(|(_, known)| known.as_str())
    }
}

impl Service<'_> {
    pub(super) fn namespace(&self) -> &str {
        &self.entry.meta.namespace
    }

    pub(super) fn port(&self, number: u16) -> Option<&ServicePort> {
        self.entry.ports.iter().find(|p| p.number.value == number)
    }

    pub(super) fn http_ports(&self) -> impl Iterator<Item = &ServicePort> {
        self.entry.ports.iter().filter(|p| speaks_http(p))
    }
}

impl Endpoint<'_> {
    /// Where this endpoint serves a port of its service: `endpoints[].ports` by name, else the port's `targetPort`.
    pub(super) fn socket(&self, port: &ServicePort) -> SocketAddr {
        SocketAddr::new(self.address, self.ports.get(&port.name).copied().unwrap_or(port.target_port))
    }
}

/// By protocol, or for a port that only says TCP by Kubernetes' naming of ports (`http`, `http-api`).
fn speaks_http(port: &ServicePort) -> bool {
    const PROTOCOLS: [&str; 4] = ["HTTP", "HTTP2", "GRPC", "GRPC-WEB"];
    let name = port.name.to_ascii_uppercase();
    let named = |p: &&str| name.strip_prefix(*p).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    PROTOCOLS.contains(&port.protocol.as_str()) || (port.protocol == "TCP" && PROTOCOLS.iter().any(named))
}

fn endpoints<'a>(entry: &'a ServiceEntry, site: &Site, findings: &mut Findings<'_>) -> Vec<Endpoint<'a>> {
    // The address the client dialled is no endpoint.
    if entry.resolution.value == Resolution::None {
        return Vec::new();
    }
    if entry.endpoints.is_empty() && entry.resolution.value != Resolution::Static {
        let what = "names are not resolved yet, and no endpoint is written: this service has none";
        findings.add(Code::NotHonoured, &entry.resolution.at, &site.field("resolution"), what, None);
    }
    // Endpoints of one workload carry the same labels: they are kept once.
    let mut labels = HashMap::<_, Arc<_>>::new();
    let mut endpoints = Vec::with_capacity(entry.endpoints.len());
    for (index, written) in entry.endpoints.iter().enumerate() {
        let Ok(address) = written.address.value.parse::<IpAddr>() else {
            let site = site.field(format_args!("endpoints[{index}].address"));
            let what = format!(
                "`{}` is no IP address and is not used: names are not resolved yet",
                *written.address
            );
            findings.add(Code::NotHonoured, &written.address.at, &site, what, None);
            continue;
        };
        let labels = labels.entry(&written.labels).or_insert_with(|| Arc::new(written.labels.clone()));
        endpoints.push(Endpoint {
            address: address.to_canonical(),
            labels: Arc::clone(labels),
            ports: &written.ports,
        });
    }
    endpoints
}
