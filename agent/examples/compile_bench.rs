//! How long rules take to compile and to match, and what they weigh: 10,000 VirtualServices of 5 rules and 100,000
//! endpoints. `cargo run --release --example compile_bench` prints the figures and fails beyond the promised ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a bench is run by a person")]

use std::{
    collections::BTreeMap,
    hint::black_box,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use umbra::{
    config::{
        Located, Location, Meta, Report, Resources,
        istio::{
            Destination, DestinationRule, HttpMatch, HttpRoute, MeshLocation, Resolution, RouteDestination,
            ServiceEntry, ServicePort, StringMatch, Subset, VirtualService, WorkloadEndpoint,
        },
    },
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::Snapshot,
};

const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 10;

fn main() {
    let mut resources = resources();
    let accounts = Accounts::default();
    let before = resident();
    let (first, snapshot) = timed(|| compile(&resources, &accounts));
    let weight = resident().saturating_sub(before);
    println!("compile    {first:?}  ({} captured ports)", snapshot.captured_ports().len());
    println!(
        "memory     {} MiB for the snapshot, {} MiB with what was written",
        weight >> 20,
        resident() >> 20
    );

    let mut again: Vec<_> = (0..5)
        .map(|n| {
            resources.virtual_services[n].http[0].mirror_percentage = None;
            timed(|| drop(black_box(compile(&resources, &accounts)))).0
        })
        .collect();
    again.sort();
    println!("change     {:?} after one virtual service changed (median of 5)", again[2]);

    let mut took = matches(&snapshot);
    took.sort();
    let median = took[took.len() / 2];
    println!("match      {median:?} median, {:?} 99th percentile", took[took.len() * 99 / 100]);
    assert!(first < Duration::from_secs(2), "compile: {first:?}");
    assert!(weight < 300 << 20, "memory: {weight}");
    assert!(median < Duration::from_micros(2), "match: {median:?}");
}

fn compile(resources: &Resources, accounts: &Accounts) -> Snapshot {
    let mut report = Report::default();
    let snapshot = Snapshot::compile(resources, accounts, &mut report);
    assert!(!report.has_errors(), "{:?}", report.diagnostics.first());
    snapshot
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let done = work();
    (start.elapsed(), done)
}

/// One request to each of many services; each is matched many times, to be longer than the clock's grain.
fn matches(snapshot: &Snapshot) -> Vec<Duration> {
    const TIMES: u32 = 100;
    let one = |n: u32| {
        let host = format!("app-{n}.default.svc.cluster.local");
        let path = format!("/api/v{}/items?id=7", n % 5);
        let headers = [
            Header { name: "Host", value: host.as_bytes() },
            Header { name: "User-Agent", value: b"bench" },
            Header { name: "Accept", value: b"*/*" },
            Header { name: "x-user", value: b"u-1" },
        ];
        let (method, target) = ("GET", path.as_str());
        let head = RequestHead {
            method,
            target,
            version: Version::Http11,
            headers: &headers,
            body: BodyLength::None,
        };
        let destination = (address(n * ENDPOINTS), 8080).into();
        let client = Ipv4Addr::LOCALHOST.into();
        let (took, ()) = timed(|| {
            for _ in 0..TIMES {
                black_box(snapshot.inbound(black_box(destination)).unwrap().decide(black_box(&head), client));
            }
        });
        took / TIMES
    };
    (0..SERVICES).map(one).collect()
}

fn resources() -> Resources {
    let mut resources = Resources::default();
    for n in 0..SERVICES {
        let host = format!("app-{n}.default.svc.cluster.local");
        resources.service_entries.push(entry(n, &host));
        let subset = |v: &str| Subset {
            name: text(v),
            labels: BTreeMap::from([("version".into(), v.into())]),
            traffic_policy: None,
        };
        resources.destination_rules.push(DestinationRule {
            meta: meta(n),
            host: text(&host),
            subsets: vec![subset("v1"), subset("v2")],
            traffic_policy: None,
            workload_selector: None,
            export_to: Vec::new(),
        });
        resources.virtual_services.push(VirtualService {
            meta: meta(n),
            hosts: vec![text(&host)],
            gateways: Vec::new(),
            http: (0..5).map(|rule| route(rule, &host)).collect(),
            tls: None,
            tcp: None,
            export_to: Vec::new(),
        });
    }
    resources
}

fn entry(n: u32, host: &str) -> ServiceEntry {
    let endpoint = |e: u32| WorkloadEndpoint {
        address: text(&address(n * ENDPOINTS + e).to_string()),
        labels: BTreeMap::from([("version".into(), if e < ENDPOINTS - 2 { "v1" } else { "v2" }.into())]),
        ports: BTreeMap::new(),
        weight: None,
        network: None,
        locality: None,
        service_account: None,
    };
    ServiceEntry {
        meta: meta(n),
        hosts: vec![text(host)],
        addresses: Vec::new(),
        ports: vec![ServicePort {
            number: located(80),
            name: "http".into(),
            protocol: "HTTP".into(),
            target_port: 8080,
        }],
        location: MeshLocation::Internal,
        resolution: located(Resolution::Static),
        endpoints: (0..ENDPOINTS).map(endpoint).collect(),
        workload_selector: None,
        subject_alt_names: Vec::new(),
        export_to: Vec::new(),
    }
}

fn route(rule: u32, host: &str) -> HttpRoute {
    let destination =
        |subset: &str| Destination { at: at(), host: text(host), subset: Some(text(subset)), port: None };
    let block = HttpMatch {
        at: at(),
        name: None,
        uri: Some(located(StringMatch::Prefix(format!("/api/v{rule}/")))),
        ignore_uri_case: false,
        scheme: None,
        method: Some(located(StringMatch::Exact("GET".into()))),
        authority: None,
        headers: vec![(text("x-user"), located(StringMatch::Prefix("u-".into())))],
        without_headers: Vec::new(),
        query_params: Vec::new(),
        port: None,
        source_labels: BTreeMap::new(),
        source_namespace: None,
        gateways: Vec::new(),
    };
    HttpRoute {
        at: at(),
        name: Some(format!("rule-{rule}")),
        matches: vec![block],
        route: vec![RouteDestination {
            at: at(),
            destination: destination("v1"),
            weight: None,
            headers: None,
        }],
        redirect: None,
        direct_response: None,
        delegate: None,
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        cors_policy: None,
        headers: None,
        mirror: Some(destination("v2")),
        mirrors: Vec::new(),
        mirrors_at: None,
        mirror_percent: None,
        mirror_percentage: None,
    }
}

fn address(n: u32) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + n)
}

fn meta(n: u32) -> Meta {
    Meta {
        name: text(&format!("app-{n}")),
        namespace: "default".into(),
        labels: BTreeMap::new(),
        created: None,
    }
}

fn at() -> Location {
    thread_local!(static FILE: std::sync::Arc<str> = "bench.yaml".into());
    Location { file: FILE.with(std::sync::Arc::clone), line: 1, column: 1 }
}

fn located<T>(value: T) -> Located<T> {
    Located { value, at: at() }
}

fn text(value: &str) -> Located<String> {
    located(value.to_owned())
}

/// Bytes of this process in memory (proc(5), `statm`).
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}
