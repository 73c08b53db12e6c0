//! What the chart allows the agents, at an API server that authorises: a whole kube-apiserver, from the folder that
//! `UMBRA_RBAC_ASSETS` names, else `KUBEBUILDER_ASSETS` where that has one.

use serde_json::{Value, json};
use support::{
    Agent, ApiServer, KubeService, Node, Pod, Upstream, agent, endpoint, eventually, pod_object, upstream,
};

use crate::{chart, manifests::documents};

const NODE: &str = "node-1";
const OWN: &str = "umbra-system";
const SHOP: &str = "shop";
const CART: KubeService = KubeService { namespace: SHOP, name: "cart", port: 8080 };
const COPIES: KubeService = KubeService { namespace: SHOP, name: "copies", port: 8080 };
const ISTIO: &str = "networking.istio.io";
const GATEWAY: &str = "gateway.networking.k8s.io";

/// All kinds that an agent follows and a server of any age does not have.
const KINDS: [(&str, &str, &str); 9] = [
    ("discovery.k8s.io", "v1", "EndpointSlice"),
    (ISTIO, "v1", "VirtualService"),
    (ISTIO, "v1", "DestinationRule"),
    (ISTIO, "v1", "ServiceEntry"),
    (ISTIO, "v1", "WorkloadEntry"),
    (GATEWAY, "v1", "HTTPRoute"),
    (GATEWAY, "v1", "GRPCRoute"),
    (GATEWAY, "v1", "ReferenceGrant"),
    ("umbra.dev", "v1alpha1", "ShadowPolicy"),
];

/// A cluster with a service that is mirrored, and the chart's objects about rights.
struct Cluster {
    node: Node,
    app: Pod,
    client: Pod,
    primary: Upstream,
    copies: Upstream,
    _shadow: Pod,
    server: ApiServer,
}

impl Cluster {
    /// None where no server authorises.
    fn new() -> Option<Self> {
        let node = Node::new();
        let server = ApiServer::authorising(node.netns())?;
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let primary = upstream(&app).port(CART.port).replies("ok").start();
        let copies = upstream(&shadow).port(COPIES.port).replies("copy").start();
        server.install(&KINDS);
        server.install(&[("umbra.dev", "v1alpha1", "AgentConfig")]);
        for namespace in [OWN, SHOP] {
            server.apply(&json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}));
        }
        let about_rights = ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"];
        for object in documents(&chart::text(&json!({}))) {
            if about_rights.contains(&object["kind"].as_str().unwrap()) {
                server.apply(&object);
            }
        }
        server.apply(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {
            "topology.kubernetes.io/region": "eu", "topology.kubernetes.io/zone": "eu-a"}}}));
        for (service, pod) in [(CART, &app), (COPIES, &shadow)] {
            let name = format!("{}-1", service.name);
            server.apply(&service.service());
            server.apply(&pod_object(&name, SHOP, NODE, pod.ip(), &json!({"app": service.name})));
            server.apply(&service.slice(&[endpoint(&name, SHOP, NODE, pod.ip())]));
        }
        server.apply(&json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "cart", "namespace": SHOP},
            "spec": {"hosts": ["cart"], "http": [
                {"name": "all", "route": [{"destination": {"host": "cart"}}], "mirror": {"host": "copies"}}]},
        }));
        for (name, target) in [("good", "cart"), ("lost", "nobody")] {
            server.apply(&policy(name, target));
        }
        Some(Self { node, app, client, primary, copies, _shadow: shadow, server })
    }

    /// An agent that is the chart's service account, and nobody else.
    fn agent(&self) -> Agent {
        let builder = agent(&self.node);
        let config = format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  \
             admin: {{address: '{}', socket: ''}}\n  capture: {{inbound: [{{netns: {}}}]}}\n",
            builder.admin(),
            self.app.netns().path()
        );
        let kubeconfig = self.server.kubeconfig_of(&json!({"token": self.token()}), OWN);
        builder.yaml(&config).cluster(kubeconfig, NODE).arguments(&["--write-status"]).start()
    }

    /// As the kubelet gets it for a pod.
    fn token(&self) -> String {
        let question = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let path = format!("/api/v1/namespaces/{OWN}/serviceaccounts/umbra/token");
        self.server.review(&path, &question)["status"]["token"].as_str().unwrap().to_owned()
    }

    fn is_mirrored(&self) {
        let before = self.copies.count();
        assert_eq!(self.client.get(self.primary.address(), "/").text(), "ok");
        self.copies.eventually_received(before + 1);
    }

    /// Whether the service account may.
    fn allows(&self, verb: &str, group: &str, resource: &str, namespace: &str, name: &str) -> bool {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{OWN}:umbra"),
                "groups": ["system:serviceaccounts", format!("system:serviceaccounts:{OWN}"), "system:authenticated"],
                "resourceAttributes": {"verb": verb, "group": group, "resource": resource, "subresource": subresource,
                    "namespace": namespace, "name": name},
            },
        });
        let answer = self.server.review("/apis/authorization.k8s.io/v1/subjectaccessreviews", &review);
        answer["status"]["allowed"].as_bool().unwrap()
    }
}

fn policy(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "umbra.dev/v1alpha1", "kind": "ShadowPolicy", "metadata": {"name": name, "namespace": SHOP},
        "spec": {"targetRefs": [{"kind": "VirtualService", "name": target}], "timeout": "2s"},
    })
}

fn status(agent: &Agent) -> Value {
    serde_json::from_str(&agent.ask("/api/v1/status").unwrap().text()).unwrap()
}

fn told(agent: &Agent) -> String {
    String::from_utf8_lossy(&agent.umbra(&["status"]).stdout).into_owned()
}

#[test]
fn the_agents_may_do_what_they_do_and_nothing_else() {
    let Some(cluster) = Cluster::new() else { return };
    let agent = cluster.agent();

    eventually("every kind to be followed", || {
        let kinds = status(&agent)["cluster"]["kinds"].clone();
        let kinds = kinds.as_array().unwrap();
        kinds.iter().all(|kind| kind["state"] == "following").then_some(())
    });
    cluster.is_mirrored();
    for (name, target, expected) in [("good", "cart", "True"), ("lost", "nobody", "False")] {
        eventually(&format!("what became of {name}\n{}", told(&agent)), || {
            let found = cluster.server.get(&policy(name, target))?;
            let conditions = found["status"]["conditions"].as_array()?.clone();
            let resolved = conditions.into_iter().find(|condition| condition["type"] == "ResolvedRefs")?;
            (resolved["status"] == expected).then_some(())
        });
    }
    eventually("an event", || (!cluster.server.events(SHOP).is_empty()).then_some(()));
    assert!(told(&agent).contains("status: written by this agent, "), "{}", told(&agent));
    assert!(!agent.log().contains("(403)"), "{}", agent.log());
    assert!(agent.stop().success());

    let leases = "coordination.k8s.io";
    for (verb, group, resource, namespace, name) in [
        ("watch", "", "pods", "", ""),
        ("list", GATEWAY, "httproutes", SHOP, ""),
        ("update", "umbra.dev", "shadowpolicies/status", SHOP, "good"),
        ("update", leases, "leases", OWN, "umbra-status"),
        ("get", "", "nodes", "", NODE),
    ] {
        assert!(cluster.allows(verb, group, resource, namespace, name), "{verb} {resource}");
    }
    for (verb, group, resource, namespace, name) in [
        ("*", "*", "*", "", ""),
        ("get", "", "secrets", OWN, "umbra-token"),
        ("list", "", "secrets", "", ""),
        ("list", "", "configmaps", OWN, ""),
        ("list", "", "nodes", "", ""),
        ("get", "", "nodes/proxy", "", NODE),
        ("patch", "", "nodes", "", NODE),
        ("create", "", "pods", OWN, ""),
        ("delete", "", "pods", SHOP, "cart-1"),
        ("patch", "", "pods", SHOP, "cart-1"),
        ("create", "", "pods/exec", SHOP, "cart-1"),
        ("get", "", "pods/log", SHOP, "cart-1"),
        ("update", "", "services", SHOP, "cart"),
        ("update", "discovery.k8s.io", "endpointslices", SHOP, "cart-1"),
        ("update", ISTIO, "virtualservices", SHOP, "cart"),
        ("patch", ISTIO, "virtualservices/status", SHOP, "cart"),
        ("update", "umbra.dev", "shadowpolicies", SHOP, "good"),
        ("delete", "umbra.dev", "shadowpolicies", SHOP, "good"),
        ("list", "umbra.dev", "agentconfigs", SHOP, ""),
        ("update", "umbra.dev", "agentconfigs/status", SHOP, "other"),
        ("update", leases, "leases", OWN, "other"),
        ("create", leases, "leases", SHOP, ""),
        ("delete", leases, "leases", OWN, "umbra-status"),
        ("create", "", "serviceaccounts/token", OWN, "umbra"),
        ("impersonate", "", "users", "", "admin"),
        ("escalate", "rbac.authorization.k8s.io", "clusterroles", "", "umbra"),
        ("update", "rbac.authorization.k8s.io", "clusterroles", "", "umbra-system-umbra"),
        ("create", "apps", "daemonsets", OWN, ""),
        ("patch", "apiextensions.k8s.io", "customresourcedefinitions", "", "shadowpolicies.umbra.dev"),
    ] {
        assert!(!cluster.allows(verb, group, resource, namespace, name), "{verb} {resource}");
    }

    // As with `status.enabled: false`, though the agent is told to write.
    let rbac = "rbac.authorization.k8s.io/v1";
    cluster.server.delete(&json!({"apiVersion": rbac, "kind": "ClusterRoleBinding", "metadata": {"name": "umbra-system-umbra-status"}}));
    cluster.server.delete(&json!({"apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": "umbra-status", "namespace": OWN}}));
    let agent = cluster.agent();
    cluster.is_mirrored();
    eventually("what it may not do", || {
        let told = told(&agent);
        (told.contains("status: written by no agent that is known: lease umbra-status: ")
            && told.contains("(403)"))
        .then_some(())
    });
    cluster.is_mirrored();
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}
