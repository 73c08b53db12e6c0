//! Which DestinationRules speak for a service, and which of their subsets and policies.

use foldhash::HashMap;

use super::{
    exports,
    hosts::{self, HostIndex},
    traffic::Policy,
};
use crate::config::istio::{DestinationRule, Subset};

/// Istio's root namespace: its rules serve every namespace that has none of its own.
const ROOT_NAMESPACE: &str = "istio-system";

/// Rules by namespace and host, oldest first.
#[derive(Debug, Default)]
pub(super) struct Subsets<'a> {
    by_namespace: HashMap<&'a str, HostIndex<Vec<&'a DestinationRule>>>,
}

impl<'a> Subsets<'a> {
    pub(super) fn new(rules: &[&'a DestinationRule]) -> Self {
        let mut subsets = Self::default();
        for &rule in rules {
            let namespace = rule.meta.namespace.as_str();
            let host = hosts::resolve(&rule.host.value, namespace);
            subsets.by_namespace.entry(namespace).or_default().entry(&host).push(rule);
        }
        for rules in subsets.by_namespace.values_mut().flat_map(HostIndex::values_mut) {
            rules.sort_by_key(|rule| (&rule.meta.created, &rule.meta.name.value));
        }
        subsets
    }

    /// The rules in force for a service as a namespace sees it: those of the first namespace that has any (the
    /// client's, the service's, the root), for the most specific host there. Several are merged: see [`named`].
    pub(super) fn rules(
        &self,
        service: &str,
        service_namespace: &str,
        client: &str,
    ) -> Vec<&'a DestinationRule> {
        let of_namespace = |namespace: &str| {
            let mut candidates = self.by_namespace.get(namespace)?.covering(service);
            candidates.find_map(|rules| {
                let visible = |rule: &&&DestinationRule| {
                    exports::reach(&rule.export_to, &rule.meta.namespace, client).is_some()
                };
                let rules: Vec<_> = rules.iter().filter(visible).copied().collect();
                (!rules.is_empty()).then_some(rules)
            })
        };
        [client, service_namespace, ROOT_NAMESPACE].into_iter().find_map(of_namespace).unwrap_or_default()
    }
}

/// A subset by name; of several of one name the oldest rule's.
pub(super) fn named<'a>(
    rules: &[&'a DestinationRule],
    name: &str,
) -> Option<(&'a Subset, Option<Policy<'a>>)> {
    rules.iter().find_map(|rule| {
        let index = rule.subsets.iter().position(|subset| subset.name.value == name)?;
        Some((&rule.subsets[index], Policy::of_subset(rule, index)))
    })
}

/// The policy for the whole host: the oldest rule's that has one.
pub(super) fn policy<'a>(rules: &[&'a DestinationRule]) -> Option<Policy<'a>> {
    rules.iter().find_map(|rule| Policy::of_host(rule))
}
