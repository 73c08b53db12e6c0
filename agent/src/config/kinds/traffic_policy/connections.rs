//! How connections to endpoints are made: connectionPool and tls.

use crate::config::{
    Code, Located,
    field::Faults,
    fields::{Fields, Names::Foreign},
    istio::{
        ClientTls, ConnectionPool, H2UpgradePolicy, Http2KeepAlive, HttpPool, TcpKeepalive, TcpPool, TlsMode,
    },
};

/// Requests on one connection: Envoy's and so Istio's limit.
const MAX_REQUESTS: u32 = 1 << 29;
/// protobuf's int32.
const INT32: std::ops::RangeInclusive<u32> = 0..=i32::MAX.unsigned_abs();

pub(super) fn pool(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<ConnectionPool> {
    fields.child(faults, "connectionPool", Foreign, |faults, fields, at| {
        let tcp = fields.child(faults, "tcp", Foreign, |faults, fields, _| Some(tcp(faults, fields)));
        let http = fields.child(faults, "http", Foreign, |faults, fields, _| Some(http(faults, fields)));
        if !fields.has("tcp") && !fields.has("http") {
            faults.add(Code::Missing, &at, fields.path(), "needs `tcp` or `http`");
        }
        Some(ConnectionPool { at, tcp: tcp.unwrap_or_default(), http: http.unwrap_or_default() })
    })
}

fn tcp(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> TcpPool {
    TcpPool {
        max_connections: fields.integer(faults, "maxConnections", INT32),
        connect_timeout: fields.duration(faults, "connectTimeout"),
        max_connection_duration: fields.duration(faults, "maxConnectionDuration"),
        idle_timeout: fields.duration(faults, "idleTimeout"),
        keepalive: fields.child(faults, "tcpKeepalive", Foreign, |faults, fields, at| {
            Some(TcpKeepalive {
                at,
                probes: fields.integer(faults, "probes", 0..=u32::MAX),
                time: fields.duration(faults, "time"),
                interval: fields.duration(faults, "interval"),
            })
        }),
    }
}

fn http(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> HttpPool {
    let upgrades = &[
        ("DEFAULT", H2UpgradePolicy::Default),
        ("DO_NOT_UPGRADE", H2UpgradePolicy::DoNotUpgrade),
        ("UPGRADE", H2UpgradePolicy::Upgrade),
    ];
    HttpPool {
        http1_max_pending_requests: fields.integer(faults, "http1MaxPendingRequests", INT32),
        http2_max_requests: fields.integer(faults, "http2MaxRequests", INT32),
        max_requests_per_connection: fields.integer(faults, "maxRequestsPerConnection", 0..=MAX_REQUESTS),
        max_retries: fields.integer(faults, "maxRetries", INT32),
        idle_timeout: fields.duration(faults, "idleTimeout"),
        h2_upgrade_policy: fields.one_of(faults, "h2UpgradePolicy", upgrades),
        use_client_protocol: fields.flag(faults, "useClientProtocol"),
        max_concurrent_streams: fields.integer(faults, "maxConcurrentStreams", INT32),
        http2_keep_alive: fields.child(faults, "http2KeepAlive", Foreign, |faults, fields, at| {
            Some(Http2KeepAlive {
                at,
                interval: fields.duration(faults, "interval"),
                timeout: fields.duration(faults, "timeout"),
            })
        }),
    }
}

pub(super) fn tls(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<ClientTls> {
    let modes = &[
        ("DISABLE", TlsMode::Disable),
        ("SIMPLE", TlsMode::Simple),
        ("MUTUAL", TlsMode::Mutual),
        ("ISTIO_MUTUAL", TlsMode::IstioMutual),
    ];
    fields.child(faults, "tls", Foreign, |faults, fields, at| {
        let mode = fields.one_of(faults, "mode", modes);
        let read = ClientTls {
            // protobuf's zero value.
            mode: mode.unwrap_or_else(|| Located { value: TlsMode::Disable, at: at.clone() }),
            at,
            client_certificate: fields.word(faults, "clientCertificate"),
            private_key: fields.word(faults, "privateKey"),
            ca_certificates: fields.word(faults, "caCertificates"),
            ca_crl: fields.word(faults, "caCrl"),
            credential_name: fields.word(faults, "credentialName"),
            subject_alt_names: fields.texts(faults, "subjectAltNames"),
            sni: fields.word(faults, "sni"),
            insecure_skip_verify: fields.flag(faults, "insecureSkipVerify"),
        };
        complete(faults, fields, &read);
        Some(read)
    })
}

/// Istio's `validateTLS`: which files a mode needs, and which it must not have.
fn complete(faults: &mut Faults<'_>, fields: &Fields<'_>, tls: &ClientTls) {
    let files = ["clientCertificate", "privateKey", "caCertificates", "caCrl"];
    if tls.credential_name.is_some() {
        let file = files.into_iter().find(|name| fields.has(name));
        if let Some(name) = file {
            let what = format!("`credentialName` and `{name}` exclude each other");
            faults.add(Code::Conflict, &tls.at, fields.path(), what);
        }
    }
    match tls.mode.value {
        TlsMode::Mutual if tls.credential_name.is_none() => {
            for name in files.into_iter().take(2).filter(|name| !fields.has(name)) {
                let what = "is required with mode MUTUAL";
                faults.add(Code::Missing, &tls.at, &fields.path_of(name), what);
            }
        }
        TlsMode::IstioMutual => {
            for name in files.into_iter().filter(|name| fields.has(name)) {
                let what = "mode ISTIO_MUTUAL brings its own certificates";
                faults.add(Code::Conflict, &tls.at, &fields.path_of(name), what).help("leave it out");
            }
        }
        _ => {}
    }
}
