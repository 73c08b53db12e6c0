//! The kinds that are watched, and what is kept of each object: a list of paths, so that what arrives is no larger than what is
//! read, and a change of anything else is no change.

use serde_json::{Map, Value};

/// A kind that is watched.
#[derive(Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    /// Those that `config` reads, the best first.
    pub(super) versions: &'static [&'static str],
    pub(super) plural: &'static str,
    pub(super) scope: Scope,
    /// Paths of what is kept, names parted by blanks. A path goes through the items of lists.
    keeps: &'static [&'static str],
    /// Somebody wrote it by hand: its text is kept for `umbra config dump`. Of what the cluster writes itself there may be a
    /// hundred thousand objects, and `kubectl get` shows them.
    pub(super) written: bool,
}

/// Which objects of a kind are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    Everywhere,
    /// Pods of the agent's node.
    Node,
    /// In the agent's own namespace.
    Own,
}

const ISTIO: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const NETWORKING: &str = "networking.istio.io";
const GATEWAY: &str = "gateway.networking.k8s.io";
const UMBRA: &str = "umbra.dev";

/// Kept of every object, beside its kind.
const METADATA: &[&str] = &[
    "metadata name",
    "metadata namespace",
    "metadata uid",
    "metadata creationTimestamp",
    "metadata deletionTimestamp",
];
/// Of what people write, for `umbra config dump`.
const SPEC: &[&str] = &["metadata labels", "spec"];

const SERVICE: &[&str] = &[
    "metadata annotations networking.istio.io/exportTo",
    "spec type",
    "spec selector",
    "spec clusterIP",
    "spec clusterIPs",
    "spec externalName",
    "spec publishNotReadyAddresses",
    "spec ports name",
    "spec ports port",
    "spec ports protocol",
    "spec ports targetPort",
    "spec ports appProtocol",
];
/// A pod that has a status has a node, and more than its labels is asked of it.
const POD: &[&str] = &[
    "metadata labels",
    "metadata ownerReferences kind",
    "metadata ownerReferences name",
    "metadata annotations ambient.istio.io/redirection",
    "metadata annotations sidecar.istio.io/status",
    "spec nodeName",
    "spec hostNetwork",
    "spec serviceAccountName",
    "spec containers name",
    "spec containers ports name",
    "spec containers ports containerPort",
    "spec initContainers name",
    "spec initContainers ports name",
    "spec initContainers ports containerPort",
    "status phase",
    "status podIP",
    "status podIPs",
    "status conditions type",
    "status conditions status",
];
const SLICE: &[&str] = &[
    "metadata labels kubernetes.io/service-name",
    "addressType",
    "ports",
    "endpoints addresses",
    "endpoints conditions",
    "endpoints hints",
    "endpoints nodeName",
    "endpoints zone",
    "endpoints targetRef kind",
    "endpoints targetRef name",
    "endpoints targetRef namespace",
];

/// How many there are.
pub(super) const COUNT: usize = 13;
/// Which of them are pods.
pub(super) const PODS: usize = 1;
pub(super) const SERVICES: usize = 0;
pub(super) const SLICES: usize = 3;
pub(super) const ROUTES: [usize; 2] = [8, 9];
pub(super) const AGENTS: usize = 11;
pub(super) const POLICIES: usize = 12;

/// In the order in which they are handed over: the built-in ones, then the rules.
pub(super) static KINDS: [Kind; COUNT] = [
    built_in("Service", "", "services", SERVICE),
    Kind { scope: Scope::Node, ..built_in("Pod", "", "pods", POD) },
    built_in("Namespace", "", "namespaces", &["metadata labels umbra.dev/capture"]),
    built_in("EndpointSlice", "discovery.k8s.io", "endpointslices", SLICE),
    custom("VirtualService", NETWORKING, ISTIO, "virtualservices"),
    custom("DestinationRule", NETWORKING, ISTIO, "destinationrules"),
    custom("ServiceEntry", NETWORKING, ISTIO, "serviceentries"),
    // An entry for each machine outside, often written by a program.
    custom("WorkloadEntry", NETWORKING, ISTIO, "workloadentries"),
    custom("HTTPRoute", GATEWAY, &["v1", "v1beta1"], "httproutes"),
    custom("GRPCRoute", GATEWAY, &["v1", "v1alpha2"], "grpcroutes"),
    custom("ReferenceGrant", GATEWAY, &["v1", "v1beta1"], "referencegrants"),
    Kind { scope: Scope::Own, ..custom("AgentConfig", UMBRA, &["v1alpha1"], "agentconfigs") },
    custom("ShadowPolicy", UMBRA, &["v1alpha1"], "shadowpolicies"),
];

const fn built_in(
    name: &'static str,
    group: &'static str,
    plural: &'static str,
    keeps: &'static [&'static str],
) -> Kind {
    Kind { name, group, versions: &["v1"], plural, scope: Scope::Everywhere, keeps, written: false }
}

const fn custom(
    name: &'static str,
    group: &'static str,
    versions: &'static [&'static str],
    plural: &'static str,
) -> Kind {
    Kind { name, group, versions, plural, scope: Scope::Everywhere, keeps: SPEC, written: true }
}

impl Kind {
    /// The server has it whatever is installed.
    pub(super) fn is_built_in(&self) -> bool {
        !self.written
    }

    /// Where the objects are asked for, in a namespace or in all.
    pub(super) fn path(&self, version: &str, namespace: Option<&str>) -> String {
        let root = match self.group {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        match namespace {
            Some(namespace) => format!("{root}/namespaces/{namespace}/{}", self.plural),
            None => format!("{root}/{}", self.plural),
        }
    }

    /// The object as the text that is read. In lists objects lack `apiVersion` and `kind`.
    pub(super) fn trim(&self, version: &str, object: Value) -> String {
        let paths: Vec<_> = METADATA.iter().chain(self.keeps).copied().collect();
        let mut kept = keep(object, &paths);
        if let Value::Object(fields) = &mut kept {
            let version = match self.group {
                "" => version.to_owned(),
                group => format!("{group}/{version}"),
            };
            fields.insert("apiVersion".to_owned(), version.into());
            fields.insert("kind".to_owned(), self.name.into());
            if self.name == "Pod" {
                // Metadata alone has none, and what reads pods wants one.
                fields.entry("spec").or_insert_with(|| Map::new().into());
            }
        }
        kept.to_string()
    }
}

/// What lies on the paths.
fn keep(value: Value, paths: &[&str]) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter_map(|(name, value)| {
                let mut below = Vec::new();
                for path in paths {
                    match path.split_once(' ') {
                        None if *path == name => return Some((name, value)),
                        Some((first, rest)) if first == name => below.push(rest),
                        _ => {}
                    }
                }
                (!below.is_empty()).then(|| (name, keep(value, &below)))
            });
            Value::Object(kept.collect())
        }
        Value::Array(items) => items.into_iter().map(|item| keep(item, paths)).collect(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config;

    #[test]
    fn every_kind_has_its_place() {
        let names = [SERVICES, PODS, SLICES, AGENTS, POLICIES].map(|index| KINDS[index].name);
        assert_eq!(names, ["Service", "Pod", "EndpointSlice", "AgentConfig", "ShadowPolicy"]);
        assert_eq!(ROUTES.map(|index| KINDS[index].name), ["HTTPRoute", "GRPCRoute"]);
        assert_eq!(KINDS[SLICES].path("v1", None), "/apis/discovery.k8s.io/v1/endpointslices");
        assert_eq!(KINDS[PODS].path("v1", Some("shop")), "/api/v1/namespaces/shop/pods");
    }

    #[test]
    fn what_is_read_of_an_object_is_kept_and_nothing_else() {
        let pod = json!({
            "metadata": {"name": "a", "namespace": "shop", "uid": "u-1", "labels": {"app": "a"}, "resourceVersion": "7",
                "managedFields": [{"manager": "kubelet"}], "creationTimestamp": "2026-01-01T00:00:00Z",
                "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "a-1", "uid": "x"}]},
            "spec": {"nodeName": "n1", "containers": [{"name": "app", "image": "x", "env": [{"name": "A"}],
                "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]}], "tolerations": [{"key": "x"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "hostIP": "10.9.9.9",
                "conditions": [{"type": "Ready", "status": "True", "lastProbeTime": null}], "containerStatuses": [{"name": "app"}]},
        });
        let whole = format!("{{\"apiVersion\":\"v1\",\"kind\":\"Pod\",{}", &pod.to_string()[1..]);
        let text = KINDS[PODS].trim("v1", pod);
        for noise in [
            "managedFields",
            "last-applied",
            "image",
            "env",
            "tolerations",
            "hostIP",
            "lastProbe",
            "resourceVersion",
        ] {
            assert!(!text.contains(noise), "{noise}: {text}");
        }
        assert!(text.contains("u-1") && text.contains("ReplicaSet"), "{text}");
        let read = |text: &str| {
            let (resources, report) = config::read_part("a", text);
            assert!(report.diagnostics.is_empty(), "{report:?}");
            format!("{:?}", resources.pods[0]).replace(|c: char| c.is_ascii_digit(), "")
        };
        // But for where it stands.
        assert_eq!(read(&text), read(&whole));
    }

    #[test]
    fn a_pod_of_which_only_the_metadata_is_known_can_be_read() {
        let text = KINDS[PODS].trim("v1", json!({"metadata": {"name": "a", "labels": {"version": "v2"}}}));
        let (resources, report) = config::read_part("a", &text);
        assert!(report.diagnostics.is_empty(), "{report:?}");
        assert_eq!(resources.pods[0].meta.labels.get("version"), Some("v2"));
    }
}
