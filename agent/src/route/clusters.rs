//! From a destination to the endpoints that serve it: host, subset, port. One cluster for one destination.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
};

use super::{
    CapturedPort, Cluster, hosts,
    services::{Endpoint, Registry, Service},
    subsets::{self, Subsets},
    ways::Members,
};
use crate::config::{Code, Location, istio::Destination};

pub(super) struct Clusters<'a> {
    registry: &'a Registry<'a>,
    subsets: Subsets<'a>,
    made: HashMap<Place<'a>, Arc<Cluster>>,
    members: HashMap<Place<'a>, Members>,
}

/// A destination that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place<'a> {
    pub(super) host: &'a str,
    pub(super) port: u16,
    pub(super) subset: Option<(&'a str, &'a BTreeMap<String, String>)>,
}

/// Why a destination does not.
pub(super) struct Unresolved {
    /// For a mirror's destination.
    pub(super) code: Code,
    pub(super) at: Location,
    /// The field of the destination.
    pub(super) field: &'static str,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(registry: &'a Registry<'a>, subsets: Subsets<'a>) -> Self {
        Self { registry, subsets, made: HashMap::new(), members: HashMap::new() }
    }

    /// Finds what a destination written in an object of `namespace` means, in a rule for the service port `listener`.
    pub(super) fn locate(
        &self,
        destination: &Destination,
        namespace: &str,
        listener: u16,
    ) -> Result<Place<'a>, Unresolved> {
        let service = self.service(destination, namespace)?;
        let subset = destination.subset.as_ref().map(|name| {
            let rules = self.subsets.rules(&service.host, service.namespace(), namespace);
            let subset = subsets::named(&rules, &name.value).ok_or_else(|| {
                let known: BTreeSet<_> =
                    rules.iter().flat_map(|r| &r.subsets).map(|s| s.name.as_str()).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Unresolved {
                    code: Code::UnknownSubset,
                    at: name.at.clone(),
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
            Ok((subset.name.as_str(), &subset.labels))
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
            let mut seen = BTreeSet::new();
            let endpoints = endpoints(registry, place).filter(|(endpoint, _)| endpoint.ready);
            let endpoints = endpoints
                .map(|(_, socket)| socket)
                // "Every local address" is where requests are captured, not a place to send them to.
                .filter(|socket| !socket.ip().is_unspecified() && seen.insert(*socket))
                .collect();
            Arc::new(Cluster { name, endpoints })
        });
        Arc::clone(cluster)
    }

    /// Every endpoint of a place, as it is captured: those that are not ready may have requests under way.
    pub(super) fn members(&mut self, place: Place<'a>) -> Members {
        let registry = self.registry;
        let members = self.members.entry(place).or_insert_with(|| {
            let mut members: Vec<_> =
                endpoints(registry, place).map(|(_, socket)| CapturedPort::of(socket)).collect();
            members.sort_unstable();
            members.dedup();
            members.into()
        });
        Arc::clone(members)
    }

    pub(super) fn registry(&self) -> &'a Registry<'a> {
        self.registry
    }

    fn service(&self, destination: &Destination, namespace: &str) -> Result<&'a Service<'a>, Unresolved> {
        let host = hosts::resolve(&destination.host.value, namespace);
        let unknown = |what, hint| Unresolved {
            code: Code::UnknownHost,
            at: destination.host.at.clone(),
            field: "host",
            what,
            hint,
        };
        let service = self.registry.get(&host).ok_or_else(|| {
            let hint = self.registry.nearest(&host).map(|near| format!("the nearest known host is `{near}`"));
            unknown(format!("no Service or ServiceEntry has the host `{host}`"), hint)
        })?;
        if !service.is_visible_to(namespace) {
            let what = format!("`{host}` is not exported to namespace {namespace}");
            return Err(unknown(what, Some(format!("see `exportTo` of {}", service.declared_by()))));
        }
        let Some(alias) = service.alias else { return Ok(service) };
        // Istio replaces an ExternalName service by the host it stands for.
        self.registry.get(&alias.to_ascii_lowercase()).ok_or_else(|| {
            let what = format!("`{host}` stands for `{}`, which no ServiceEntry has", alias.value);
            unknown(what, Some("an external name becomes known by a ServiceEntry with its endpoints".into()))
        })
    }
}

/// The endpoints of a place, and where each of them serves it.
fn endpoints<'a>(
    registry: &'a Registry<'a>,
    place: Place<'a>,
) -> impl Iterator<Item = (&'a Endpoint<'a>, SocketAddr)> {
    let service = registry.get(place.host).expect("a place names a service of this registry");
    let port = service.port(place.port).expect("a place names a port of its service");
    let chosen = move |endpoint: &&Endpoint<'_>| {
        let has = |(key, value)| endpoint.labels.get(key) == Some(value);
        place.subset.is_none_or(|(_, labels)| labels.iter().all(has))
    };
    service.endpoints.iter().filter(chosen).filter_map(|endpoint| Some((endpoint, endpoint.socket(port)?)))
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
fn port(destination: &Destination, service: &Service<'_>, listener: u16) -> Result<u16, Unresolved> {
    match (&destination.port, service.ports.as_slice()) {
        (Some(port), _) if service.port(port.value).is_some() => return Ok(port.value),
        (None, [only]) => return Ok(only.number),
        (None, _) if service.port(listener).is_some() => return Ok(listener),
        _ => {}
    }
    let ports: Vec<_> = service.ports.iter().map(|p| p.number).collect();
    let list = ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    let (at, field, what) = match &destination.port {
        Some(port) => (&port.at, "port.number", format!("`{}` has no port {}", service.host, port.value)),
        None => {
            let what = format!("is not set, and `{}` has no port {listener} like the primary", service.host);
            (&destination.at, "port", what)
        }
    };
    let hint = match list.is_empty() {
        true => format!("{} has no ports", service.declared_by()),
        false => format!("it has {list}"),
    };
    Err(Unresolved { code: Code::UnknownPort, at: at.clone(), field, what, hint: Some(hint) })
}
