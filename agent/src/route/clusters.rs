//! From a destination to the endpoints that serve it: host, subset, port. One cluster for one destination.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::HashMap;

use super::{
    At, CapturedPort, Cluster, Workloads,
    findings::{Finding, Findings, Hint},
    hosts,
    known::{Asked, Known},
    nearness::{self, Preference},
    services::{Endpoint, Port, Service},
    subsets,
    traffic::Policies,
    ways::Members,
};
use crate::config::{self, Code, Labels, Location, Report, istio::Destination};

pub(super) struct Clusters<'a> {
    pub(super) known: Known<'a>,
    kept: &'a Spots,
    made: HashMap<Place<'a>, Arc<Spot>>,
}

/// What a place resolves to, by [`Place::key`].
pub(super) type Spots = HashMap<Box<str>, Arc<Spot>>;

#[derive(Debug)]
pub(super) struct Spot {
    text: Arc<str>,
    cluster: Arc<Cluster>,
    members: Members,
    asked: Vec<Asked>,
    /// About the cluster's settings.
    findings: Vec<Finding>,
}

impl Spot {
    /// Whether anything in force was made with it.
    pub(super) fn is_used(&self) -> bool {
        Arc::strong_count(&self.cluster) > 1 || Arc::strong_count(&self.members) > 1
    }
}

/// A destination that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place<'a> {
    pub(super) host: &'a Arc<str>,
    pub(super) port: u16,
    pub(super) subset: Option<(&'a Arc<str>, &'a Labels)>,
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
    pub(super) hint: Option<Hint>,
}

impl<'a> Clusters<'a> {
    pub(super) fn new(known: Known<'a>, kept: &'a Spots) -> Self {
        Self { known, kept, made: HashMap::default() }
    }

    /// What was resolved, to be kept, and the keys of what was kept and is no longer good.
    pub(super) fn into_made(self) -> (Spots, Vec<Box<str>>) {
        let Self { known, kept, made } = self;
        let stale = kept.iter().filter(|(_, spot)| !known.agrees(&spot.asked)).map(|(key, _)| key.clone());
        let stale = if known.any_changed() { stale.collect() } else { Vec::new() };
        (made.into_iter().map(|(place, spot)| (place.key(), spot)).collect(), stale)
    }

    /// Finds what a destination written in an object of `namespace` means, in a rule for the service port `listener`.
    pub(super) fn locate(
        &self,
        destination: &Destination,
        namespace: &str,
        listener: u16,
    ) -> Result<Place<'a>, Unresolved> {
        let service = self.service(destination, namespace)?;
        let rules = self.known.rules(service, namespace);
        let mut policies = Policies { host: subsets::policy(&rules), subset: None };
        let subset = destination.subset.as_ref().map(|name| {
            let (subset, policy) = subsets::named(&rules, &name.value).ok_or_else(|| {
                let known: BTreeSet<_> = rules.iter().flat_map(|r| &r.subsets).map(|s| &**s.name).collect();
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                Unresolved {
                    code: Code::UnknownSubset,
                    at: name.at.clone(),
                    field: "subset",
                    what: format!("no DestinationRule of `{}` has a subset `{}`", service.host, name.value),
                    hint: Some(Hint::Text(match rules.first() {
                        None => {
                            format!("no DestinationRule for this host is visible to namespace {namespace}")
                        }
                        Some(rule) if known.is_empty() => format!("{} has no subsets", rule.meta.qualified()),
                        Some(rule) => format!("{} knows {known}", rule.meta.qualified()),
                    })),
                }
            })?;
            policies.subset = policy;
            Ok((&subset.name.value, &subset.labels))
        });
        let subset = subset.transpose()?;
        Ok(Place { host: &service.host, port: port(destination, service, listener)?, subset, policies })
    }

    /// The cluster of a place, the same one every time. What is wrong with its settings is told to everyone who sends
    /// copies there.
    pub(super) fn introduce(&mut self, place: Place<'a>, findings: &mut Findings<'_>) -> Arc<Cluster> {
        let spot = self.spot(place);
        spot.findings.iter().for_each(|finding| findings.pass_on(finding));
        Arc::clone(&spot.cluster)
    }

    /// The same for one that was introduced before.
    pub(super) fn cluster(&mut self, place: Place<'a>) -> Arc<Cluster> {
        Arc::clone(&self.spot(place).cluster)
    }

    /// Every endpoint of a place, as it is captured: those that are not ready may have requests under way.
    pub(super) fn members(&mut self, place: Place<'a>) -> Members {
        Arc::clone(&self.spot(place).members)
    }

    /// [`Place::text`], the same memory every time.
    pub(super) fn text(&mut self, place: Place<'a>) -> Arc<str> {
        Arc::clone(&self.spot(place).text)
    }

    /// The service of a place.
    pub(super) fn service_of(&self, place: Place<'_>) -> Option<&'a Service> {
        self.known.service(place.host)
    }

    /// One that is kept is good for as long as what it was made of is.
    fn spot(&mut self, place: Place<'a>) -> &Spot {
        let Self { known, kept, made } = self;
        let spot = made.entry(place).or_insert_with(|| {
            let good = |spot: &&Arc<Spot>| known.agrees(&spot.asked);
            if let Some(spot) = kept.get(&place.key()).filter(good) {
                return Arc::clone(spot);
            }
            let begun = known.begin();
            let mut report = Report::default();
            let mut findings = Findings::new(&mut report);
            findings.begin();
            let cluster = Arc::new(cluster(known, place, &mut findings));
            let members = members(known, place);
            let text = place.text().into();
            Arc::new(Spot { text, cluster, members, asked: known.noted(begun), findings: findings.noted() })
        });
        known.note_again(&spot.asked);
        spot
    }

    fn service(&self, destination: &Destination, namespace: &str) -> Result<&'a Service, Unresolved> {
        let host = hosts::resolve(&destination.host.value, namespace);
        let unknown = |what, hint| Unresolved {
            code: Code::UnknownHost,
            at: destination.host.at.clone(),
            field: "host",
            what,
            hint,
        };
        let service = self.known.service(&host).ok_or_else(|| {
            let what = format!("no Service or ServiceEntry has the host `{host}`");
            unknown(what, Some(Hint::Nearest(host.clone())))
        })?;
        if !service.is_visible_to(namespace) {
            let what = format!("`{host}` is not exported to namespace {namespace}");
            let hint = format!("see `exportTo` of {}", service.declared_by());
            return Err(unknown(what, Some(Hint::Text(hint))));
        }
        let Some(alias) = &service.alias else { return Ok(service) };
        // Istio replaces an ExternalName service by the host it stands for; without a ServiceEntry for that it is a
        // name to resolve.
        Ok(self.known.service(&alias.to_ascii_lowercase()).unwrap_or(service))
    }
}

fn cluster(known: &Known<'_>, place: Place<'_>, findings: &mut Findings<'_>) -> Cluster {
    let Place { host, port, subset, policies } = place;
    let name = format!("outbound|{port}|{}|{host}", subset.map_or("", |(name, _)| &**name));
    let (service, port) = serving(known, place);
    let mut seen = BTreeSet::new();
    let ready = || endpoints(service, place).filter(|endpoint| endpoint.ready);
    let mut endpoints = Vec::with_capacity(ready().count());
    let mut labels = Vec::with_capacity(endpoints.capacity());
    let mut near = Vec::with_capacity(endpoints.capacity());
    for endpoint in ready() {
        let Some(target) = endpoint.target(port) else { continue };
        // "Every local address" is where requests are captured, not a place to send them to.
        let is_new = match target.at {
            At::Address(socket) => !socket.ip().is_unspecified() && seen.insert(socket),
            At::Name { .. } => true,
        };
        if is_new {
            endpoints.push(target);
            labels.push(Arc::clone(&endpoint.labels));
            near.push(&endpoint.nearness);
        }
    }
    let settings = policies.settings(service, port, findings);
    let locality = policies.locality(port.number);
    let preference = Preference::new(locality, settings.outliers.is_some(), service.distribution);
    let levels = nearness::levels(known.here(), preference, &near);
    endpoints.iter_mut().zip(levels).for_each(|(endpoint, level)| endpoint.level = level);
    let workloads = Workloads::new(service.namespace().into(), &labels);
    Cluster { name, endpoints, settings, workloads }
}

fn members(known: &Known<'_>, place: Place<'_>) -> Members {
    let (service, port) = serving(known, place);
    let sockets = endpoints(service, place).filter_map(|endpoint| endpoint.socket(port));
    let mut members: Vec<_> = sockets.map(CapturedPort::of).collect();
    members.sort_unstable();
    members.dedup();
    members.into()
}

/// The service of a place and its port.
fn serving<'a>(known: &Known<'a>, place: Place<'_>) -> (&'a Service, &'a Port) {
    let service = known.service(place.host).expect("a place names a service that is known");
    (service, service.port(place.port).expect("a place names a port of its service"))
}

/// The endpoints of a place.
fn endpoints<'p>(service: &'p Service, place: Place<'p>) -> impl Iterator<Item = &'p Endpoint> {
    let chosen =
        move |endpoint: &&Endpoint| place.subset.is_none_or(|(_, labels)| endpoint.labels.have_all(labels));
    service.endpoints.iter().filter(chosen)
}

impl Place<'_> {
    /// Tells it from every other place, those of other configurations included.
    fn key(&self) -> Box<str> {
        let Self { host, port, subset, policies } = self;
        // Copied once more to be no longer than it must: it is kept.
        let policies = config::digest(&policies.key());
        format!("{host}:{port}{subset:?}{policies:x}").as_str().into()
    }

    /// `host:port` or `host:port/subset`
    pub(super) fn text(&self) -> String {
        let Self { host, port, subset, .. } = self;
        subset.map_or_else(|| format!("{host}:{port}"), |(name, _)| format!("{host}:{port}/{name}"))
    }
}

/// The port written, else the only one of the service, else the one the primary's client dialled. Where Istio would
/// then silently have no cluster, this is a fault.
fn port(destination: &Destination, service: &Service, listener: u16) -> Result<u16, Unresolved> {
    match (&destination.port, &*service.ports) {
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
    Err(Unresolved { code: Code::UnknownPort, at: at.clone(), field, what, hint: Some(Hint::Text(hint)) })
}
