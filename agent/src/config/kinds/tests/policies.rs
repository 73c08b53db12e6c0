use std::time::Duration;

use crate::config::{
    istio::{SimpleLoadBalancer, TlsMode},
    shadow_policy::{CopyTrace, OnExceed, StickyKey, TargetKind},
    testing::{clean, each_has, object},
};

const TARGET: &str = "targetRefs: [{kind: VirtualService, name: a}]\n";

fn traffic_has(cases: &[(&str, &str)]) {
    for (policy, expected) in cases {
        let unhonoured = |fault: &&str| !fault.starts_with("UMB0201");
        let found = crate::config::testing::faults(&object(
            "DestinationRule",
            &format!("host: a\ntrafficPolicy: {policy}"),
        ));
        let found: Vec<_> = found.iter().map(String::as_str).filter(unhonoured).collect();
        assert_eq!(found.join("\n"), *expected, "{policy}");
    }
}

#[test]
fn a_traffic_policy_is_valid_as_istio_says() {
    traffic_has(&[
        ("{loadBalancer: {simple: RANDOM}}", ""),
        (
            "{loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}",
            "UMB0108 6:50 spec.trafficPolicy.loadBalancer: `simple` and `consistentHash` exclude each other",
        ),
        (
            "{loadBalancer: {simple: FASTEST}}",
            "UMB0103 6:42 spec.trafficPolicy.loadBalancer.simple: `FASTEST` is not known here (one of: UNSPECIFIED, \
             LEAST_CONN, LEAST_REQUEST, RANDOM, ROUND_ROBIN, PASSTHROUGH)",
        ),
        (
            "{loadBalancer: {simple: LEAST_CONN}}",
            "UMB0202 6:42 spec.trafficPolicy.loadBalancer.simple: deprecated in Istio's API (write LEAST_REQUEST)",
        ),
        (
            "{outlierDetection: {maxEjectionPercent: 101}}",
            "UMB0106 6:58 spec.trafficPolicy.outlierDetection.maxEjectionPercent: 101 is not within 0..=100",
        ),
        (
            "{tls: {mode: MUTUAL, clientCertificate: /c}}",
            "UMB0104 6:24 spec.trafficPolicy.tls.privateKey: is required with mode MUTUAL",
        ),
        (
            "{tls: {mode: ISTIO_MUTUAL, privateKey: /k}}",
            "UMB0108 6:24 spec.trafficPolicy.tls.privateKey: mode ISTIO_MUTUAL brings its own certificates (leave it out)",
        ),
        (
            "{portLevelSettings: [{port: {number: 80}}, {port: {number: 80}}]}",
            "UMB0107 6:77 spec.trafficPolicy.portLevelSettings: the port is written twice (first at t.yaml:6:55)",
        ),
        ("{connectionPool: {}}", "UMB0104 6:35 spec.trafficPolicy.connectionPool: needs `tcp` or `http`"),
    ]);
}

#[test]
fn a_traffic_policy_arrives_with_its_places() {
    let text = include_str!("../../../../../config/examples/traffic-policy.yaml");
    let (resources, _) = crate::config::testing::read_text(text);
    let [rule] = &resources.destination_rules[..] else { panic!("one rule") };
    let policy = rule.traffic_policy.as_ref().unwrap();
    let balancer = policy.blocks.load_balancer.as_ref().unwrap();
    assert_eq!(balancer.simple.as_ref().unwrap().value, SimpleLoadBalancer::LeastRequest);
    assert_eq!(balancer.warmup.as_ref().unwrap().duration.value, Duration::from_secs(30));
    let pool = policy.blocks.connection_pool.as_ref().unwrap();
    assert_eq!(pool.tcp.connect_timeout.as_ref().unwrap().value, Duration::from_secs(2));
    assert_eq!(pool.http.max_requests_per_connection.as_ref().unwrap().value, 10_000);
    assert_eq!(policy.port_level_settings[0].port.value, 8443);
    let tls = policy.blocks.tls.as_ref().unwrap();
    assert_eq!((tls.mode.value, tls.at.line), (TlsMode::Simple, 45));
    assert!(rule.subsets[1].traffic_policy.is_some());
}

#[test]
fn a_shadow_policy_holds_for_something_and_has_no_unknown_keys() {
    let cases = [
        (
            "",
            "UMB0104 5:3 spec.targetRefs: names nothing to hold for (write targetRefs: [{kind: VirtualService, name: …}])",
        ),
        (
            "targetRefs: []",
            "UMB0104 5:3 spec.targetRefs: names nothing to hold for (write targetRefs: [{kind: VirtualService, name: …}])",
        ),
        ("targetRefs: [{kind: Namespace, name: a}]", ""),
        (
            "targetRefs: [{kind: Namespace, name: a, sectionName: b}]",
            "UMB0108 5:56 spec.targetRefs[0].sectionName: a namespace has no rules",
        ),
        (
            "targetRefs: [{kind: HTTPRoute, name: a, group: apps}]",
            "UMB0103 5:50 spec.targetRefs[0].group: `apps` is not the group of this kind (write \
             `gateway.networking.k8s.io`, or leave it out)",
        ),
    ];
    for (spec, expected) in cases {
        each_has("ShadowPolicy", &[(if spec.is_empty() { "{}" } else { spec }, expected)]);
    }
}

#[test]
fn a_shadow_policy_is_refused_where_it_contradicts_itself() {
    for (rest, expected) in [
        ("hostSufix: a", "UMB0105 6:3 spec.hostSufix: no such field (did you mean `hostSuffix`?)"),
        (
            "zzzzzzzz: 1",
            "UMB0105 6:3 spec.zzzzzzzz: no such field (fields known here: targetRefs, timeout, ttl, marker, hostSuffix, \
             authority, headers, redact, methods, upgrades, trace, body, rateLimit, concurrency, sampling, compare, record, faults)",
        ),
        ("hostSuffix: a\nauthority: b", "UMB0108 7:3 spec: `hostSuffix` and `authority` exclude each other"),
        (
            "hostSuffix: a/b",
            "UMB0103 6:15 spec.hostSuffix: `a/b` cannot end a host name (write letters, digits, `-` and `.`, such as -shadow)",
        ),
        (
            "methods: [get]",
            "UMB0103 6:13 spec.methods[0]: `get` matches nothing: methods have a case (write GET)",
        ),
        ("timeout: 0s", "UMB0106 6:12 spec.timeout: 0s is not within 1ms..=24h"),
        ("body: {}", "UMB0104 6:9 spec.body.max: is required"),
        (
            "rateLimit: {requestsPerSecond: 0}",
            "UMB0106 6:34 spec.rateLimit.requestsPerSecond: 0 is not within 0.001..=1000000",
        ),
        (
            "sampling: {mode: Sticky}",
            "UMB0108 6:13 spec.sampling: `mode: Sticky` and `sticky` go together (write sticky: {cookie: session})",
        ),
        (
            "sampling: {adaptive: {floor: {value: 5}, ceiling: {value: 1}}}",
            "UMB0106 6:24 spec.sampling.adaptive.floor: 5 is above the ceiling of 1",
        ),
        (
            "sampling: {adaptive: {floor: {valeu: 5}}}",
            "UMB0105 6:33 spec.sampling.adaptive.floor.valeu: no such field (did you mean `value`?)",
        ),
        (
            "compare: {ignore: [/id]}",
            "UMB0108 6:22 spec.compare.ignore: only bodies that are compared as JSON have parts (write body: JSON)",
        ),
        (
            "marker: {header: host}",
            "UMB0103 6:20 spec.marker.header: `host` cannot mark a copy (write a header name of your own, such as x-umbra-shadow)",
        ),
    ] {
        let found = crate::config::testing::faults(&object("ShadowPolicy", &format!("{TARGET}{rest}")));
        let found: Vec<_> = found.into_iter().filter(|fault| !fault.starts_with("UMB0201")).collect();
        assert_eq!(found, [expected], "{rest}");
    }
}

#[test]
fn a_shadow_policy_arrives() {
    let text = include_str!("../../../../../config/examples/shadow-policy.yaml");
    let (resources, _) = crate::config::testing::read_text(text);
    let [careful, rare] = &resources.shadow_policies[..] else { panic!("two policies") };
    assert_eq!(careful.targets[0].kind.value, TargetKind::VirtualService);
    assert_eq!(careful.targets[0].section_name.as_ref().unwrap().value, "all");
    assert_eq!(careful.body.as_ref().unwrap().max.value, 1 << 20);
    assert_eq!(careful.body.as_ref().unwrap().on_exceed, OnExceed::Drop);
    assert_eq!(careful.trace.as_ref().unwrap().value, CopyTrace::Unsampled);
    let sampling = careful.sampling.as_ref().unwrap();
    assert_eq!(sampling.sticky.as_ref().unwrap().value, StickyKey::Cookie("session".into()));
    assert_eq!(careful.ttl.as_ref().unwrap().value, Duration::from_secs(72 * 3600));
    assert_eq!(rare.sampling.as_ref().unwrap().coverage.as_ref().unwrap().copies_per_second.value, 10.0);
    assert!(clean(&object("ShadowPolicy", TARGET)).shadow_policies[0].sampling.is_none());
}
