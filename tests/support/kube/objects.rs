//! Objects as a cluster has them, and where each is kept.

use std::net::IpAddr;

use serde_json::{Value, json};

/// The plural of a kind, as Kubernetes' own and Istio's kinds form it.
pub(super) fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) if !kind.ends_with("ey") => format!("{stem}ies"),
        _ => format!("{kind}s"),
    }
}

/// Of one object.
pub(super) fn path(object: &Value) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = word(&object["apiVersion"]);
    let root = if version.contains('/') { format!("/apis/{version}") } else { format!("/api/{version}") };
    let (plural, name) = (plural(&word(&object["kind"])), word(&object["metadata"]["name"]));
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{root}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("{root}/{plural}/{name}"),
    }
}

/// A service with its endpoints.
#[derive(Clone, Debug)]
pub struct KubeService {
    pub namespace: &'static str,
    pub name: &'static str,
    pub port: u16,
}

impl KubeService {
    /// Selects pods by `app: NAME`.
    pub fn service(&self) -> Value {
        let Self { namespace, name, port } = self;
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"app": name}, "clusterIP": "None",
                "ports": [{"name": "http", "port": 80, "targetPort": port, "protocol": "TCP"}]},
        })
    }

    pub fn slice(&self, endpoints: &[Value]) -> Value {
        let Self { namespace, name, port } = self;
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": format!("{name}-1"), "namespace": namespace, "labels": {"kubernetes.io/service-name": name}},
            "endpoints": endpoints, "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        })
    }
}

/// An endpoint of a slice: a pod on a node.
pub fn endpoint(pod: &str, namespace: &str, node: &str, address: IpAddr) -> Value {
    json!({
        "addresses": [address], "conditions": {"ready": true}, "nodeName": node,
        "targetRef": {"kind": "Pod", "name": pod, "namespace": namespace},
    })
}

/// A pod with these labels, running.
pub fn pod_object(name: &str, namespace: &str, node: &str, address: IpAddr, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace, "labels": labels},
        "spec": {"nodeName": node, "containers": [{"name": "app", "image": "app"}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}]},
    })
}
