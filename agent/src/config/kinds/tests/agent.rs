use std::time::Duration;

use crate::config::{
    testing::{clean, each_has, object},
    umbra::{AgentConfig, Audit, AuditTo, ClientAddress, NetnsRef},
};

fn agent(spec: &str) -> AgentConfig {
    clean(&object("AgentConfig", spec)).agent.map(|agent| *agent).expect("an AgentConfig")
}

#[test]
fn every_key_arrives() {
    let read = agent(
        "workers: 2\ndrainTimeout: 1m\nadmin: {address: '[::1]:1', socket: /a, tokenFile: /t, keepExchanges: 9}\naudit: {file: /b, maxSize: 1Mi, keep: 7, dropped: true}\ncapture:\n  inbound: [{netns: \
         host}, {netns: /run/netns/a}, \
         {netns: 'pid:7'}]\n  direct: [{listen: 127.0.0.1:0, upstream: 127.0.0.1:2}]\n  exempt: [10.1.2.3, 10.1.2.3/8, fd00::1]\n  exemptNode: true\n  criSocket: /run/c.sock\n  \
         clientAddress: keep\n  tls: [{port: 8443, certificate: /a.crt, privateKey: /a.key}]\nshadow:\n  workers: 3\n  nice: 19\n  timeout: 1.5s\n  connectTimeout: 10ms\n  \
         connectionsPerEndpoint: 5\n  markerHeader: X-Mine\n  queue: {requests: 6, bytes: 1Gi, \
         bytesPerRequest: 70000}",
    );
    assert_eq!((read.workers, read.drain_timeout), (2, Duration::from_secs(60)));
    assert_eq!(read.admin.address.to_string(), "[::1]:1");
    assert_eq!(read.admin.socket, Some("/a".into()));
    assert_eq!((read.admin.token_file, read.admin.keep_exchanges), (Some("/t".into()), 9));
    let audit = Audit { to: AuditTo::File("/b".into()), max_size: 1 << 20, keep: 7, dropped: true };
    assert_eq!(read.audit, Some(audit));
    let audit = Audit { to: AuditTo::Stdout, max_size: 100 << 20, keep: 5, dropped: false };
    assert_eq!(agent("audit: {stdout: true}").audit, Some(audit));
    let none = agent("admin: {socket: '', tokenFile: ''}").admin;
    assert_eq!((none.socket, none.token_file), (None, None));
    let netns: Vec<_> = read.capture.inbound.iter().map(|inbound| inbound.netns.value.clone()).collect();
    assert_eq!(netns, [NetnsRef::Host, NetnsRef::Path("/run/netns/a".into()), NetnsRef::Pid(7)]);
    assert_eq!(read.capture.direct[0].upstream.port(), 2);
    let exempt: Vec<_> = read.capture.exempt.iter().map(ToString::to_string).collect();
    assert_eq!(exempt, ["10.1.2.3/32", "10.0.0.0/8", "fd00::1/128"]);
    assert!(read.capture.exempt_node);
    assert_eq!(read.capture.cri_socket, Some("/run/c.sock".into()));
    assert_eq!(read.capture.client_address, ClientAddress::Keep);
    let tls = &read.capture.tls[0];
    assert_eq!(
        (*tls.port, tls.certificate.to_str(), tls.private_key.to_str()),
        (8443, Some("/a.crt"), Some("/a.key"))
    );
    let shadow = read.shadow;
    assert_eq!((shadow.workers, shadow.nice, shadow.connections_per_endpoint), (3, 19, 5));
    assert_eq!(
        (shadow.timeout, shadow.connect_timeout),
        (Duration::from_millis(1500), Duration::from_millis(10))
    );
    assert_eq!(shadow.marker_header, "x-mine");
    assert_eq!(
        (shadow.queue.requests, shadow.queue.bytes, shadow.queue.bytes_per_request),
        (6, 1 << 30, 70000)
    );
}

#[test]
fn without_a_spec_everything_is_default() {
    let text = "apiVersion: umbra.dev/v1alpha1\nkind: AgentConfig\nmetadata: {name: a}\n";
    let read = *clean(text).agent.unwrap();
    assert_eq!(format!("{:?}", AgentConfig { meta: None, ..read }), format!("{:?}", AgentConfig::default()));
}

#[test]
fn numbers_stay_in_their_ranges() {
    each_has(
        "AgentConfig",
        &[
            ("workers: 1025", "UMB0106 5:12 spec.workers: 1025 is not within 0..=1024"),
            (
                "workers: 1e30",
                "UMB0106 5:12 spec.workers: 1000000000000000000000000000000 is not within 0..=1024",
            ),
            ("workers: .inf", "UMB0103 5:12 spec.workers: .inf is not a whole number"),
            ("shadow: {workers: 0}", "UMB0106 5:21 spec.shadow.workers: 0 is not within 1..=64"),
            ("shadow: {nice: -5}", "UMB0106 5:18 spec.shadow.nice: -5 is not within 0..=19"),
            (
                "shadow: {queue: {requests: 0}}",
                "UMB0106 5:30 spec.shadow.queue.requests: 0 is not within 1..=1000000",
            ),
            (
                "shadow: {queue: {bytes: 0}}",
                "UMB0106 5:27 spec.shadow.queue.bytes: 0 bytes leave room for nothing (write bytes like \
                 64Mi, 500k or 4096)",
            ),
            ("shadow: {timeout: 0s}", "UMB0106 5:21 spec.shadow.timeout: 0s is not within 1ms..=24h"),
            ("drainTimeout: 25h", "UMB0106 5:17 spec.drainTimeout: 25h is not within 0s..=24h"),
        ],
    );
}

#[test]
fn values_that_cannot_be_understood_say_what_is_wanted() {
    let duration = "(write it with a unit: 500ms, 15s, 1m30s)";
    let address = "(write ADDRESS:PORT, such as 127.0.0.1:9977 or [::1]:9977)";
    let netns = "(write `host`, a path such as /run/netns/NAME, pid:NUMBER or pod:UID)";
    each_has(
        "AgentConfig",
        &[
            (
                "shadow: {timeout: 15}",
                &format!("UMB0103 5:21 spec.shadow.timeout: `15` has no unit {duration}"),
            ),
            (
                "shadow: {timeout: soon}",
                &format!("UMB0103 5:21 spec.shadow.timeout: `soon` is not a duration {duration}"),
            ),
            (
                "shadow: {timeout: [1]}",
                &format!("UMB0103 5:21 spec.shadow.timeout: a list where text is wanted {duration}"),
            ),
            (
                "shadow: {queue: {bytes: 64MB}}",
                "UMB0103 5:27 spec.shadow.queue.bytes: `64MB` is not a quantity (write bytes like 64Mi, \
                 500k or 4096)",
            ),
            (
                "admin: {address: 9977}",
                &format!("UMB0103 5:20 spec.admin.address: `9977` is not an address with a port {address}"),
            ),
            (
                "admin: {socket: admin.sock}",
                "UMB0103 5:19 spec.admin.socket: `admin.sock` is not a path from the root (write a path such as \
                 /run/umbra/admin.sock, or '' for none)",
            ),
            (
                "capture: {inbound: [{netns: app}]}",
                &format!(
                    "UMB0103 5:31 spec.capture.inbound[0].netns: `app` names no network namespace {netns}"
                ),
            ),
            (
                "capture: {inbound: [{netns: 'pid:0'}]}",
                &format!(
                    "UMB0103 5:31 spec.capture.inbound[0].netns: `pid:0` names no network namespace {netns}"
                ),
            ),
            (
                "capture: {exempt: [10.0.0.0/33]}",
                "UMB0103 5:22 spec.capture.exempt[0]: `10.0.0.0/33` is neither an address nor a network \
                 (write 10.0.0.0/8, \
                 fd00::/8 or a single address)",
            ),
            (
                "capture: {clientAddress: Auto}",
                "UMB0103 5:28 spec.capture.clientAddress: `Auto` is not known here (one of: auto, keep, \
                 local)",
            ),
            (
                "shadow: {markerHeader: host}",
                "UMB0103 5:26 spec.shadow.markerHeader: `host` cannot mark a copy (write a header name \
                 of your own, such as \
                 x-umbra-shadow)",
            ),
        ],
    );
}

#[test]
fn unknown_and_repeated_things_are_refused() {
    each_has(
        "AgentConfig",
        &[
            ("wrokers: 1", "UMB0105 5:3 spec.wrokers: no such field (did you mean `workers`?)"),
            (
                "drain_timeout: 1s",
                "UMB0105 5:3 spec.drain_timeout: no such field (did you mean `drainTimeout`?)",
            ),
            (
                "admin: {zzz: 1}",
                "UMB0105 5:11 spec.admin.zzz: no such field (fields known here: address, socket, tokenFile, keepExchanges)",
            ),
            ("audit: {keep: 1}", "UMB0104 5:10 spec.audit.file: is required"),
            (
                "audit: {file: /a, stdout: true}",
                "UMB0108 5:29 spec.audit.stdout: excludes `file` (keep one of them)",
            ),
            (
                "audit: {file: /a, maxSize: 1Ki}",
                "UMB0106 5:30 spec.audit.maxSize: 1024 bytes are less than 65536 (write bytes like 64Mi, 500k or 4096)",
            ),
            (
                "admin: {address: '0.0.0.0:9977'}",
                "UMB0250 5:20 spec.admin.address: whoever reaches 0.0.0.0:9977 sees the requests and can pause mirrors (name \
                 a file with a secret: `tokenFile: /etc/umbra/token`)",
            ),
            ("capture: {inbound: [{}]}", "UMB0104 5:23 spec.capture.inbound[0].netns: is required"),
            (
                "capture: {direct: [{listen: 127.0.0.1:1}]}",
                "UMB0104 5:22 spec.capture.direct[0].upstream: is required",
            ),
            (
                "capture: {tls: [{port: 443, certificate: /a}]}",
                "UMB0104 5:19 spec.capture.tls[0].privateKey: is required",
            ),
            (
                "capture: {tls: [{port: 443, certificate: a.pem, privateKey: /b}]}",
                "UMB0103 5:44 spec.capture.tls[0].certificate: `a.pem` is not a path from the root (write a path from the \
                 root, such as /etc/umbra/tls/tls.crt)",
            ),
            (
                "capture: {direct: [{listen: 127.0.0.1:1, upstream: 127.0.0.1:0}]}",
                "UMB0106 5:54 spec.capture.direct[0].upstream: port 0 is not within 1..=65535",
            ),
            (
                "capture: {direct: [{listen: 0.0.0.0:1, upstream: 127.0.0.1:1}]}",
                "UMB0108 5:22 spec.capture.direct[0]: 127.0.0.1:1 leads back to the listener 0.0.0.0:1 (name the address at \
                 which the app itself listens)",
            ),
            (
                "capture: {inbound: [{netns: host}, {netns: host}]}",
                "UMB0107 5:46 spec.capture.inbound: the namespace is written twice (first at t.yaml:5:31)",
            ),
        ],
    );
}
