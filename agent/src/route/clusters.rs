//! From a destination to the endpoints that serve it: host, subset, port. One cluster for one destination.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Cluster, exports, hosts,
    services::{Registry, Service},
    subsets::{self, Subsets},
};
use crate::config::{Code, Location, istio::Destination};

pub(super) struct Clusters<'a> {
    registry: &'a Registry<'a>,
    subsets: Subsets<'a>,
    made: HashMap<Place<'a>, Arc<Cluster>>,
}

/// A destination that exists.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place<'a> {
    host: &'a str,
    port: u16,
    subset: Option<(&'a str, &'a BTreeMap<String, String>)>,
}

/// Why a destination does not.
pub(super) struct Unresolved<'a> {
    /// For a mirror's destination.
    pub(super) code: Code,
    pub(super) at: &'a Location,
    /// The field of the destination.
    pub(super) field: &'static str,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(registry: &'a Registry<'a>, subsets: Subsets<'a>) -> Self {
        Self { registry, subsets, made: HashMap::new() }
    }

    /// Finds what a destination written in an object of `namespace` means, in a rule for the service port `listener`.
    pub(super) fn locate(
        &self,
        destination: &'a Destination,
        namespace: &str,
        listener: u16,
    ) -> Result<Place<'a>, Unresolved<'a>> {
        let service = self.service(destination, namespace)?;
        let subset = destination.subset.as_ref().map(|name| {
            let rules = self.subsets.rules(&service.host, service.namespace(), namespace);
            let labels = subsets::labels(&rules, &name.value).ok_or_else(|| {
                let known: BTreeSet<_> =
                    rules.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Unresolved {
                    code: Code::UnknownSubset,
                    at: &name.at,
                    field: "subset",
                    what: format!("no DestinationRule of `{}` has a subset `{}`", service.host, name.value),
                    hint: Some(match rules.first() {
                        None => {
                            format!("no DestinationRule for this host is visible to namespace {namespace}")
                        }
                        Some(rule) if known.is_empty() => format!("{} has no subsets", rule.meta.qualified()),
                        Some(rule) => format!("{} knows {known}", rule.meta.qualified()),
                    }),
                }
            })?;
            Ok((name.value.as_str(), labels))
        });
        let subset = subset.transpose()?;
        Ok(Place { host: &service.host, port: port(destination, service, listener)?, subset })
    }

    /// The cluster of a place, the same one every time.
    pub(super) fn cluster(&mut self, place: Place<'a>) -> Arc<Cluster> {
        let registry = self.registry;
        let cluster = self.made.entry(place).or_insert_with(|| {
            let Place { host, port, subset } = place;
            let name = format!("outbound|{port}|{}|{host}", subset.map_or("", |(name, _)| name));
            let service = registry.get(host).expect("a place names a service of this registry");
            let port = service.port(port).expect("a place names a port of its service");
            let mut seen = BTreeSet::new();
            let endpoints = service.endpoints.iter();
            let endpoints = endpoints
                .filter(|e| {
                    subset.is_none_or(|(_, labels)| labels.iter().all(|(k, v)| e.labels.get(k) == Some(v)))
                })
                .map(|endpoint| endpoint.socket(port))
                // "Every local address" is where requests are captured, not a place to send them to.
                .filter(|socket| !socket.ip().is_unspecified() && seen.insert(*socket))
                .collect();
            Arc::new(Cluster { name, endpoints })
        });
        Arc::clone(cluster)
    }

    fn service(
        &self,
        destination: &'a Destination,
        namespace: &str,
    ) -> Result<&'a Service<'a>, Unresolved<'a>> {
        let host = hosts::resolve(&destination.host.value, namespace);
        let unknown = |what, hint| Unresolved {
            code: Code::UnknownHost,
            at: &destination.host.at,
            field: "host",
            what,
            hint,
        };
        let service = self.registry.get(&host).ok_or_else(|| {
            let hint = self.registry.nearest(&host).map(|near| format!("the nearest known host is `{near}`"));
            unknown(format!("no ServiceEntry has the host `{host}`"), hint)
        })?;
        let entry = service.entry;
        if exports::reach(&entry.export_to, &entry.meta.namespace, namespace).is_none() {
            let what = format!("the ServiceEntry of `{host}` is not exported to namespace {namespace}");
            return Err(unknown(what, Some(format!("see `exportTo` of {}", entry.meta.qualified()))));
        }
        Ok(service)
    }
}

impl Place<'_> {
    /// `host:port` or `host:port/subset`
    pub(super) fn text(&self) -> String {
        let Self { host, port, subset } = self;
        subset.map_or_else(|| format!("{host}:{port}"), |(name, _)| format!("{host}:{port}/{name}"))
    }
}

/// The port written, else the only one of the service, else the one the primary's client dialled. Where Istio would
/// then silently have no cluster, this is a fault.
fn port<'a>(
    destination: &'a Destination,
    service: &Service<'_>,
    listener: u16,
) -> Result<u16, Unresolved<'a>> {
    let ports: Vec<_> = service.entry.ports.iter().map(|p| p.number.value).collect();
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let (at, field, what) = match (&destination.port, ports.as_slice()) {
        (Some(port), _) if ports.contains(&port.value) => return Ok(port.value),
        (Some(port), _) => {
            (&port.at, "port.number", format!("`{}` has no port {}", service.host, port.value))
        }
        (None, &[only]) => return Ok(only),
        (None, _) if ports.contains(&listener) => return Ok(listener),
        (None, _) => {
            let what = format!("is not set, and `{}` has no port {listener} like the primary", service.host);
            (&destination.at, "port", what)
        }
    };
    let hint =
        if ports.is_empty() { "its ServiceEntry has no ports".into() } else { format!("it has {list}") };
    Err(Unresolved { code: Code::UnknownPort, at, field, what, hint: Some(hint) })
}
