//! A cluster of one node with one service, as a file tells it that is written anew with every change: what a source that
//! watches the API server would see.

use std::{
    fs,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use serde_json::{Value, json};
use support::{Agent, AgentBuilder, Asking, Load, Node, Pod, Upstream, agent, eventually, upstream};
use tempfile::TempDir;

use crate::kubelet::{Runtime, Sandbox};

pub(crate) const NODE: &str = "node-1";
/// Where every pod serves, and the port of the service.
pub(crate) const PORT: u16 = 8080;

/// Each client takes new connections now and then, or keeps one; two speak HTTP/2.
const CLIENTS: [Asking; 8] = [
    Asking::Kept,
    Asking::Kept,
    Asking::Renewed,
    Asking::Renewed,
    Asking::Fresh,
    Asking::Fresh,
    Asking::Streams,
    Asking::Streams,
];

pub(crate) struct Cluster {
    pub(crate) node: Node,
    pub(crate) client: Pod,
    pub(crate) shadow: Upstream,
    _shadow_pod: Pod,
    directory: TempDir,
    /// Labels of the namespace `shop`.
    pub(crate) namespace: Value,
    pub(crate) pods: Vec<Running>,
    /// Pods that something else runs, or nothing: what is said of them.
    pub(crate) others: Vec<Value>,
    /// Addresses of those among them that serve.
    pub(crate) serving: Vec<IpAddr>,
    /// Of a container runtime.
    pub(crate) cri_socket: Option<PathBuf>,
    /// Endpoints of the service that copies go to.
    pub(crate) shadows: Value,
}

/// A pod of the service, as it runs.
pub(crate) struct Running {
    pub(crate) name: String,
    pub(crate) labels: Value,
    /// The API server was asked to delete it.
    pub(crate) terminating: bool,
    pub(crate) sandbox: Option<Sandbox>,
    // Ends before its network does.
    pub(crate) app: Upstream,
    pub(crate) pod: Pod,
}

impl Cluster {
    /// The namespace's pods are captured unless they say otherwise.
    pub(crate) fn new() -> Self {
        let node = Node::new();
        let (client, shadow) = (node.pod("client"), node.pod("shadow"));
        let copies = upstream(&shadow).replies("ok").start();
        Self {
            shadows: json!([{"addresses": [shadow.ip()], "zone": "a", "nodeName": NODE}]),
            shadow: copies,
            _shadow_pod: shadow,
            client,
            node,
            directory: tempfile::tempdir().unwrap(),
            namespace: json!({"umbra.dev/capture": "enabled"}),
            pods: Vec::new(),
            others: Vec::new(),
            serving: Vec::new(),
            cri_socket: None,
        }
    }

    /// Starts a pod of the service; told when [`Self::write`] is.
    pub(crate) fn start(&mut self, name: &str, runtime: Runtime) -> &mut Running {
        let pod = self.node.pod("pod");
        let sandbox = Sandbox::new(runtime, pod.netns(), self.node.netns());
        let app = upstream(&pod).port(PORT).replies("ok").start();
        let (name, labels) = (name.to_owned(), json!({}));
        self.pods.push(Running { name, labels, terminating: false, sandbox: Some(sandbox), app, pod });
        self.pods.last_mut().unwrap()
    }

    pub(crate) fn pod(&mut self, name: &str) -> &mut Running {
        self.pods.iter_mut().find(|pod| pod.name == name).unwrap()
    }

    /// Its processes end, its network with them, and the API server forgets it.
    pub(crate) fn end(&mut self, name: &str) {
        self.pods.retain(|pod| pod.name != name);
        self.write();
    }

    /// What the cluster says now. Whoever reads it sees all of it or what was before.
    pub(crate) fn write(&self) {
        let new = self.directory.path().join("new");
        fs::write(&new, self.objects().to_string()).unwrap();
        fs::rename(new, self.file()).unwrap();
    }

    fn file(&self) -> String {
        self.directory.path().join("cluster.yaml").display().to_string()
    }

    /// An agent for this node, ready; `prelude` is run before it.
    pub(crate) fn agent(&self, prelude: &str) -> Agent {
        self.builder().after(prelude).start()
    }

    pub(crate) fn builder(&self) -> AgentBuilder<'_> {
        self.write();
        let builder = agent(&self.node);
        let cri_socket = self.cri_socket.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let yaml = format!(
            "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {{name: node}}\nspec:\n  admin: {{address: '{}', socket: ''}}\n  \
             capture: {{criSocket: '{cri_socket}'}}\n",
            builder.admin()
        );
        let file = self.file();
        builder.yaml(&yaml).arguments(&["--config", &file, "--node-name", NODE, "--locality", "eu/a"])
    }

    /// Clients of one pod, from when it is ready until it is given no more connections.
    pub(crate) fn load(&mut self, name: &str) -> Load {
        let address = self.pod(name).app.address();
        Load::of(self.client.netns(), address, &CLIENTS)
    }

    /// Asks a pod until a copy of what was asked arrives.
    pub(crate) fn eventually_mirrored(&self, app: SocketAddr) {
        let before = self.shadow.count();
        eventually("a copy", || {
            assert_eq!(self.client.get(app, "/").text(), "ok");
            (self.shadow.count() > before).then_some(())
        });
    }

    fn objects(&self) -> Value {
        let slice = |name: &str, endpoints: Value, port: u16| {
            json!({
                "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
                "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": name}},
                "endpoints": endpoints,
                "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
            })
        };
        let service = |name: &str| {
            json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop"},
                "spec": {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": "web"}]},
            })
        };
        let others = self.serving.iter().map(|ip| json!({"addresses": [ip], "nodeName": NODE}));
        let endpoints: Value = self.pods.iter().map(Running::endpoint).chain(others).collect();
        let mut items = vec![
            json!({
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": "shop", "labels": self.namespace},
            }),
            service("cart"),
            service("shadow"),
            slice("cart", endpoints, PORT),
            slice("shadow", self.shadows.clone(), self.shadow.port()),
            json!({
                "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
                "metadata": {"name": "cart", "namespace": "shop"},
                "spec": {"hosts": ["cart"], "http": [
                    {"name": "all", "route": [{"destination": {"host": "cart"}}], "mirror": {"host": "shadow"}},
                ]},
            }),
        ];
        items.extend(self.pods.iter().map(Running::object));
        items.extend(self.others.iter().cloned());
        json!({"apiVersion": "v1", "kind": "List", "items": items})
    }
}

impl Running {
    pub(crate) fn uid(&self) -> &str {
        &self.sandbox.as_ref().unwrap().uid
    }

    fn endpoint(&self) -> Value {
        let ready = !self.terminating;
        json!({
            "addresses": [self.pod.ip()], "nodeName": NODE,
            "conditions": {"ready": ready, "serving": true, "terminating": self.terminating},
            "targetRef": {"kind": "Pod", "name": self.name, "namespace": "shop"},
        })
    }

    fn object(&self) -> Value {
        let mut pod = pod(&self.name, self.uid(), &self.labels);
        pod["status"]["podIPs"] = json!([{"ip": self.pod.ip()}]);
        if self.terminating {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-02T04:00:00Z");
        }
        pod
    }
}

/// A running pod of this node in the namespace `shop`.
pub(crate) fn pod(name: &str, uid: &str, labels: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "uid": uid, "labels": labels},
        "spec": {
            "nodeName": NODE,
            "containers": [{"name": "app", "ports": [{"name": "web", "containerPort": PORT}, {"name": "admin", "containerPort": PORT + 1}]}],
        },
        "status": {
            "phase": "Running", "podIPs": [{"ip": "10.98.250.1"}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    })
}
