//! Which changes can wait. Nearly all that a large cluster tells is of endpoints on other nodes, and of those an agent needs the
//! few that it sends copies to. The others are kept as they come and compiled with whatever comes next, or after a while: only
//! what is shown of mirrors elsewhere depends on them, and warnings.
//!
//! Guesses nothing: an endpoint whose node is not known is taken for one of this node, and before rules have been compiled
//! nothing waits.

use std::collections::HashSet;

use tokio::time::Instant;

use super::Name;
use crate::config::{
    Resources,
    kubernetes::{EndpointSlice, SliceEndpoint},
};

/// How soon a change is to be compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::source::kube) enum Change {
    /// There is nothing new.
    None,
    Later,
    Now,
}

#[derive(Debug, Default)]
pub(in crate::source::kube) struct Nearby {
    node: Option<String>,
    /// Services to which something on this node is mirrored, by the rules in force. None before there are any.
    destinations: Option<HashSet<Name>>,
    /// Services whose endpoints have changed and were not compiled since, and since when.
    waiting: HashSet<Name>,
    since: Option<Instant>,
}

impl Nearby {
    pub(super) fn of(node: String) -> Self {
        Self { node: Some(node), ..Self::default() }
    }

    /// Of what was known of a slice, if anything, and what is known now.
    pub(super) fn weigh(&mut self, before: Option<&Resources>, after: Option<&Resources>) -> Change {
        let (before, after) = (before.and_then(slice), after.and_then(slice));
        let here = |slice| self.here(slice);
        let services: Vec<_> = before.iter().chain(&after).filter_map(service).collect();
        let Some(destinations) = &self.destinations else { return Change::Now };
        if services.iter().any(|service| destinations.contains(service)) || here(before) != here(after) {
            return Change::Now;
        }
        self.waiting.extend(services);
        self.since.get_or_insert_with(Instant::now);
        Change::Later
    }

    /// All that makes a port of this node captured: of a slice without an endpoint here, nothing.
    fn here<'s>(&self, slice: Option<&'s EndpointSlice>) -> Option<impl PartialEq + use<'s>> {
        let slice = slice?;
        let is_here = |endpoint: &&SliceEndpoint| {
            endpoint.node.is_none() || self.node.is_none() || endpoint.node == self.node
        };
        let endpoints: Vec<_> = slice.endpoints.iter().filter(is_here).collect();
        (!endpoints.is_empty()).then_some((&slice.service, &slice.ports, endpoints))
    }

    /// Copies go to these from now on. True when a change of one of them was taken for one that can wait.
    pub(in crate::source::kube) fn sends_to(&mut self, destinations: HashSet<Name>) -> bool {
        let missed = !self.waiting.is_disjoint(&destinations);
        self.destinations = Some(destinations);
        missed
    }

    /// What waited is being compiled.
    pub(in crate::source::kube) fn gathered(&mut self) {
        self.waiting.clear();
        self.since = None;
    }

    /// Since when something waits.
    pub(in crate::source::kube) fn waits_since(&self) -> Option<Instant> {
        self.since
    }
}

fn slice(resources: &Resources) -> Option<&EndpointSlice> {
    resources.endpoint_slices.first()
}

/// That a slice belongs to.
fn service(slice: &&EndpointSlice) -> Option<Name> {
    Some((slice.meta.namespace.as_str().into(), slice.service.as_deref()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// A slice of the service `cart`, with endpoints on these nodes.
    fn on(last_byte: u8, nodes: &[Option<&str>]) -> Resources {
        let endpoint = |(node, index): (&Option<&str>, u8)| {
            let node = node.map(|node| format!(", nodeName: {node}")).unwrap_or_default();
            format!("{{addresses: [10.0.{index}.{last_byte}]{node}}}")
        };
        let endpoints: Vec<_> = nodes.iter().zip(0..).map(endpoint).collect();
        let text = format!(
            "{{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, metadata: {{name: cart-1, namespace: \
             shop, labels: {{kubernetes.io/service-name: cart}}}}, endpoints: [{}], ports: [{{name: http, port: 80}}]}}",
            endpoints.join(",")
        );
        let (resources, report) = config::read_part("a", &text);
        assert!(report.diagnostics.is_empty(), "{report:?}");
        resources
    }

    fn nearby(destinations: &[&str]) -> Nearby {
        let mut nearby = Nearby::of("here".to_owned());
        let names = destinations.iter().map(|name| ("shop".into(), (*name).into()));
        assert!(!nearby.sends_to(names.collect()));
        nearby
    }

    #[test]
    fn what_is_elsewhere_can_wait_unless_copies_go_there() {
        let (one, other) = (on(1, &[Some("there")]), on(2, &[Some("there")]));
        assert_eq!(
            Nearby::of("here".to_owned()).weigh(Some(&one), Some(&other)),
            Change::Now,
            "no rules yet"
        );
        assert_eq!(nearby(&["cart"]).weigh(Some(&one), Some(&other)), Change::Now);
        let mut nearby = nearby(&["other"]);
        assert_eq!(nearby.waits_since(), None);
        for (before, after) in [(None, Some(&one)), (Some(&one), Some(&other)), (Some(&other), None)] {
            assert_eq!(nearby.weigh(before, after), Change::Later);
        }
        assert!(nearby.waits_since().is_some());
        nearby.gathered();
        assert_eq!(nearby.waits_since(), None);
    }

    #[test]
    fn what_is_here_is_compiled_at_once() {
        for node in [Some("here"), None] {
            let (one, other) = (on(1, &[Some("there"), node]), on(2, &[Some("there"), node]));
            assert_eq!(nearby(&[]).weigh(None, Some(&one)), Change::Now);
            assert_eq!(nearby(&[]).weigh(Some(&one), Some(&other)), Change::Now);
            assert_eq!(nearby(&[]).weigh(Some(&one), None), Change::Now);
            let left = on(1, &[Some("there")]);
            assert_eq!(nearby(&[]).weigh(Some(&one), Some(&left)), Change::Now);
        }
        let (one, more) = (on(1, &[Some("here")]), on(1, &[Some("here"), Some("there")]));
        assert_eq!(nearby(&[]).weigh(Some(&one), Some(&more)), Change::Later, "the one here is the same");
    }

    #[test]
    fn what_waited_is_compiled_at_once_when_copies_go_there() {
        let mut nearby = nearby(&["other"]);
        nearby.weigh(None, Some(&on(1, &[Some("there")])));
        let cart = || [("shop".into(), "cart".into())].into();
        assert!(!nearby.sends_to([("shop".into(), "third".into())].into()));
        assert!(nearby.sends_to(cart()));
        nearby.gathered();
        assert!(!nearby.sends_to(cart()));
    }
}
