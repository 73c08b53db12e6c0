//! Small builders of what a reader would have read, and a way to ask the outcome.

use std::{
    cell::Cell,
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::{
    config::{
        Code, Diagnostic, Labels, Located, Location, Meta, Report, Resources,
        istio::{
            Delegate, Destination, DestinationRule, DirectResponse, HttpMatch, HttpRoute, MeshLocation,
            MirrorPolicy, Percent, Redirect, Resolution, RouteDestination, ServiceEntry, ServicePort,
            StringMatch, Subset, VirtualService, WorkloadEndpoint,
        },
        kubernetes,
    },
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{Decision, Rule, Snapshot},
};

/// Where requests come from, unless a test says otherwise.
pub(super) const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

pub(super) const APP: &str = "my-app.default.svc.cluster.local";

/// A Service of Kubernetes that selects the pods of an app: port 80, served at 8080.
pub(super) fn kube_service(name: &str, app: &str) -> kubernetes::Service {
    kubernetes::Service {
        meta: meta(name),
        kind: kubernetes::ServiceType::ClusterIp,
        ports: vec![kubernetes::KubePort {
            number: written(80),
            name: "http".into(),
            transport: kubernetes::Transport::Tcp,
            target: kubernetes::TargetPort::Number(8080),
            app_protocol: None,
        }],
        selector: labels(&[("app", app)]),
        cluster_ips: Vec::new(),
        headless: false,
        external_name: None,
        publish_not_ready_addresses: false,
        traffic_distribution: None,
        export_to: Vec::new(),
    }
}

/// A ready pod of an app.
pub(super) fn pod(name: &str, app: &str, address: &str) -> kubernetes::Pod {
    kubernetes::Pod {
        meta: meta(name).with(|meta| meta.labels = labels(&[("app", app)])),
        uid: None,
        ips: vec![address.parse().unwrap()],
        phase: kubernetes::PodPhase::Running,
        ready: true,
        terminating: false,
        ports: BTreeMap::new(),
        node: None,
        host_network: false,
        service_account: None,
        mesh: None,
    }
}

/// Changes a value in passing.
pub(super) trait With: Sized {
    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl<T> With for T {}

/// A place of its own for every value.
pub(super) fn here() -> Location {
    thread_local!(static LINE: Cell<u32> = const { Cell::new(0) });
    LINE.set(LINE.get() + 1);
    Location { file: "test.yaml".into(), line: LINE.get(), column: 1 }
}

pub(super) fn written<T>(value: T) -> Located<T> {
    Located { value, at: here() }
}

pub(super) fn text(value: &str) -> Located<String> {
    written(value.to_owned())
}

pub(super) fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().copied().collect()
}

/// `name`, or `namespace/name`.
pub(super) fn meta(name: &str) -> Meta {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    Meta { name: text(name), namespace: namespace.into(), labels: Labels::NONE, created: None }
}

/// Port 80, served by its endpoints at 8080; each is an address and a version.
pub(super) fn service(name: &str, host: &str, endpoints: &[(&str, &str)]) -> ServiceEntry {
    let endpoint = |&(address, version): &(&str, &str)| WorkloadEndpoint {
        address: text(address),
        labels: labels(&[("version", version)]),
        ports: BTreeMap::new(),
        weight: None,
        place: None,
    };
    ServiceEntry {
        meta: meta(name),
        hosts: vec![text(host)],
        addresses: Vec::new(),
        ports: vec![port(80, "http", "HTTP", 8080)],
        location: MeshLocation::Internal,
        resolution: written(Resolution::Static),
        endpoints: endpoints.iter().map(endpoint).collect(),
        workload_selector: None,
        subject_alt_names: Vec::new(),
        export_to: Vec::new(),
    }
}

pub(super) fn port(number: u16, name: &str, protocol: &str, target_port: u16) -> ServicePort {
    ServicePort { number: written(number), name: name.into(), protocol: protocol.into(), target_port }
}

/// Subsets named after the versions they select.
pub(super) fn versions(name: &str, host: &str, versions: &[&str]) -> DestinationRule {
    let subset = |v: &&str| Subset {
        name: written((*v).into()),
        labels: labels(&[("version", v)]),
        traffic_policy: None,
    };
    DestinationRule {
        meta: meta(name),
        host: text(host),
        subsets: versions.iter().map(subset).collect(),
        traffic_policy: None,
        workload_selector: None,
        export_to: Vec::new(),
    }
}

pub(super) fn virtual_service(name: &str, host: &str, http: Vec<HttpRoute>) -> VirtualService {
    VirtualService {
        meta: meta(name),
        hosts: vec![text(host)],
        gateways: Vec::new(),
        http,
        tls: None,
        tcp: None,
        export_to: Vec::new(),
    }
}

/// `host`, or `host/subset`.
pub(super) fn destination(text: &str) -> Destination {
    let (host, subset) = text.split_once('/').map_or((text, None), |(host, subset)| (host, Some(subset)));
    Destination { at: here(), host: self::text(host), subset: subset.map(self::text), port: None }
}

pub(super) fn redirect() -> Box<Redirect> {
    Box::new(Redirect {
        at: here(),
        uri: Some(text("/elsewhere")),
        prefix_rewrite: None,
        authority: None,
        port: None,
        derive_port: None,
        scheme: None,
        code: None,
    })
}

pub(super) fn direct_response() -> Box<DirectResponse> {
    Box::new(DirectResponse { at: here(), status: written(204), body: None })
}

pub(super) fn delegate(name: &str) -> Box<Delegate> {
    Box::new(Delegate { at: here(), name: text(name), namespace: None })
}

/// A rule that routes to `my-app/v1` and mirrors to `my-app/v2`.
pub(super) fn rule(name: &str, matches: Vec<HttpMatch>) -> HttpRoute {
    HttpRoute {
        at: here(),
        name: Some(name.to_owned()),
        matches,
        route: vec![route("my-app/v1", None)],
        redirect: None,
        direct_response: None,
        delegate: None,
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        cors_policy: None,
        headers: None,
        mirror: Some(destination("my-app/v2")),
        mirrors: Vec::new(),
        mirrors_at: None,
        mirror_percent: None,
        mirror_percentage: None,
    }
}

pub(super) fn route(to: &str, weight: Option<i64>) -> RouteDestination {
    RouteDestination { at: here(), destination: destination(to), weight: weight.map(written), headers: None }
}

pub(super) fn policy(to: &str, percentage: Option<Percent>) -> MirrorPolicy {
    MirrorPolicy { at: here(), destination: Some(destination(to)), percentage }
}

pub(super) fn percent(value: impl Into<Option<f64>>) -> Option<Percent> {
    Some(Percent { at: here(), value: value.into().map(written) })
}

/// A match block without any condition.
pub(super) fn block() -> HttpMatch {
    HttpMatch {
        at: here(),
        faulty: false,
        name: None,
        uri: None,
        ignore_uri_case: false,
        scheme: None,
        method: None,
        authority: None,
        headers: Vec::new(),
        without_headers: Vec::new(),
        query_params: Vec::new(),
        port: None,
        source_labels: Labels::NONE,
        source_namespace: None,
        gateways: Vec::new(),
    }
}

pub(super) fn on_path(uri: Located<StringMatch>) -> HttpMatch {
    block().with(|b| b.uri = Some(uri))
}

pub(super) fn exact(value: &str) -> Located<StringMatch> {
    written(StringMatch::Exact(value.into()))
}

pub(super) fn prefix(value: &str) -> Located<StringMatch> {
    written(StringMatch::Prefix(value.into()))
}

pub(super) fn regex(value: &str) -> Located<StringMatch> {
    written(StringMatch::Regex(value.into()))
}

pub(super) fn empty() -> Located<StringMatch> {
    written(StringMatch::Empty)
}

/// `my-app` with v1 at 10.0.0.1 and v2 at 10.0.0.2, and a virtual service of these rules.
pub(super) fn app(http: Vec<HttpRoute>) -> Resources {
    Resources {
        agent: None,
        virtual_services: vec![virtual_service("my-app", APP, http)],
        destination_rules: vec![versions("my-app", APP, &["v1", "v2"])],
        service_entries: vec![service("my-app", APP, &[("10.0.0.1", "v1"), ("10.0.0.2", "v2")])],
        ..Resources::default()
    }
}

/// A request as a client would send it to `my-app`.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

pub(super) fn get(target: &str) -> Request {
    Request { method: "GET".into(), target: target.into(), headers: Vec::new() }.header("Host", "my-app")
}

impl Request {
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn host(mut self, host: &str) -> Self {
        self.headers.retain(|(name, _)| name != "Host");
        self.header("Host", host)
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&RequestHead<'_>) -> R) -> R {
        let headers: Vec<_> = self.headers.iter().map(|(name, value)| Header { name, value }).collect();
        read(&RequestHead {
            method: &self.method,
            target: &self.target,
            version: Version::Http11,
            headers: &headers,
            body: BodyLength::None,
            encrypted: false,
        })
    }
}

/// A compiled configuration and all that was said about it.
pub(super) struct World {
    pub(super) snapshot: Snapshot,
    pub(super) accounts: Accounts,
    pub(super) report: Report,
}

pub(super) fn compile(resources: &Resources) -> World {
    let (accounts, mut report) = (Accounts::default(), Report::default());
    let snapshot = Snapshot::compile(resources, &accounts, &mut report);
    World { snapshot, accounts, report }
}

/// Compiles what must be without any fault.
pub(super) fn in_force(resources: &Resources) -> World {
    let world = compile(resources);
    assert!(world.report.diagnostics.is_empty(), "{:#?}", world.report);
    world
}

impl World {
    /// The name of the rule for a request to an address; `-` for no rule, `?` for no host, None when not captured.
    pub(super) fn decide(&self, destination: &str, request: &Request) -> Option<String> {
        self.decide_from(CLIENT, destination, request)
    }

    /// The same for a request of this client.
    pub(super) fn decide_from(&self, client: IpAddr, destination: &str, request: &Request) -> Option<String> {
        let destination: SocketAddr = destination.parse().unwrap();
        let rules = self.snapshot.inbound(destination)?;
        Some(request.read(|head| match rules.decide(head, client) {
            Decision::Rule(rule) => rule.account.key.rule.clone(),
            Decision::NoRule => "-".into(),
            Decision::NoHost => "?".into(),
        }))
    }

    /// The rule for a request to v1 of `my-app`.
    pub(super) fn rule_for(&self, request: &Request) -> String {
        self.decide("10.0.0.1:8080", request).expect("10.0.0.1:8080 is captured")
    }

    /// Cluster and share of every mirror of the rule for `GET /` to v1 of `my-app`; none when not captured.
    pub(super) fn mirrors(&self) -> Vec<(String, u32)> {
        let Some(rules) = self.snapshot.inbound("10.0.0.1:8080".parse().unwrap()) else { return Vec::new() };
        let mirrors =
            |rule: &Rule| rule.mirrors.iter().map(|m| (m.cluster.name.clone(), m.share.0)).collect();
        get("/").read(|head| match rules.decide(head, CLIENT) {
            Decision::Rule(rule) => mirrors(rule),
            Decision::NoRule | Decision::NoHost => Vec::new(),
        })
    }

    /// What the kernel is told to capture, in order.
    pub(super) fn captured(&self) -> Vec<String> {
        self.snapshot.captured_ports().iter().map(ToString::to_string).collect()
    }

    pub(super) fn codes(&self) -> Vec<Code> {
        self.report.diagnostics.iter().map(|d| d.code).collect()
    }

    /// The only fault found.
    pub(super) fn fault(&self) -> &Diagnostic {
        let [fault] = self.report.diagnostics.as_slice() else { panic!("{:#?}", self.report) };
        fault
    }
}

/// `CODE message` of every finding about mirrors' destinations.
pub(super) fn codes_of(report: &Report) -> Vec<String> {
    let of_destinations = [Code::Unusable, Code::NoTls, Code::TlsFile, Code::PlainToTls, Code::NoFailover];
    let found = report.diagnostics.iter().filter(|fault| of_destinations.contains(&fault.code));
    found.map(|fault| format!("{} {}", fault.code, fault.message)).collect()
}
