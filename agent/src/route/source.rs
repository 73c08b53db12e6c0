//! Who sent a request, as far as configuration tells: Istio's `sourceLabels` and `sourceNamespace` speak of the client's
//! workload, and what a node knows of a client is its address.

use std::{fmt, net::IpAddr, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::objects::Objects;
use crate::{
    config::{
        Labels,
        kubernetes::{Pod, PodPhase},
    },
    record::Workload,
};

/// The workload of a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub namespace: String,
    pub labels: Labels,
    /// As metrics call it.
    pub workload: Arc<Workload>,
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
        let (mut sources, mut shared) = (HashMap::default(), Shared::default());
        for entry in &objects.workload_entries {
            if let Ok(address) = entry.endpoint.address.parse::<IpAddr>() {
                let (namespace, labels) = (entry.meta.namespace.clone(), entry.endpoint.labels.clone());
                let workload = shared.share(Some(&entry.meta.name.value), &namespace, &labels);
                sources.insert(address.to_canonical(), Arc::new(Source { namespace, labels, workload }));
            }
        }
        let over = |phase| matches!(phase, PodPhase::Succeeded | PodPhase::Failed);
        for pod in objects.pods.iter().filter(|pod| !pod.host_network && !over(pod.phase)) {
            let (namespace, labels) = (pod.meta.namespace.clone(), pod.meta.labels.clone());
            let workload = shared.share(Some(kept_by(pod)), &namespace, &labels);
            let source = Arc::new(Source { namespace, labels, workload });
            sources.extend(pod.ips.iter().map(|address| (address.to_canonical(), Arc::clone(&source))));
        }
        Self(sources)
    }

    pub(super) fn get(&self, client: IpAddr) -> Option<&Source> {
        if self.is_empty() {
            return None;
        }
        self.0.get(&client.to_canonical()).map(|source| &**source)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Pods of one Deployment are one workload.
#[derive(Debug, Default)]
struct Shared(HashSet<Arc<Workload>>);

impl Shared {
    fn share(&mut self, name: Option<&str>, namespace: &str, labels: &Labels) -> Arc<Workload> {
        let new = Workload::new(name, namespace, |name| labels.get(name));
        if let Some(known) = self.0.get(&new) {
            return Arc::clone(known);
        }
        let new = Arc::new(new);
        self.0.insert(Arc::clone(&new));
        new
    }
}

/// What keeps a pod running, by the names and labels that Kubernetes' own controllers give their pods; the pod itself
/// where none does.
fn kept_by(pod: &Pod) -> &str {
    let (name, label) = (pod.meta.name.value.as_str(), |name| pod.meta.labels.get(name));
    if let Some(job) = label("batch.kubernetes.io/job-name").or(label("job-name")) {
        return job;
    }
    let before_last = || name.rsplit_once('-').map_or(name, |(before, _)| before);
    if let Some(hash) = label("pod-template-hash") {
        let set = before_last();
        return set.strip_suffix(hash).and_then(|rest| rest.strip_suffix('-')).unwrap_or(set);
    }
    // Of a StatefulSet and of a DaemonSet.
    let is_counted = label("statefulset.kubernetes.io/pod-name").is_some();
    if is_counted || label("controller-revision-hash").is_some() { before_last() } else { name }
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
