//! Which DestinationRules speak for a service, and which of their subsets and policies.

use std::cell::OnceCell;

use foldhash::HashMap;

use super::{
    difference::Difference,
    exports,
    hosts::{self, HostIndex},
    objects::address,
    traffic::Policy,
};
use crate::config::istio::{DestinationRule, Subset};

/// Istio's root namespace: its rules serve every namespace that has none of its own.
const ROOT_NAMESPACE: &str = "istio-system";

/// The addresses of rules by namespace and host; kept.
#[derive(Debug, Default)]
pub(super) struct RulesByHost(HashMap<String, HostIndex<Vec<usize>>>);

/// The rules of one configuration.
#[derive(Debug)]
pub(super) struct Subsets<'a> {
    by_host: &'a RulesByHost,
    rules: &'a [&'a DestinationRule],
    /// Made when it is needed.
    by_address: OnceCell<HashMap<usize, &'a DestinationRule>>,
}

impl RulesByHost {
    pub(super) fn update(&mut self, difference: &Difference<'_>) {
        self.change(&difference.gone.destination_rules, &difference.come.destination_rules);
    }

    /// Undoes `update`.
    pub(super) fn take_back(&mut self, difference: &Difference<'_>) {
        self.change(&difference.come.destination_rules, &difference.gone.destination_rules);
    }

    fn change(&mut self, gone: &[&DestinationRule], come: &[&DestinationRule]) {
        for rule in gone {
            let namespace = rule.meta.namespace.as_str();
            if let Some(rules) = self.0.get_mut(namespace) {
                rules.remove(&host(rule), &address(*rule));
                if rules.is_empty() {
                    self.0.remove(namespace);
                }
            }
        }
        for rule in come {
            self.0.entry(rule.meta.namespace.clone()).or_default().add(&host(rule), address(*rule));
        }
    }
}

/// The host a rule is for, in full.
pub(super) fn host(rule: &DestinationRule) -> String {
    hosts::resolve(&rule.host.value, &rule.meta.namespace)
}

impl<'a> Subsets<'a> {
    pub(super) fn new(by_host: &'a RulesByHost, rules: &'a [&'a DestinationRule]) -> Self {
        Self { by_host, rules, by_address: OnceCell::new() }
    }

    /// The rules in force for a service as a namespace sees it: those of the first namespace that has any (the
    /// client's, the service's, the root), for the most specific host there, the oldest first. Several are merged: see
    /// [`named`].
    pub(super) fn rules(
        &self,
        service: &str,
        service_namespace: &str,
        client: &str,
    ) -> Vec<&'a DestinationRule> {
        let of_namespace = |namespace: &str| {
            let mut candidates = self.by_host.0.get(namespace)?.covering(service);
            candidates.find_map(|rules| {
                let rules = rules.iter().filter_map(|rule| self.at(*rule));
                let visible = |rule: &&DestinationRule| {
                    exports::reach(&rule.export_to, &rule.meta.namespace, client).is_some()
                };
                let mut rules: Vec<_> = rules.filter(visible).collect();
                rules.sort_by_key(|rule| (&rule.meta.created, &rule.meta.name.value));
                (!rules.is_empty()).then_some(rules)
            })
        };
        [client, service_namespace, ROOT_NAMESPACE].into_iter().find_map(of_namespace).unwrap_or_default()
    }

    fn at(&self, rule: usize) -> Option<&'a DestinationRule> {
        let all = || self.rules.iter().map(|rule| (address(*rule), *rule)).collect();
        self.by_address.get_or_init(all).get(&rule).copied()
    }
}

/// A subset by name; of several of one name the oldest rule's.
pub(super) fn named<'a>(
    rules: &[&'a DestinationRule],
    name: &str,
) -> Option<(&'a Subset, Option<Policy<'a>>)> {
    rules.iter().find_map(|rule| {
        let index = rule.subsets.iter().position(|subset| **subset.name == *name)?;
        Some((&rule.subsets[index], Policy::of_subset(rule, index)))
    })
}

/// The policy for the whole host: the oldest rule's that has one.
pub(super) fn policy<'a>(rules: &[&'a DestinationRule]) -> Option<Policy<'a>> {
    rules.iter().find_map(|rule| Policy::of_host(rule))
}
