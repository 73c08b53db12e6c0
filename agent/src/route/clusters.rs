//! From a destination to the endpoints that serve it: host, subset, port. One cluster for one destination.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    At, CapturedPort, Cluster,
    findings::Findings,
    hosts,
    services::{Endpoint, Port, Registry, Service},
    subsets::{self, Subsets},
    traffic::Policies,
    ways::Members,
};
use crate::config::{Code, Location, Report, istio::Destination};

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
    pub(super) policies: Policies<'a>,
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
        let rules = self.subsets.rules(&service.host, service.namespace(), namespace);
        let mut policies = Policies { host: subsets::policy(&rules), subset: None };
        let subset = destination.subset.as_ref().map(|name| {
            let (subset, policy) = subsets::named(&rules, &name.value).ok_or_else(|| {
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
            policies.subset = policy;
            Ok((subset.name.as_str(), &subset.labels))
        });
        let subset = subset.transpose()?;
        Ok(Place { host: &service.host, port: port(destination, service, listener)?, subset, policies })
    }

    /// The cluster of a place, the same one every time. What is wrong with its settings is told the first time.
    pub(super) fn introduce(&mut self, place: Place<'a>, findings: &mut Findings<'_>) -> Arc<Cluster> {
        let registry = self.registry;
        let cluster = self.made.entry(place).or_insert_with(|| {
            let Place { host, port, subset, policies } = place;
            let name = format!("outbound|{port}|{}|{host}", subset.map_or("", |(name, _)| name));
            let (service, port) = serving(registry, place);
            let mut seen = BTreeSet::new();
            let endpoints = endpoints(registry, place).filter(|endpoint| endpoint.ready);
            let endpoints = endpoints
                .filter_map(|endpoint| endpoint.target(port))
                .filter(|endpoint| match endpoint.at {
                    // "Every local address" is where requests are captured, not a place to send them to.
                    At::Address(socket) => !socket.ip().is_unspecified() && seen.insert(socket),
                    At::Name { .. } => true,
                })
                .collect();
            let settings = policies.settings(service, port, findings);
            Arc::new(Cluster { name, endpoints, settings })
        });
        Arc::clone(cluster)
    }

    /// The same for one that was introduced before.
    pub(super) fn cluster(&mut self, place: Place<'a>) -> Arc<Cluster> {
        self.introduce(place, &mut Findings::new(&mut Report::default()))
    }

    /// Every cluster made, in the order of their names.
    pub(super) fn all(&self) -> Vec<Arc<Cluster>> {
        let mut clusters: Vec<_> = self.made.values().cloned().collect();
        clusters.sort_by(|a, b| a.name.cmp(&b.name));
        clusters
    }

    /// Every endpoint of a place, as it is captured: those that are not ready may have requests under way.
    pub(super) fn members(&mut self, place: Place<'a>) -> Members {
        let registry = self.registry;
        let members = self.members.entry(place).or_insert_with(|| {
            let (_, port) = serving(registry, place);
            let sockets = endpoints(registry, place).filter_map(|endpoint| endpoint.socket(port));
            let mut members: Vec<_> = sockets.map(CapturedPort::of).collect();
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
        // Istio replaces an ExternalName service by the host it stands for; without a ServiceEntry for that it is a
        // name to resolve.
        Ok(self.registry.get(&alias.to_ascii_lowercase()).unwrap_or(service))
    }
}

/// The service of a place and its port.
fn serving<'a, 'r>(registry: &'r Registry<'a>, place: Place<'_>) -> (&'r Service<'a>, &'r Port<'a>) {
    let service = registry.get(place.host).expect("a place names a service of this registry");
    (service, service.port(place.port).expect("a place names a port of its service"))
}

/// The endpoints of a place.
fn endpoints<'a>(registry: &'a Registry<'a>, place: Place<'a>) -> impl Iterator<Item = &'a Endpoint<'a>> {
    let chosen = move |endpoint: &&Endpoint<'_>| {
        let has = |(key, value)| endpoint.labels.get(key) == Some(value);
        place.subset.is_none_or(|(_, labels)| labels.iter().all(has))
    };
    serving(registry, place).0.endpoints.iter().filter(chosen)
}

impl Place<'_> {
    /// `host:port` or `host:port/subset`
    pub(super) fn text(&self) -> String {
        let Self { host, port, subset, .. } = self;
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
