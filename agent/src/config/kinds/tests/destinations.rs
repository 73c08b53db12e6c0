use crate::config::{
    istio::{MeshLocation, Resolution},
    testing::{clean, each_has, object},
};

/// A ServiceEntry with a host and a port, then `rest` from line 7 on.
fn entry(rest: &str) -> String {
    format!("hosts: [a.example]\nports: [{{number: 80, name: http}}]\n{rest}")
}

fn entry_has(cases: &[(&str, &str)]) {
    for (rest, expected) in cases {
        each_has("ServiceEntry", &[(&entry(rest), expected)]);
    }
}

#[test]
fn a_destination_rule_names_a_host_and_its_subsets() {
    each_has(
        "DestinationRule",
        &[
            ("host: a\nsubsets: [{name: v1}, {name: V1, labels: {v: a}}]", ""),
            ("subsets: []", "UMB0104 5:3 spec.host: is required"),
            ("host: a\nsubsets: [{labels: {v: a}}]", "UMB0104 6:13 spec.subsets[0].name: is required"),
            (
                "host: a\nsubsets: [{name: v1}, {name: v1}]",
                "UMB0107 6:32 spec.subsets: the subset is written twice (first at t.yaml:6:20)",
            ),
            (
                "host: a\ntrafficPolicy: {tls: {mode: SIMPLE, credentialName: b}}",
                "UMB0201 6:39 spec.trafficPolicy.tls.credentialName: read but not honoured yet: no Secret is read: \
                 copies to this host fail, write the paths of files instead",
            ),
        ],
    );
}

#[test]
fn a_service_entry_names_hosts_and_ports_once() {
    each_has(
        "ServiceEntry",
        &[
            ("ports: []", "UMB0104 5:3 spec.hosts: is required"),
            ("hosts: []", "UMB0104 5:10 spec.hosts: names no host"),
            ("hosts: ['*']", "UMB0103 5:11 spec.hosts[0]: `*` names no host"),
            ("hosts: ['*.example']", ""),
            ("hosts: [a]\nports: [{name: http}]", "UMB0104 6:11 spec.ports[0].number: is required"),
            ("hosts: [a]\nports: [{number: 1}]", "UMB0104 6:11 spec.ports[0].name: is required"),
            (
                "hosts: [a]\nports: [{number: 80, name: http}, {number: 80, name: other}]",
                "UMB0107 6:46 spec.ports: the number is written twice (first at t.yaml:6:20)",
            ),
            (
                "hosts: [a]\nports: [{number: 80, name: http}, {number: 81, name: http}]",
                "UMB0107 6:46 spec.ports: the name is written twice (first at t.yaml:6:20)",
            ),
            (
                "hosts: [a]\nports: [{number: 80, name: http, protocol: SMTP}]",
                "UMB0103 6:46 spec.ports[0].protocol: `SMTP` is not a protocol (one of: HTTP, HTTP2, \
                 HTTPS, GRPC, GRPC-WEB, \
                 HTTP_PROXY, TCP, TLS, UDP, MONGO, REDIS, MYSQL, HBONE)",
            ),
        ],
    );
}

#[test]
fn endpoints_fit_the_resolution() {
    entry_has(&[
        ("resolution: STATIC\nendpoints: [{address: 0.0.0.0}, {address: '::'}, {address: 10.0.0.1}]", ""),
        ("resolution: DNS\nendpoints: [{address: b.example}]", ""),
        (
            "resolution: STATIC\nendpoints: [{address: b.example}]",
            "UMB0103 8:25 spec.endpoints[0].address: `b.example` is not an IP address, which resolution \
             STATIC needs (for a \
             name write `resolution: DNS`)",
        ),
        (
            "resolution: STATIC\nendpoints: [{address: '10.0.0.1:80'}]",
            "UMB0103 8:25 spec.endpoints[0].address: `10.0.0.1:80` is not an IP address, which \
             resolution STATIC needs (the \
             port goes into spec.ports[].targetPort or into `ports` of the endpoint)",
        ),
        (
            "resolution: STATIC\nendpoints: [{address: 'unix:///run/a'}]",
            "UMB0201 8:25 spec.endpoints[0].address: sockets in the file system are not reached: the \
             endpoint is left out",
        ),
        (
            "endpoints: [{address: 10.0.0.1}]",
            "UMB0108 7:25 spec.endpoints[0].address: resolution NONE takes no endpoints (write \
             `resolution: STATIC`)",
        ),
        ("resolution: STATIC\nendpoints: [{}]", "UMB0104 8:15 spec.endpoints[0].address: is required"),
        (
            "resolution: STATIC\nendpoints: [{address: 10.0.0.1, ports: {htpt: 80}}]",
            "UMB0103 8:43 spec.endpoints[0].ports[htpt]: `htpt` is not the name of a port in spec.ports",
        ),
        (
            "resolution: static",
            "UMB0103 7:15 spec.resolution: `static` is not known here (one of: NONE, STATIC, DNS, \
             DNS_ROUND_ROBIN, DYNAMIC_DNS)",
        ),
        (
            "location: MESH",
            "UMB0103 7:13 spec.location: `MESH` is not known here (one of: MESH_EXTERNAL, MESH_INTERNAL)",
        ),
        (
            "addresses: [10.1.1.1]",
            "UMB0201 7:3 spec.addresses: read but not honoured yet: connections are captured at the \
             endpoints, not at virtual \
             addresses",
        ),
    ]);
}

/// Istio's `ConvertWorkloadEntry`: selectors and subsets see both, and those of the metadata first.
#[test]
fn the_labels_of_a_workload_entry_are_those_of_its_spec_and_of_its_metadata() {
    let text = object("WorkloadEntry", "address: 10.0.0.1\nlabels: {app: vm, version: v1}");
    let labelled =
        text.replacen("metadata: {name: a", "metadata: {labels: {version: v2, zone: a}, name: a", 1);
    assert_ne!(text, labelled);
    let entry = clean(&labelled).workload_entries.remove(0);
    let labels: Vec<_> = entry.endpoint.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(labels, ["app=vm", "version=v2", "zone=a"]);
}

#[test]
fn absent_values_have_istios_defaults() {
    let text = object(
        "ServiceEntry",
        "hosts: [a]\nports: [{number: 80, name: web, protocol: http2, targetPort: 8080}, {number: 81, \
         name: x}]\n\
         resolution: STATIC\nendpoints: [{address: 10.0.0.1, ports: {web: 9000}}]",
    );
    let entry = clean(&text).service_entries.remove(0);
    let ports: Vec<_> =
        entry.ports.iter().map(|p| (p.number.value, p.target_port, p.protocol.as_str())).collect();
    assert_eq!(ports, [(80, 8080, "HTTP2"), (81, 81, "HTTP")]);
    assert_eq!((entry.endpoints[0].ports["web"], entry.location), (9000, MeshLocation::External));
    let bare = clean(&object("ServiceEntry", "hosts: [a]")).service_entries.remove(0);
    assert_eq!(bare.resolution.value, Resolution::None);
}
