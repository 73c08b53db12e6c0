//! Configurations that follow each other: what comes of a change is what compiling from nothing gives, and what the
//! change does not touch stays the same value.

use std::sync::Arc;

use proptest::prelude::*;

use super::build::{CLIENT, get};
use crate::{
    config::{self, Code, Report, Resources},
    record::Accounts,
    route::{Compilation, Decision, Mirror, Rule, Snapshot},
};

/// Files and the texts each of them may have. Every kind that rules depend on is here, and every way in which one object
/// bears on what another means: a lookup that is not noted shows as a difference.
const FILES: &[&[&str]] = &[
    &[
        "VirtualService a: {hosts: [a], http: [{name: r, match: [{uri: {prefix: /x}}], route: [{destination: {host: a, subset: v1}}], mirror: {host: a, subset: v2}}, {route: [{destination: {host: a}}]}]}",
        "VirtualService a: {hosts: [a], http: [{name: r, route: [{destination: {host: a, subset: v1}}], mirror: {host: b}}]}",
        "VirtualService a: {hosts: [a], http: [{delegate: {name: part}}, {name: rest, route: [{destination: {host: a}}], mirror: {host: b}}]}",
        "VirtualService a: {hosts: [a], http: [{match: [{sourceNamespace: default}, {port: 81}], route: [{destination: {host: a}}], mirror: {host: b}}]}",
        "VirtualService a: {hosts: ['*.default.svc.cluster.local'], http: [{route: [{destination: {host: b}}, {destination: {host: a, subset: v2}, weight: 1}], mirror: {host: c.example.com}}]}",
        "VirtualService a: {hosts: [a], http: [{route: [{destination: {host: a}}], mirror: {host: bb}}]}",
        "VirtualService a: {exportTo: ['.'], hosts: [a, aa, c.example.com], http: [{route: [{destination: {host: ab}}], mirror: {host: c.example.com}}]}",
        "VirtualService a: {hosts: [a], gateways: [edge], http: [{delegate: {name: part}}]}",
        "VirtualService a: {exportTo: [other], hosts: [a, b], http: [{route: [{destination: {host: a}}], mirror: {host: b}}]}",
        "VirtualService a: {exportTo: ['.', other], hosts: [empty], http: [{route: [{destination: {host: a, subset: v1}}], mirror: {host: b}}]}",
    ],
    &[
        "VirtualService b: {hosts: [b], http: [{route: [{destination: {host: b}}], mirror: {host: a}}]}",
        "VirtualService b: {hosts: [b, a], http: [{name: r, route: [{destination: {host: b}}], mirror: {host: a, subset: v2}, mirrorPercentage: {value: 0.00001}}]}",
        "VirtualService b: {hosts: [b], http: [{delegate: {name: part}}]}",
        "VirtualService b: {hosts: [a], http: [{match: [{uri: {regex: '/x.*'}}], route: [{destination: {host: a, subset: v3}}], mirror: {host: b, port: {number: 81}}}]}",
        "VirtualService b: {hosts: [empty, c.example.com], http: [{name: r, route: [{destination: {host: a}}, {destination: {host: b}, weight: 3}], mirror: {host: c.example.com}}]}",
        "VirtualService b: {hosts: [b], http: [{name: new, route: [{destination: {host: b}}], mirror: {host: a, subset: v1}}]}",
        "VirtualService renamed: {hosts: [b], http: [{name: r, route: [{destination: {host: b}}], mirror: {host: a}}]}",
    ],
    &[
        "VirtualService part: {http: [{match: [{uri: {prefix: /x/y}}], route: [{destination: {host: a}}], mirror: {host: a, subset: v2}}]}",
        "VirtualService part: {http: [{name: p, route: [{destination: {host: a, subset: v1}}], mirror: {host: b}}]}",
        "VirtualService part: {exportTo: [other], http: [{route: [{destination: {host: a}}]}]}",
    ],
    &[
        "DestinationRule a: {host: a, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
        "DestinationRule a: {host: a, subsets: [{name: v2, labels: {version: v1}}, {name: v3, labels: {}}]}",
        "DestinationRule a: {host: a, trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}, tls: {mode: ISTIO_MUTUAL}}, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}}}]}",
        "DestinationRule a: {host: b, trafficPolicy: {loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 80}, outlierDetection: {interval: 3s}}]}}",
        "DestinationRule a: {host: '*.local', exportTo: ['.'], subsets: [{name: v2, labels: {version: v2}}]}",
    ],
    &[
        "DestinationRule istio-system/root: {host: '*', subsets: [{name: v1, labels: {}}, {name: v2, labels: {version: v2}}]}",
        "DestinationRule istio-system/root: {host: '*', trafficPolicy: {tls: {mode: SIMPLE}}, subsets: [{name: v2, labels: {version: v2}}]}",
        "DestinationRule istio-system/root: {host: a.default.svc.cluster.local, subsets: [{name: v2, labels: {app: b}}]}",
    ],
    &[
        "Service a: {selector: {app: a}, ports: [{port: 80, targetPort: 8080, name: http}]}",
        "Service a: {selector: {app: a}, ports: [{port: 80, targetPort: 8080, name: http}, {port: 81, targetPort: web, name: web}]}",
        "Service a: {type: ExternalName, externalName: c.example.com, ports: [{port: 80, name: http}]}",
    ],
    &[
        "ServiceEntry a: {hosts: [a.default.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], endpoints: [{address: 10.0.0.1, labels: {version: v1}}, {address: 10.0.0.2, labels: {version: v2}}]}",
        "ServiceEntry a: {hosts: [a.default.svc.cluster.local, aa.default.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], endpoints: [{address: 0.0.0.0, labels: {version: v1}}, {address: 10.0.0.3, labels: {version: v2}}]}",
    ],
    &[
        "ServiceEntry b: {hosts: [b.default.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], endpoints: [{address: 10.0.0.3}, {address: 10.0.0.2}]}",
        "ServiceEntry b: {hosts: [b.default.svc.cluster.local], exportTo: [other], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], endpoints: [{address: 10.0.0.3}, {address: some.name}]}",
        "ServiceEntry b: {hosts: [b.default.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 81, name: http-x, protocol: HTTP, targetPort: 8081}], workloadSelector: {labels: {app: b}}}",
    ],
    &[
        "ServiceEntry c: {hosts: [c.example.com], resolution: STATIC, location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 192.0.2.9}]}",
        "ServiceEntry c: {hosts: [c.example.com], resolution: DNS, location: MESH_EXTERNAL, ports: [{number: 80, name: http, protocol: HTTP}]}",
        "ServiceEntry c: {hosts: [c.example.com, empty.default.svc.cluster.local], resolution: DNS, location: MESH_INTERNAL, subjectAltNames: [x], ports: [{number: 80, name: https, protocol: HTTPS}], endpoints: [{address: some.name, weight: 3}, {address: 10.0.0.9, weight: 5}]}",
        "ServiceEntry c: {hosts: [c.example.com, b.default.svc.cluster.local], resolution: STATIC, location: MESH_INTERNAL, ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}], endpoints: [{address: 10.0.0.2}]}",
    ],
    &[
        "WorkloadEntry w: {address: 10.0.0.7, labels: {app: b}}",
        "WorkloadEntry w: {address: 192.0.2.1, labels: {app: a}}",
    ],
    &[
        "EndpointSlice s: a 10.0.0.1 true",
        "EndpointSlice s: a 10.0.0.2 false",
        "EndpointSlice s: b 10.0.0.1 true",
    ],
    &[
        "Pod p: a v1 10.0.0.1",
        "Pod p: a v2 10.0.0.1",
        "Pod p: b v2 10.0.0.5",
        "Pod p: a v1 10.0.0.1 False",
        "Pod r: a v1 10.0.0.1",
    ],
    &["Pod q: a v2 10.0.0.2", "Pod q: a v2 10.0.0.2 False", "Pod q: a v1 0.0.0.0", "Pod q: b v1 192.0.2.1"],
    &[
        "HTTPRoute a: {parentRefs: [{group: '', kind: Service, name: a}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}], backendRefs: [{name: a, port: 80}]}]}",
        "HTTPRoute other/a: {parentRefs: [{group: '', kind: Service, namespace: default, name: a}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, namespace: default, port: 80}}}], backendRefs: [{name: a, namespace: default, port: 80}]}]}",
        "GRPCRoute a: {parentRefs: [{group: '', kind: Service, name: a}], rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}], backendRefs: [{name: a, port: 80}]}]}",
        "HTTPRoute a: {parentRefs: [{group: '', kind: Service, name: b, port: 81}], rules: [{backendRefs: [{name: b, port: 80}]}]}",
    ],
    &[
        "ReferenceGrant g: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}], to: [{group: '', kind: Service}]}",
        "ReferenceGrant g: {from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}], to: [{group: '', kind: Service, name: b}]}",
    ],
    &["Namespace default: {}", "Namespace default: {x: y}"],
    &[
        "ShadowPolicy p: {targetRefs: [{kind: VirtualService, name: a}, {kind: VirtualService, name: b}], hostSuffix: -copy, marker: {header: x-copy}, ttl: 1h}",
        "ShadowPolicy p: {targetRefs: [{kind: Namespace, name: default}], methods: [GET], marker: {header: x-other}}",
        "ShadowPolicy p: {targetRefs: [{kind: VirtualService, name: a, sectionName: r}, {kind: VirtualService, name: part}], timeout: 5s}",
        "ShadowPolicy p: {targetRefs: [{kind: HTTPRoute, name: a}, {kind: VirtualService, name: nobody}], redact: {headers: [cookie]}}",
    ],
    &[
        "ShadowPolicy q: {targetRefs: [{kind: VirtualService, name: a}], hostSuffix: -q, redact: {headers: [authorization]}}",
        "ShadowPolicy other/q: {targetRefs: [{kind: HTTPRoute, name: a}], timeout: 1s}",
        "ShadowPolicy q: {targetRefs: [{kind: Namespace, name: default}], rateLimit: {requestsPerSecond: 9}}",
    ],
    &["Service empty: {ports: [{port: 80, name: http}]}"],
    &[
        "VirtualService other/a: {exportTo: [default], hosts: [a.default.svc.cluster.local], http: [{name: r, route: [{destination: {host: b.default.svc.cluster.local}}], mirror: {host: a.default.svc.cluster.local}}]}",
        "VirtualService other/a: {exportTo: ['.'], hosts: ['*.default.svc.cluster.local'], http: [{route: [{destination: {host: a.default.svc.cluster.local, subset: v2}}], mirror: {host: b.default.svc.cluster.local}}]}",
    ],
];

/// `Kind [namespace/]name: spec`, as a document. Of pods and slices the spec is in short.
fn document(short: &str) -> String {
    let (object, spec) = short.split_once(": ").unwrap();
    let (kind, name) = object.split_once(' ').unwrap();
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let words: Vec<_> = spec.split(' ').collect();
    let metadata = format!("name: {name}, namespace: {namespace}");
    match kind {
        "EndpointSlice" => format!(
            "apiVersion: discovery.k8s.io/v1\nkind: {kind}\nmetadata: {{{metadata}, labels: {{kubernetes.io/service-name: {}}}}}\naddressType: IPv4\nports: [{{name: http, port: 8080}}]\nendpoints: [{{addresses: [{}], conditions: {{ready: {}}}}}]\n",
            words[0], words[1], words[2]
        ),
        "Pod" => format!(
            "apiVersion: v1\nkind: {kind}\nmetadata: {{{metadata}, labels: {{app: {}, version: {}}}}}\nspec: {{containers: [{{name: x, ports: [{{name: web, containerPort: 9090}}]}}]}}\nstatus: {{phase: Running, podIP: {}, conditions: [{{type: Ready, status: '{}'}}]}}\n",
            words[0],
            words[1],
            words[2],
            words.get(3).unwrap_or(&"True")
        ),
        "Namespace" => {
            format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, labels: {spec}}}\n")
        }
        _ => {
            let api = match kind {
                "Service" => "v1",
                "HTTPRoute" | "GRPCRoute" => "gateway.networking.k8s.io/v1",
                "ReferenceGrant" => "gateway.networking.k8s.io/v1beta1",
                "ShadowPolicy" => "umbra.dev/v1alpha1",
                _ => "networking.istio.io/v1",
            };
            format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{{metadata}}}\nspec: {spec}\n")
        }
    }
}

type Part = (Arc<Resources>, Report);

fn read(file: usize, short: &str) -> Part {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    config::read(&format!("{file}.yaml"), &document(short), &mut resources, &mut report);
    (Arc::new(resources), report)
}

/// A configuration in force, and those that follow it.
#[derive(Default)]
struct Agent {
    compilation: Compilation,
    accounts: Accounts,
    files: Vec<Option<Part>>,
    in_force: Snapshot,
}

impl Agent {
    fn of(files: &[(usize, usize)]) -> Self {
        let mut agent = Self { files: FILES.iter().map(|_| None).collect(), ..Self::default() };
        for &(file, text) in files {
            agent.write(file, Some(text));
        }
        agent
    }

    fn write(&mut self, file: usize, text: Option<usize>) {
        self.files[file] = text.map(|text| read(file, FILES[file][text]));
    }

    /// As an agent does it.
    fn reload(&mut self) -> Report {
        let mut report = self.read_report();
        let parts = self.parts();
        let snapshot = self.compilation.compile(parts, &self.accounts, &mut report);
        if !report.has_errors() {
            self.in_force = snapshot;
        }
        self.accounts.forget_unused();
        report
    }

    fn parts(&self) -> Vec<Arc<Resources>> {
        self.files.iter().flatten().map(|(part, _)| Arc::clone(part)).collect()
    }

    fn read_report(&self) -> Report {
        let faults = self.files.iter().flatten().flat_map(|(_, report)| report.diagnostics.clone());
        Report { diagnostics: faults.collect() }
    }

    /// The same from nothing.
    fn anew(&self) -> (Snapshot, Report, Accounts) {
        let (accounts, mut report) = (Accounts::default(), self.read_report());
        let snapshot = Compilation::default().compile(self.parts(), &accounts, &mut report);
        accounts.forget_unused();
        (snapshot, report, accounts)
    }

    fn rule(&self, address: &str) -> Arc<Rule> {
        let rules = self.in_force.inbound(address.parse().unwrap()).expect("captured");
        get("/x").read(|head| match rules.decide(head, CLIENT) {
            Decision::Rule(rule) => Arc::clone(rule),
            other => panic!("{other:?}"),
        })
    }
}

/// Everything a request could meet, in order: ports, owners, rules, mirrors, endpoints, shares, changes.
fn words(snapshot: &Snapshot) -> Vec<String> {
    let mut words: Vec<_> = snapshot
        .all_ports()
        .map(|(at, rules)| {
            let decided = ["10.0.0.1", "10.0.0.5", "192.0.2.1", "192.0.2.77"].map(|client| {
                get("/x").read(|head| format!("{:?}", rules.decide(head, client.parse().unwrap())))
            });
            let services: Vec<_> = rules.services().collect();
            format!("{at} mirrored: {} {services:#?}\n{decided:#?}", rules.mirrors())
        })
        .collect();
    words.sort();
    words.extend(snapshot.clusters().iter().map(|cluster| format!("{cluster:#?}")));
    words.push(format!("{:?}", snapshot.markers()));
    words
}

fn keys(accounts: &Accounts) -> Vec<String> {
    accounts.all().iter().map(|account| format!("{:?}", account.key)).collect()
}

/// Some at a time.
fn edits() -> impl Strategy<Value = Vec<Vec<(usize, Option<usize>)>>> {
    let edit = (0..FILES.len(), prop::option::weighted(0.85, any::<prop::sample::Index>()));
    let edit = edit.prop_map(|(file, text)| (file, text.map(|text| text.index(FILES[file].len()))));
    let together =
        prop_oneof![3 => prop::collection::vec(edit.clone(), 1), 1 => prop::collection::vec(edit, 2..4)];
    prop::collection::vec(together, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn a_change_leads_where_compiling_from_nothing_leads(edits in edits()) {
        // Much to begin with, so that a change bears on something.
        let mut agent = Agent::of(&(0..FILES.len()).map(|file| (file, 0)).collect::<Vec<_>>());
        agent.reload();
        for together in edits {
            together.into_iter().for_each(|(file, text)| agent.write(file, text));
            let before = words(&agent.in_force);
            let report = agent.reload();
            let (snapshot, from_nothing, accounts) = agent.anew();
            prop_assert_eq!(format!("{:#?}", report), format!("{:#?}", from_nothing));
            if report.has_errors() {
                prop_assert_eq!(words(&agent.in_force), before);
            } else {
                prop_assert_eq!(words(&agent.in_force), words(&snapshot));
                prop_assert_eq!(keys(&agent.accounts), keys(&accounts));
            }
        }
    }
}

/// `a` at 10.0.0.1 mirrored to 10.0.0.2; `b` at 10.0.0.3 with rules of its own.
fn two_services() -> Agent {
    let mut agent = Agent::of(&[(0, 0), (1, 0), (3, 0), (6, 0), (7, 0)]);
    let report = agent.reload();
    assert!(!report.has_errors(), "{report:#?}");
    agent
}

fn same_mirrors(a: &[Arc<Mirror>], b: &[Arc<Mirror>]) -> bool {
    !a.is_empty() && a.len() == b.len() && a.iter().zip(b).all(|(a, b)| Arc::ptr_eq(a, b))
}

#[test]
fn a_rule_that_a_change_does_not_touch_stays_the_same_value() {
    let mut agent = two_services();
    let before = (agent.rule("10.0.0.1:8080"), agent.rule("10.0.0.3:8080"));
    agent.write(1, Some(5));
    agent.reload();
    let after = (agent.rule("10.0.0.1:8080"), agent.rule("10.0.0.3:8080"));
    assert!(Arc::ptr_eq(&before.0, &after.0) && same_mirrors(&before.0.mirrors, &after.0.mirrors));
    assert!(!Arc::ptr_eq(&before.1, &after.1));
}

#[test]
fn an_endpoint_that_comes_leaves_other_clusters_and_every_account_alone() {
    let mut agent = two_services();
    let before = (agent.rule("10.0.0.1:8080"), agent.rule("10.0.0.3:8080"));
    agent.write(7, Some(1));
    agent.reload();
    let after = agent.rule("10.0.0.1:8080");
    assert!(same_mirrors(&before.0.mirrors, &after.mirrors));
    agent.write(7, Some(0));
    agent.reload();
    let again = agent.rule("10.0.0.3:8080");
    assert!(Arc::ptr_eq(&before.1.mirrors[0].account, &again.mirrors[0].account));
    assert!(
        Arc::ptr_eq(&before.1.mirrors[0].cluster, &again.mirrors[0].cluster),
        "it leads to `a`, which stayed"
    );
}

#[test]
fn a_loop_is_told_from_the_change_that_closes_it_to_the_one_that_opens_it() {
    let mut agent = two_services();
    let mut after = |file, text| {
        agent.write(file, text);
        agent.reload().diagnostics.iter().filter(|fault| fault.code == Code::MirrorLoop).count()
    };
    assert_eq!(after(1, None), 0);
    assert_eq!(after(1, Some(0)), 1, "`b` is mirrored to `a`, which is mirrored to an endpoint of `b`");
    assert_eq!(after(15, Some(0)), 1, "nothing of it has changed");
    assert_eq!(after(1, None), 0);
}

#[test]
fn a_refused_configuration_leaves_nothing_behind() {
    let mut agent = two_services();
    let (before, accounts) = (agent.rule("10.0.0.1:8080"), keys(&agent.accounts));
    let good = agent.files[3].take();
    assert!(agent.reload().has_errors(), "a subset is gone");
    assert_eq!(keys(&agent.accounts), accounts);
    agent.files[3] = good;
    assert!(!agent.reload().has_errors());
    assert!(Arc::ptr_eq(&before, &agent.rule("10.0.0.1:8080")));
}
