//! How near endpoints are to the agent, and so which of them get copies first: the nearer ones where Istio or Kubernetes
//! would prefer them. The others get what these cannot take.

use std::{fmt, str::FromStr, sync::Arc};

use crate::config::{
    istio::{Failover, LocalityLoadBalancer, WorkloadEndpoint},
    kubernetes::{SliceEndpoint, TrafficDistribution},
};

/// Where an agent runs, in the words of its cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Here {
    /// The node's name.
    pub node: Option<String>,
    /// While its zone is not known, nothing is nearer than anything else.
    pub locality: Locality,
}

/// `region/zone/sub-zone`, as Istio writes it (`locality` of a WorkloadEntry); what is not known is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Locality {
    region: String,
    zone: String,
    sub_zone: String,
}

/// How near one endpoint is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Nearness {
    step: Step,
    /// None: it is not known on which node it is, or on which the agent.
    same_node: Option<bool>,
    /// `hints` of its slice, where it has any: is it for this node, and for this zone?
    for_node: Option<bool>,
    for_zone: Option<bool>,
    /// Where it is elsewhere. No larger, for endpoints are kept by the hundred thousand.
    elsewhere: Option<Arc<Locality>>,
}

/// Istio's order of localities (`util.LbPriority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    SubZone,
    Zone,
    Region,
    #[default]
    Elsewhere,
}

/// Who says that some endpoints of a cluster come before others.
#[derive(Clone, Copy, Debug)]
pub(super) enum Preference<'a> {
    /// Nobody.
    Equal,
    /// Istio: the nearest locality, with the region that follows this one's.
    Locality(&'a [Failover]),
    /// Kubernetes, by `spec.trafficDistribution` of the Service.
    Distribution(TrafficDistribution),
    /// Kubernetes, by hints of the slices where each endpoint has them; else Istio where it would.
    Hints { or_locality: bool },
}

impl<'a> Preference<'a> {
    /// By the DestinationRule, else by the Service. In Istio nothing but outlier detection makes an endpoint fail, and
    /// without it a locality is not preferred; with it, it is unless somebody says otherwise (`meshConfig`'s default).
    pub(super) fn new(
        rule: Option<&'a LocalityLoadBalancer>,
        ejects: bool,
        service: Option<TrafficDistribution>,
    ) -> Self {
        match (rule, service) {
            (Some(rule), _) => {
                let other = !rule.distribute.is_empty() || !rule.failover_priority.is_empty();
                let on = rule.enabled != Some(false) && ejects && !other;
                if on { Self::Locality(&rule.failover) } else { Self::Equal }
            }
            (None, Some(distribution)) => Self::Distribution(distribution),
            (None, None) => Self::Hints { or_locality: ejects },
        }
    }
}

/// The level of each endpoint: 0 for the nearest, and no number left out.
pub(super) fn levels(here: &Here, preference: Preference<'_>, endpoints: &[&Nearness]) -> Vec<u8> {
    let known = !here.locality.zone.is_empty();
    let order: Vec<u8> = match preference {
        Preference::Equal => return vec![0; endpoints.len()],
        Preference::Distribution(TrafficDistribution::PreferSameNode) => {
            let level =
                |it: &&Nearness| if it.same_node == Some(true) { 0 } else { 1 + u8::from(!it.is_in_zone()) };
            endpoints.iter().map(level).collect()
        }
        Preference::Distribution(TrafficDistribution::PreferSameZone) => {
            endpoints.iter().map(|it| u8::from(!it.is_in_zone())).collect()
        }
        Preference::Hints { or_locality } => match hinted(endpoints) {
            Some(levels) => levels,
            None if or_locality && known => endpoints.iter().map(|it| it.step as u8).collect(),
            None => return vec![0; endpoints.len()],
        },
        Preference::Locality(_) if !known => return vec![0; endpoints.len()],
        Preference::Locality(failover) => {
            let next =
                failover.iter().find(|one| one.from == here.locality.region).map(|one| one.to.as_str());
            let beyond = |it: &Nearness| {
                let region = it.elsewhere.as_ref().map(|at| at.region.as_str());
                it.step == Step::Elsewhere && next.is_some() && region != next
            };
            endpoints.iter().map(|it| it.step as u8 + u8::from(beyond(it))).collect()
        }
    };
    let mut there = order.clone();
    there.sort_unstable();
    there.dedup();
    let level =
        |step: &u8| there.binary_search(step).map_or(0, |index| u8::try_from(index).unwrap_or(u8::MAX));
    order.iter().map(level).collect()
}

/// As kube-proxy takes hints: those for nodes, else those for zones, where each endpoint has them and one is for here.
fn hinted(endpoints: &[&Nearness]) -> Option<Vec<u8>> {
    let by = |hint: fn(&Nearness) -> Option<bool>| {
        let hints = endpoints.iter().map(|it| hint(it)).collect::<Option<Vec<_>>>()?;
        hints.contains(&true).then(|| hints.iter().map(|is_for_here| u8::from(!is_for_here)).collect())
    };
    by(|it| it.for_node).or_else(|| by(|it| it.for_zone))
}

impl Nearness {
    /// A slice knows the zone, and which region that is in nobody tells: zones of one name are one.
    pub(super) fn of_slice(here: &Here, endpoint: &SliceEndpoint) -> Self {
        let zone = &here.locality.zone;
        let is_in_zone = !zone.is_empty() && endpoint.zone.as_ref() == Some(zone);
        let hint = |hints: &[String], own: Option<&String>| {
            (!hints.is_empty()).then(|| own.is_some_and(|own| hints.contains(own)))
        };
        Self {
            step: if is_in_zone { Step::Zone } else { Step::Elsewhere },
            same_node: here.node.as_ref().zip(endpoint.node.as_ref()).map(|(here, there)| here == there),
            for_node: hint(&endpoint.for_nodes, here.node.as_ref()),
            for_zone: hint(&endpoint.for_zones, Some(zone).filter(|zone| !zone.is_empty())),
            elsewhere: None,
        }
    }

    /// By its `locality`; without one it is elsewhere.
    pub(super) fn of_workload(here: &Here, endpoint: &WorkloadEndpoint) -> Self {
        let written = endpoint.place.as_ref().and_then(|place| place.locality.as_ref());
        let Some(at) = written.and_then(|text| text.parse::<Locality>().ok()) else { return Self::default() };
        let here = &here.locality;
        let step = match () {
            () if at.region != here.region => Step::Elsewhere,
            () if at.zone != here.zone => Step::Region,
            () if at.sub_zone != here.sub_zone => Step::Zone,
            () => Step::SubZone,
        };
        let elsewhere = (step == Step::Elsewhere).then(|| Arc::new(at));
        Self { step, elsewhere, ..Self::default() }
    }

    /// No request ever arrives there for this agent to capture.
    pub(super) fn is_on_another_node(&self) -> bool {
        self.same_node == Some(false)
    }

    fn is_in_zone(&self) -> bool {
        self.step <= Step::Zone
    }
}

impl fmt::Display for Locality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.region, self.zone)?;
        if self.sub_zone.is_empty() { Ok(()) } else { write!(f, "/{}", self.sub_zone) }
    }
}

impl FromStr for Locality {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split('/').map(str::to_owned);
        let mut part = || parts.next().unwrap_or_default();
        let locality = Self { region: part(), zone: part(), sub_zone: part() };
        if parts.next().is_some() || text.is_empty() {
            return Err(format!("`{text}` is no locality: write REGION/ZONE or REGION/ZONE/SUB-ZONE"));
        }
        Ok(locality)
    }
}

#[cfg(test)]
mod tests;
