//! Who sent a request, as far as configuration tells: Istio's `sourceLabels` and `sourceNamespace` speak of the client's
//! workload, and what a node knows of a client is its address.

use std::{fmt, net::IpAddr, sync::Arc};

use foldhash::HashMap;

use super::objects::Objects;
use crate::config::{Labels, kubernetes::PodPhase};

/// The workload of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub namespace: String,
    pub labels: Labels,
}

/// Workloads by address.
#[derive(Debug, Default)]
pub(super) struct Sources(HashMap<IpAddr, Arc<Source>>);

/// What a match block asks of the client. A client nobody knows fulfils nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SourceCondition {
    pub(super) namespace: Option<Box<str>>,
    pub(super) labels: Labels,
}

impl Sources {
    /// Pods and WorkloadEntries. A pod of the host's network shares its address with others and tells nothing.
    pub(super) fn new(objects: &Objects<'_>) -> Self {
        let mut sources = HashMap::default();
        for entry in &objects.workload_entries {
            if let Ok(address) = entry.endpoint.address.parse::<IpAddr>() {
                let (namespace, labels) = (entry.meta.namespace.clone(), entry.endpoint.labels.clone());
                sources.insert(address.to_canonical(), Arc::new(Source { namespace, labels }));
            }
        }
        let over = |phase| matches!(phase, PodPhase::Succeeded | PodPhase::Failed);
        for pod in objects.pods.iter().filter(|pod| !pod.host_network && !over(pod.phase)) {
            let (namespace, labels) = (pod.meta.namespace.clone(), pod.meta.labels.clone());
            let source = Arc::new(Source { namespace, labels });
            sources.extend(pod.ips.iter().map(|address| (address.to_canonical(), Arc::clone(&source))));
        }
        Self(sources)
    }

    pub(super) fn get(&self, client: IpAddr) -> Option<&Source> {
        self.0.get(&client.to_canonical()).map(|source| &**source)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl SourceCondition {
    pub(super) fn is_empty(&self) -> bool {
        self.namespace.is_none() && self.labels.is_empty()
    }

    pub(super) fn holds(&self, source: Option<&Source>) -> bool {
        self.is_empty()
            || source.is_some_and(|source| {
                self.namespace.as_ref().is_none_or(|namespace| **namespace == *source.namespace)
                    && source.labels.have_all(&self.labels)
            })
    }
}

impl fmt::Display for SourceCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = self.namespace.iter().map(|namespace| format!("namespace {namespace}"));
        let labels = self.labels.iter().map(|(key, value)| format!("{key}={value}"));
        f.write_str(&namespace.chain(labels).collect::<Vec<_>>().join(", "))
    }
}
