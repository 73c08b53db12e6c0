//! DestinationRules as they are in force for a mirror's cluster. Trap 28.

use std::time::Duration;

use super::build::codes_of;
use crate::{
    config::{self, Code, Report, Resources},
    record::Accounts,
    route::{
        Balance, Cluster, Connections, Impossible, Outliers, Pings, Protocol, Security, Settings, Snapshot,
    },
};

const WORLD: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shadow, namespace: far}
spec:
  hosts: [shadow.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 8080}, {number: 443, name: https, protocol: HTTPS}]
  endpoints:
  - {address: 10.0.0.9, labels: {version: v1}, weight: 3}
  - {address: 10.0.0.8, labels: {version: v1}, weight: 0}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [my-app.example.com]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
";

/// A VirtualService that mirrors there.
fn mirror(to: &str) -> String {
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: app}}
spec:
  hosts: [my-app.example.com]
  http:
  - route: [{{destination: {{host: my-app.example.com}}}}]
    mirror: {to}
"
    )
}

/// A DestinationRule for the shadow; its name may have a namespace.
fn rule(name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("default", name));
    let spec: String = spec.lines().map(|line| format!("  {line}\n")).collect();
    format!(
        "
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  host: shadow.example.com
{spec}"
    )
}

fn compile(text: &str) -> (Snapshot, Report) {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    config::read("t.yaml", text, &mut resources, &mut report);
    assert!(!report.has_errors(), "{:?}", report.diagnostics);
    let snapshot = Snapshot::compile(&resources, &Accounts::default(), &mut report);
    (snapshot, report)
}

/// The only cluster that copies go to.
fn cluster(text: &str) -> (std::sync::Arc<Cluster>, Report) {
    let (snapshot, report) = compile(text);
    let [cluster] = snapshot.clusters() else { panic!("one cluster, not {:?}", snapshot.clusters()) };
    (std::sync::Arc::clone(cluster), report)
}

const TO: &str = "{host: shadow.example.com, port: {number: 80}}";
const TO_V1: &str = "{host: shadow.example.com, port: {number: 80}, subset: v1}";

/// The settings for a mirror that goes there, under these rules.
fn settings(to: &str, rules: &[String]) -> Settings {
    cluster(&[WORLD, &mirror(to), &rules.concat()].concat()).0.settings.clone()
}

/// The codes, places and messages of what is reported of the rules.
fn reported(to: &str, rules: &[String]) -> Vec<String> {
    let (_, report) = compile(&[WORLD, &mirror(to), &rules.concat()].concat());
    codes_of(&report)
}

#[test]
fn without_a_rule_istios_defaults_hold() {
    let settings = settings(TO, &[]);
    assert_eq!(settings, Settings::default());
    assert_eq!(settings.balance, Balance::LeastRequest);
}

#[test]
fn endpoints_have_their_weights_and_zero_is_the_default() {
    let (cluster, _) = cluster(&[WORLD, &mirror(TO)].concat());
    let weights: Vec<_> = cluster.endpoints.iter().map(|it| (it.to_string(), it.weight)).collect();
    assert_eq!(weights, [("10.0.0.9:8080".to_owned(), 3), ("10.0.0.8:8080".to_owned(), 1)]);
}

#[test]
fn the_rule_of_the_clients_namespace_comes_before_the_services_and_the_roots() {
    let of = |name, simple| rule(name, &format!("trafficPolicy: {{loadBalancer: {{simple: {simple}}}}}"));
    let rules = [
        of("istio-system/a", "RANDOM"),
        of("far/b", "ROUND_ROBIN"),
        of("c", "LEAST_REQUEST"),
        of("other/d", "RANDOM"),
    ];
    let balances: Vec<_> = (0..3)
        .map(|without| match without {
            0 => settings(TO, &rules),
            1 => settings(TO, &rules[..2]),
            _ => settings(TO, &rules[..1]),
        })
        .map(|settings| (settings.balance, settings.rules))
        .collect();
    let of = |name: &str| vec![name.to_owned()];
    assert_eq!(
        balances,
        [
            (Balance::LeastRequest, of("default/c")),
            (Balance::RoundRobin, of("far/b")),
            (Balance::Random, of("istio-system/a"))
        ]
    );
}

#[test]
fn a_subsets_policy_overrides_block_by_block() {
    let rule = rule(
        "a",
        "
trafficPolicy:
  loadBalancer: {simple: RANDOM}
  connectionPool: {tcp: {maxConnections: 7}, http: {http1MaxPendingRequests: 8}}
subsets:
- name: v1
  labels: {version: v1}
  trafficPolicy: {connectionPool: {http: {http2MaxRequests: 9}}}",
    );
    let rules = [rule];
    let host = settings(TO, &rules);
    assert_eq!(
        host.connections,
        Connections { max: Some(7), max_pending: Some(8), ..Connections::default() }
    );
    let subset = settings(TO_V1, &rules);
    assert_eq!(subset.balance, Balance::Random);
    assert_eq!(subset.connections, Connections { max_requests: Some(9), ..Connections::default() });
}

#[test]
fn settings_of_a_port_replace_everything_for_that_port() {
    let rules = [rule(
        "a",
        "
trafficPolicy:
  loadBalancer: {simple: RANDOM}
  outlierDetection: {consecutive5xxErrors: 1}
  portLevelSettings:
  - {port: {number: 80}, connectionPool: {tcp: {maxConnections: 3}}}
subsets: [{name: v1, labels: {version: v1}}]",
    )];
    for to in [TO, TO_V1] {
        let settings = settings(to, &rules);
        assert_eq!((settings.balance, settings.outliers), (Balance::LeastRequest, None));
        assert_eq!(settings.connections.max, Some(3));
    }
    let other_port = settings(&TO.replace("80", "443"), &rules);
    assert_eq!((other_port.balance, other_port.connections.max), (Balance::Random, None));
}

#[test]
fn numbers_that_are_zero_stand_for_the_defaults() {
    let pool = "connectionPool: {tcp: {maxConnections: 0}, http: {http1MaxPendingRequests: 0, http2MaxRequests: 0, maxRequestsPerConnection: 0}}";
    let outliers = "outlierDetection: {maxEjectionPercent: 0, consecutiveGatewayErrors: 0, consecutiveLocalOriginFailures: 0}";
    let settings = settings(TO, &[rule("a", &format!("trafficPolicy:\n  {pool}\n  {outliers}"))]);
    assert_eq!(settings.connections, Connections::default());
    let defaults = Outliers {
        consecutive_5xx: 5,
        consecutive_gateway_errors: 0,
        split_local_errors: false,
        consecutive_local_failures: 5,
        interval: Duration::from_secs(10),
        base_ejection: Duration::from_secs(30),
        max_ejected_percent: 10,
        min_healthy_percent: 0,
    };
    assert_eq!(settings.outliers, Some(defaults));
    let off = rule("a", "trafficPolicy: {outlierDetection: {consecutive5xxErrors: 0}}");
    assert_eq!(
        super::settings::settings(TO, &[off]).outliers.unwrap().consecutive_5xx,
        0,
        "here 0 means off"
    );
}

#[test]
fn tls_takes_its_name_from_sni_else_from_the_host() {
    let of = |tls: &str| settings(TO, &[rule("a", &format!("trafficPolicy: {{tls: {{{tls}}}}}"))]).security;
    assert_eq!(of("mode: DISABLE"), Security::Plain);
    let Security::Tls(tls) = of("mode: SIMPLE, caCertificates: /ca.pem, subjectAltNames: [a, b]") else {
        panic!()
    };
    assert_eq!(
        (&*tls.server_name.value, &tls.names[..]),
        ("shadow.example.com", &["a".to_owned(), "b".into()][..])
    );
    assert_eq!(tls.files().map(|(field, _)| field).collect::<Vec<_>>(), ["caCertificates"]);
    let mutual = "mode: MUTUAL, sni: x.example.com, clientCertificate: /c.pem, privateKey: /k.pem";
    let Security::Tls(tls) = of(mutual) else { panic!() };
    assert_eq!(tls.server_name.value, "x.example.com");
    assert_eq!(tls.files().map(|(field, _)| field).collect::<Vec<_>>(), ["clientCertificate", "privateKey"]);
    assert_eq!(tls.path, "spec.trafficPolicy.tls");
}

/// Trap 26.
#[test]
fn tls_that_needs_the_meshs_identity_or_a_secret_is_named_and_fails() {
    for (tls, why, field) in [
        ("mode: ISTIO_MUTUAL", Impossible::NoIdentity, "tls.mode"),
        ("mode: SIMPLE, credentialName: it", Impossible::NoSecrets, "tls.credentialName"),
    ] {
        let rules = [rule(
            "a",
            &format!("subsets:\n- name: v1\n  labels: {{version: v1}}\n  trafficPolicy: {{tls: {{{tls}}}}}"),
        )];
        assert_eq!(settings(TO_V1, &rules).security, Security::Impossible(why));
        let found = reported(TO_V1, &rules);
        let path = format!("UMB0231 spec.subsets[0].trafficPolicy.{field}: ");
        assert!(found.iter().any(|fault| fault.starts_with(&path)), "{found:?}");
        // Whoever mirrors elsewhere has nothing to fear from it.
        assert!(!reported(TO, &rules).iter().any(|fault| fault.starts_with("UMB0231")));
    }
}

#[test]
fn passthrough_has_no_meaning_for_copies() {
    let rules = [rule("a", "trafficPolicy: {loadBalancer: {simple: PASSTHROUGH}}")];
    assert_eq!(settings(TO, &rules).balance, Balance::LeastRequest);
    let found = reported(TO, &rules);
    assert!(found[0].starts_with("UMB0230 spec.trafficPolicy.loadBalancer.simple: PASSTHROUGH"), "{found:?}");
}

#[test]
fn localities_without_outlier_detection_are_named() {
    let reported = |policy: &str| reported(TO, &[rule("a", &format!("trafficPolicy: {policy}"))]);
    let failover = "loadBalancer: {localityLbSetting: {failover: [{from: eu, to: us}]}}";
    let found = reported(&format!("{{{failover}}}"));
    let path = "UMB0235 spec.trafficPolicy.loadBalancer.localityLbSetting: without outlierDetection";
    assert!(found[0].starts_with(path), "{found:?}");
    for sound in [
        format!("{{{failover}, outlierDetection: {{}}}}"),
        "{loadBalancer: {localityLbSetting: {enabled: false}}}".to_owned(),
        "{loadBalancer: {simple: RANDOM}}".to_owned(),
    ] {
        assert!(reported(&sound).is_empty(), "{sound}");
    }
}

#[test]
fn plain_copies_to_a_port_that_speaks_tls_are_named() {
    let https = TO.replace("80", "443");
    let found = reported(&https, &[]);
    assert!(found[0].starts_with("UMB0233 spec.ports: port 443 speaks TLS"), "{found:?}");
    let simple = [rule("a", "trafficPolicy: {tls: {mode: SIMPLE}}")];
    assert!(reported(&https, &simple).is_empty());
    assert!(reported(TO, &[]).is_empty());
}

#[test]
fn names_are_endpoints_that_the_shadow_plane_resolves() {
    let named = |resolution: &str, endpoints: &str| {
        let entry = format!(
            "
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: named}}
spec:
  hosts: [api.example.com]
  location: MESH_INTERNAL
  resolution: {resolution}
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}]
  endpoints: {endpoints}
"
        );
        let (cluster, report) = cluster(&[WORLD, &mirror("{host: api.example.com}"), &entry].concat());
        assert!(report.diagnostics.is_empty(), "{:?}", report.diagnostics);
        format!("{:?}", cluster.endpoints)
    };
    let host = named("DNS", "[]");
    assert!(host.contains("api.example.com") && host.contains("8080") && host.contains("All"), "{host}");
    assert!(named("DNS_ROUND_ROBIN", "[]").contains("First"));
    let written = named("DNS", "[{address: a.example.com, weight: 2}, {address: 10.0.0.7}]");
    assert!(written.contains("a.example.com") && written.contains("10.0.0.7:8080"), "{written}");
    assert!(!written.contains("api.example.com"), "{written}");
}

#[test]
fn an_external_name_is_a_name_to_resolve_unless_a_service_entry_has_it() {
    let service = |stands_for: &str| {
        format!(
            "
---
apiVersion: v1
kind: Service
metadata: {{name: outside}}
spec: {{type: ExternalName, externalName: {stands_for}, ports: [{{port: 80, name: http}}]}}
"
        )
    };
    let to = mirror("{host: outside, port: {number: 80}}");
    let (known, _) = cluster(&[WORLD, &to, &service("shadow.example.com")].concat());
    assert_eq!(known.name, "outbound|80||shadow.example.com");
    let (unknown, _) = cluster(&[WORLD, &to, &service("elsewhere.example.com")].concat());
    assert_eq!(unknown.name, "outbound|80||outside.default.svc.cluster.local");
    assert_eq!(unknown.endpoints[0].to_string(), "elsewhere.example.com:80");
}

#[test]
fn only_mirrors_in_force_have_clusters() {
    assert!(compile(WORLD).0.clusters().is_empty());
    let codes: Vec<Code> = compile(WORLD).1.diagnostics.iter().map(|fault| fault.code).collect();
    assert_eq!(codes, [Code::NothingMirrored]);
}

#[test]
fn the_version_of_http_is_the_ports_unless_a_rule_asks_for_another() {
    let of = |port: &str, rules: &[String]| {
        let world = WORLD.replace("{number: 80, name: http, protocol: HTTP, targetPort: 8080}", port);
        cluster(&[&world, &mirror(TO), &*rules.concat()].concat()).0.settings.protocol
    };
    let http = "{number: 80, name: http, protocol: HTTP}";
    for (port, expected) in [
        (http, Protocol::Http1),
        ("{number: 80, name: web, protocol: HTTP2}", Protocol::Http2),
        ("{number: 80, name: web, protocol: GRPC}", Protocol::Http2),
        ("{number: 80, name: http2-web, protocol: TCP}", Protocol::Http2),
        ("{number: 80, name: grpc, protocol: HTTP}", Protocol::Http1),
    ] {
        assert_eq!(of(port, &[]), expected, "{port}");
    }
    let asking =
        |what: &str| [rule("a", &format!("trafficPolicy: {{connectionPool: {{http: {{{what}}}}}}}"))];
    assert_eq!(of(http, &asking("h2UpgradePolicy: UPGRADE")), Protocol::Http2);
    assert_eq!(of(http, &asking("h2UpgradePolicy: DO_NOT_UPGRADE")), Protocol::Http1);
    let grpc = "{number: 80, name: grpc, protocol: GRPC}";
    assert_eq!(of(grpc, &asking("h2UpgradePolicy: DO_NOT_UPGRADE")), Protocol::Http2);
    assert_eq!(of(grpc, &asking("useClientProtocol: true, h2UpgradePolicy: UPGRADE")), Protocol::Same);
}

#[test]
fn streams_and_pings_are_as_written() {
    let of = |what: &str| {
        settings(TO, &[rule("a", &format!("trafficPolicy: {{connectionPool: {{http: {{{what}}}}}}}"))])
            .connections
    };
    let seconds = Duration::from_secs;
    let pings = |text| of(&format!("http2KeepAlive: {{{text}}}")).pings;
    assert_eq!(
        pings("interval: 30s, timeout: 5s"),
        Some(Pings { interval: seconds(30), timeout: seconds(5) })
    );
    assert_eq!(pings("interval: 30s"), Some(Pings { interval: seconds(30), timeout: seconds(20) }));
    assert_eq!(pings("timeout: 5s"), None);
    assert_eq!(of("maxConcurrentStreams: 7").max_streams, Some(7));
    assert_eq!(of("maxConcurrentStreams: 0, maxRetries: 1").max_streams, None);
}

#[test]
fn a_port_of_kubernetes_that_says_nothing_gets_the_primarys_version() {
    for (port, expected) in [
        ("{port: 80, name: http}", Protocol::Http1),
        ("{port: 80, name: grpc-web}", Protocol::Http2),
        ("{port: 80, name: http2-api}", Protocol::Http2),
        ("{port: 80, name: http, appProtocol: kubernetes.io/h2c}", Protocol::Http2),
        ("{port: 80, name: grpc, appProtocol: http}", Protocol::Http1),
        ("{port: 80, name: web}", Protocol::Same),
        ("{port: 80}", Protocol::Same),
        ("{port: 80, name: tcp}", Protocol::Http1),
    ] {
        let service = format!(
            "\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: shadow, namespace: default}}\n\
             spec: {{ports: [{port}], selector: {{app: shadow}}}}\n"
        );
        let (cluster, _) = cluster(&[WORLD, &service, &mirror("{host: shadow}")].concat());
        assert_eq!(cluster.settings.protocol, expected, "{port}");
    }
}
