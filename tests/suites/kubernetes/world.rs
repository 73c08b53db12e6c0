//! A node of a cluster: an app whose rules come from an API server, its shadows on other nodes, clients that never rest.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Agent, AgentBuilder, ApiServer, Asking, KubeService, Load, Node, Pod, Upstream, agent, endpoint,
    eventually, pod_object, upstream,
};

pub(crate) const NODE: &str = "node-1";
pub(crate) const SHOP: &str = "shop";
pub(crate) const SERVICE: KubeService = KubeService { namespace: SHOP, name: "cart", port: 8080 };
const ISTIO: &str = "networking.istio.io";
/// All of what is not built in that the tests use.
pub(crate) const RULES: [(&str, &str, &str); 4] = [
    (ISTIO, "v1", "VirtualService"),
    (ISTIO, "v1", "DestinationRule"),
    (ISTIO, "v1", "ServiceEntry"),
    ("umbra.dev", "v1alpha1", "ShadowPolicy"),
];

pub(crate) struct World {
    pub(crate) node: Node,
    pub(crate) app: Pod,
    client: Pod,
    pub(crate) primary: Upstream,
    /// Versions v2 and v3, on nodes of their own.
    shadows: [(Pod, Upstream); 2],
}

impl World {
    pub(crate) fn new() -> Self {
        let node = Node::new();
        let (app, client) = (node.pod("app"), node.pod("client"));
        let primary = upstream(&app).port(SERVICE.port).replies("ok").start();
        let shadows = ["v2", "v3"].map(|version| {
            let pod = node.pod(version);
            let copies = upstream(&pod).port(SERVICE.port).replies("copy").start();
            (pod, copies)
        });
        Self { node, app, client, primary, shadows }
    }

    /// The shadow of this version, 2 or 3.
    pub(crate) fn shadow(&self, version: usize) -> &Upstream {
        &self.shadows[version - 2].1
    }

    /// Of the pod of a version.
    pub(crate) fn ip(&self, version: usize) -> IpAddr {
        if version == 1 { self.app.ip() } else { self.shadows[version - 2].0.ip() }
    }

    /// Services, slices and pods of three versions: v1 on this node, the others elsewhere.
    pub(crate) fn populate(&self, server: &ApiServer) {
        server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SHOP}}));
        server.apply(&SERVICE.service());
        (1..=3).for_each(|version| server.apply(&self.pod(version)));
        server.apply(&self.slice(&[1, 2, 3]));
    }

    pub(crate) fn pod(&self, version: usize) -> Value {
        let labels = json!({"app": SERVICE.name, "version": format!("v{version}")});
        let node = if version == 1 { NODE } else { "node-2" };
        pod_object(&format!("cart-{version}"), SHOP, node, self.ip(version), &labels)
    }

    pub(crate) fn slice(&self, versions: &[usize]) -> Value {
        let of = |version: &usize| {
            let node = if *version == 1 { NODE } else { "node-2" };
            endpoint(&format!("cart-{version}"), SHOP, node, self.ip(*version))
        };
        SERVICE.slice(&versions.iter().map(of).collect::<Vec<_>>())
    }

    /// The AgentConfig in its file: the app's namespace.
    pub(crate) fn config(&self, agent: &AgentBuilder<'_>) -> String {
        format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  \
             admin: {{address: '{}', socket: ''}}\n  capture: {{inbound: [{{netns: {}}}]}}\n",
            agent.admin(),
            self.app.netns().path()
        )
    }

    /// An agent that is not waited for.
    pub(crate) fn agent(&self, server: &ApiServer) -> AgentBuilder<'_> {
        let builder = agent(&self.node);
        let config = self.config(&builder);
        builder.yaml(&config).kubernetes(server, NODE)
    }

    /// Clients with new and with kept connections.
    pub(crate) fn load(&self) -> Load {
        Load::of(
            self.client.netns(),
            self.primary.address(),
            &[Asking::Fresh, Asking::Fresh, Asking::Renewed],
        )
    }

    /// How long it took from now until the shadow of a version got a copy more.
    pub(crate) fn until_copied_to(&self, version: usize) -> Duration {
        let (start, before) = (Instant::now(), self.shadow(version).count());
        eventually(&format!("a copy at v{version}"), || {
            (self.shadow(version).count() > before).then_some(())
        });
        start.elapsed()
    }
}

/// Subsets by the label `version`.
pub(crate) fn subsets() -> Value {
    let subset = |version: &str| json!({"name": version, "labels": {"version": version}});
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": {"name": "cart", "namespace": SHOP},
        "spec": {"host": "cart", "subsets": [subset("v1"), subset("v2"), subset("v3")]},
    })
}

/// Routes to v1 and mirrors everything to this subset.
pub(crate) fn mirror_to(subset: &str) -> Value {
    rule("cart", &json!([{"destination": {"host": "cart", "subset": subset}}]))
}

/// Of the service, by this name.
pub(crate) fn rule(name: &str, mirrors: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"hosts": ["cart"], "http": [{"name": "all", "mirrors": mirrors,
            "route": [{"destination": {"host": "cart", "subset": "v1"}}]}]},
    })
}

/// The part of the status about the cluster.
pub(crate) fn cluster(agent: &Agent) -> Value {
    let status = agent.ask("/api/v1/status").unwrap().text();
    serde_json::from_str::<Value>(&status).unwrap()["cluster"].clone()
}

/// How a kind stands.
pub(crate) fn state(agent: &Agent, kind: &str) -> String {
    let cluster = cluster(agent);
    let kinds = cluster["kinds"].as_array().unwrap();
    let found = kinds.iter().find(|row| row["kind"] == kind);
    found.map(|row| row["state"].as_str().unwrap().to_owned()).unwrap_or_default()
}
