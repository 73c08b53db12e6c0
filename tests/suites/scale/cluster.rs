//! A simulated cluster: nodes with 30 pods each, a Service for every 6 pods, two rules for each Service; what of it changes day
//! by day, and in a rollout. Its pods are objects alone; nobody runs them.

use std::{
    collections::HashMap,
    fmt::Display,
    net::{IpAddr, Ipv4Addr},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;
use support::Netns;

use crate::{
    objects::{Template, Templates},
    server::Server,
    store::{Name, Object},
};

/// The agent's.
pub(crate) const NODE: &str = "node-0";
const PODS_OF_NODE: u32 = 30;
const PODS_OF_SERVICE: u32 = 6;
const SERVICES_OF_NAMESPACE: u32 = 25;
/// Every second service has a VirtualService with four rules, of which every fourth mirrors by its last one.
const WITH_RULES: u32 = 2;
const MIRRORED: u32 = 8;
/// Has no factor in common with any number of nodes that is used: pods are dealt out evenly.
const STRIDE: u32 = 7919;

/// Changes of a day like any other, in a second.
pub(crate) const POD_CHANGES: u32 = 10;
pub(crate) const SLICE_CHANGES: u32 = 5;
/// Pods that are replaced in a second of a rollout.
pub(crate) const REPLACED: u32 = 10;

pub(crate) struct Cluster {
    nodes: u32,
    pub(crate) server: Server,
    templates: Templates,
    /// How often a pod was replaced.
    turns: Mutex<HashMap<(u32, u32), u32>>,
}

impl Cluster {
    pub(crate) fn new(nodes: u32, netns: &Netns) -> Self {
        let (server, templates) = (Server::start(netns), Templates::new());
        let cluster = Self { nodes, server, templates, turns: Mutex::default() };
        let namespaces = (0..cluster.services().div_ceil(SERVICES_OF_NAMESPACE)).map(|number| {
            let (namespace, uid) = (format!("team-{number}"), uid('1', number));
            let text = cluster.templates.namespace.fill(&[("namespace", &namespace), ("uid", &uid)]);
            ((String::new(), namespace), Object::new(&text, &[], ""))
        });
        cluster.server.of("namespaces").fill(namespaces);
        let services = || 0..cluster.services();
        cluster.server.of("services").fill(services().map(|service| cluster.service(service)));
        cluster.server.of("endpointslices").fill(services().map(|service| cluster.slice(service, None)));
        let ruled = || services().step_by(WITH_RULES as usize);
        cluster.server.of("virtualservices").fill(ruled().map(|service| cluster.rules(service)));
        cluster.server.of("destinationrules").fill(ruled().map(|service| cluster.subsets(service)));
        let pods = services().flat_map(|service| (0..PODS_OF_SERVICE).map(move |pod| (service, pod)));
        cluster.server.of("pods").fill(pods.map(|(service, pod)| cluster.pod(service, pod, 0)));
        cluster
    }

    pub(crate) fn size(&self) -> String {
        let services = self.services();
        let virtual_services = services.div_ceil(WITH_RULES);
        let rules = 4 * virtual_services;
        let mirrors = services.div_ceil(MIRRORED);
        format!(
            "{} nodes, {} pods, {services} Services with a slice of {PODS_OF_SERVICE} each, {rules} rules in {virtual_services} \
             VirtualServices, {mirrors} of which mirror",
            self.nodes,
            self.nodes * PODS_OF_NODE
        )
    }

    /// An ordinary day for so long: pods tell of themselves, endpoints lose their readiness and have it again.
    pub(crate) fn live(&self, seconds: u32) {
        let begun = Instant::now();
        for step in 0..seconds * POD_CHANGES {
            let pod = step.wrapping_mul(STRIDE) % (self.services() * PODS_OF_SERVICE);
            self.put("pods", self.pod(pod / PODS_OF_SERVICE, pod % PODS_OF_SERVICE, step));
            if step % (POD_CHANGES / SLICE_CHANGES) == 0 {
                let turn = step / (POD_CHANGES / SLICE_CHANGES);
                let service = (turn / 2).wrapping_mul(STRIDE) % self.services();
                self.put("endpointslices", self.slice(service, turn.is_multiple_of(2).then_some(0)));
            }
            wait_until(begun + Duration::from_secs(1) * (step + 1) / POD_CHANGES);
        }
    }

    /// How many pods a rollout replaces: all of a service for every ten nodes.
    pub(crate) fn rollout(&self) -> u32 {
        (self.nodes / 10).max(1) * PODS_OF_SERVICE
    }

    /// Replaces one pod after the other, of all those services in turn.
    pub(crate) fn roll(&self) {
        let (begun, count) = (Instant::now(), self.rollout());
        let deployments = count / PODS_OF_SERVICE;
        for step in 0..count {
            let service = step % deployments * (self.services() / deployments);
            let pod = step / deployments;
            let (gone, _) = self.pod(service, pod, 0);
            self.server.of("pods").delete(gone);
            *self.turns.lock().unwrap().entry((service, pod)).or_default() += 1;
            self.put("pods", self.pod(service, pod, 0));
            self.put("endpointslices", self.slice(service, None));
            wait_until(begun + Duration::from_secs(1) * (step + 1) / REPLACED);
        }
    }

    pub(crate) fn put(&self, plural: &str, (name, object): (Name, Object)) {
        self.server.of(plural).put(name, object);
    }

    fn services(&self) -> u32 {
        self.nodes * PODS_OF_NODE / PODS_OF_SERVICE
    }

    fn service(&self, service: u32) -> (Name, Object) {
        let ip = Ipv4Addr::from(0xac10_0000 + service);
        let text = self.filled(&self.templates.service, service, '2', &[("ip", &ip)]);
        (name(service), Object::new(&text, &[], ""))
    }

    fn slice(&self, service: u32, unready: Option<u32>) -> (Name, Object) {
        let endpoint = |pod: u32| {
            let at = self.place(service, pod);
            let (ready, zone) = (unready != Some(pod), ['a', 'b', 'c'][at.node as usize % 3]);
            let node = format!("node-{}", at.node);
            let values: &[(&str, &dyn Display)] =
                &[("ip", &at.ip), ("name", &at.name), ("node", &node), ("ready", &ready), ("zone", &zone)];
            self.filled(&self.templates.endpoint, service, '3', values)
        };
        let endpoints: Vec<_> = (0..PODS_OF_SERVICE).map(endpoint).collect();
        let endpoints = format!("[{}]", endpoints.join(","));
        let text = self.filled(&self.templates.slice, service, '4', &[("endpoints", &endpoints)]);
        let (namespace, name) = name(service);
        ((namespace, format!("{name}-x7k2p")), Object::new(&text, &[], ""))
    }

    fn rules(&self, service: u32) -> (Name, Object) {
        let Templates { mirroring, rule, .. } = &self.templates;
        let template = if service.is_multiple_of(MIRRORED) { mirroring } else { rule };
        (name(service), Object::new(&self.filled(template, service, '5', &[]), &[], ""))
    }

    fn subsets(&self, service: u32) -> (Name, Object) {
        let text = self.filled(&self.templates.destination_rule, service, '6', &[]);
        (name(service), Object::new(&text, &[], ""))
    }

    fn pod(&self, service: u32, pod: u32, turn: u32) -> (Name, Object) {
        let at = self.place(service, pod);
        let ((namespace, app), node) = (name(service), format!("node-{}", at.node));
        let subset = if pod < PODS_OF_SERVICE - 1 { "v1" } else { "v2" };
        let values: &[(&str, &dyn Display)] = &[
            ("ip", &at.ip),
            ("name", &at.name),
            ("node", &node),
            ("subset", &subset),
            ("hash", &at.hash),
            ("turn", &turn),
        ];
        let text = self.filled(&self.templates.pod, service, '7', values);
        ((namespace, at.name), Object::new(&text, &[("app", &app), ("version", subset)], &node))
    }

    fn filled(&self, template: &Template, service: u32, kind: char, more: &[(&str, &dyn Display)]) -> String {
        let ((namespace, app), uid) = (name(service), uid(kind, service));
        let mut values: Vec<(&str, &dyn Display)> =
            vec![("app", &app), ("namespace", &namespace), ("uid", &uid)];
        values.extend_from_slice(more);
        template.fill(&values)
    }

    fn place(&self, service: u32, pod: u32) -> Place {
        let index = service * PODS_OF_SERVICE + pod;
        let turn = self.turns.lock().unwrap().get(&(service, pod)).copied().unwrap_or_default();
        let hash = format!("{:08x}", 0x6b8d_45f9 + turn);
        let name = format!("svc-{service}-{hash}-{pod}");
        // Carriers' addresses, which no test network has (RFC 6598).
        let ip = Ipv4Addr::from(0x6440_0000 + index + turn * self.nodes * PODS_OF_NODE);
        Place { node: index.wrapping_mul(STRIDE) % self.nodes, ip, name, hash }
    }

    /// A Service of our own with its slice: one endpoint at a real address.
    pub(crate) fn real_service(&self, app: &str, at: IpAddr, node: &str) {
        let text = self.templates.service.fill(&[&real(&app)[..], &[("ip", &"None")]].concat());
        self.put("services", (("shop".to_owned(), app.to_owned()), Object::new(&text, &[], node)));
        self.real_endpoint(app, at, node);
    }

    /// Its slice alone.
    pub(crate) fn real_endpoint(&self, app: &str, at: IpAddr, node: &str) {
        let Templates { slice, endpoint, .. } = &self.templates;
        let place: &[(&str, &dyn Display)] =
            &[("ip", &at), ("name", &app), ("node", &node), ("zone", &'a'), ("ready", &true)];
        let endpoints = format!("[{}]", endpoint.fill(&[&real(&app)[..], place].concat()));
        let text = slice.fill(&[&real(&app)[..], &[("endpoints", &endpoints)]].concat());
        let name = ("shop".to_owned(), format!("{app}-x7k2p"));
        self.put("endpointslices", (name, Object::new(&text, &[], node)));
    }

    /// Of our own: everything that arrives at one Service is mirrored to another.
    pub(crate) fn real_rule(&self, app: &str, shadow: &str) {
        let text = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": app, "namespace": "shop", "resourceVersion": "@version@"},
            "spec": {"hosts": [app], "http": [{"route": [{"destination": {"host": app}}], "mirror": {"host": shadow}}]},
        });
        let name = ("shop".to_owned(), app.to_owned());
        self.put("virtualservices", (name, Object::new(&text.to_string(), &[], "")));
    }
}

/// What fills the templates of our own Services.
fn real<'v>(app: &'v &str) -> [(&'static str, &'v dyn Display); 3] {
    [("app", app), ("namespace", &"shop"), ("uid", &"8a2b3c4d-0000-4000-8000-000000000000")]
}

/// Where a pod is.
struct Place {
    node: u32,
    ip: Ipv4Addr,
    name: String,
    hash: String,
}

fn name(service: u32) -> Name {
    (format!("team-{}", service / SERVICES_OF_NAMESPACE), format!("svc-{service}"))
}

fn uid(kind: char, number: u32) -> String {
    format!("{kind}a2b3c4d-0000-4000-8000-{number:012}")
}

fn wait_until(moment: Instant) {
    thread::sleep(moment.saturating_duration_since(Instant::now()));
}
