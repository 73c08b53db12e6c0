//! Envoy as a proxy, with and without `request_mirror_policies`: its defaults, one worker, and no log of requests.

use std::{fs, net::IpAddr};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use support::Netns;

use super::{APP, PROXY, Program, Shadow};

/// The proxy, copying all to the shadow if there is one.
pub(crate) fn proxy(netns: &Netns, shadow: Option<Shadow>) -> Result<Program> {
    let binary = std::env::var("UMBRA_BENCH_ENVOY")
        .context("UMBRA_BENCH_ENVOY is not set: run by `cargo xtask bench`, which installs Envoy")?;
    let loopback: IpAddr = std::net::Ipv4Addr::LOCALHOST.into();
    let (mut listeners, mut clusters) = (Vec::new(), Vec::new());
    let pairs = [
        ("small", PROXY.small, APP.small, shadow.map(|shadow| shadow.ports.small)),
        ("uploads", PROXY.uploads, APP.uploads, shadow.map(|shadow| shadow.ports.uploads)),
        ("http2", PROXY.http2, APP.http2, shadow.map(|shadow| shadow.ports.http2)),
    ];
    for (name, listen, app, copies) in pairs {
        let http2 = name == "http2";
        let app_cluster = format!("app-{name}");
        clusters.push(cluster(&app_cluster, loopback, app, http2));
        let mut mirrors = Vec::new();
        if let Some((Shadow { ip, .. }, port)) = shadow.zip(copies) {
            let shadow_cluster = format!("shadow-{name}");
            clusters.push(cluster(&shadow_cluster, ip, port, http2));
            mirrors.push(json!({ "cluster": shadow_cluster }));
        }
        listeners.push(listener(name, listen, &app_cluster, &mirrors));
    }
    let bootstrap = json!({ "static_resources": { "listeners": listeners, "clusters": clusters } });
    Program::start(
        netns,
        &binary,
        |command, dir| {
            let config = dir.path().join("envoy.json");
            fs::write(&config, bootstrap.to_string())?;
            command.arg("--config-path").arg(config);
            command.args(["--concurrency", "1", "--disable-hot-restart", "--log-level", "error"]);
            Ok(())
        },
        PROXY.small,
    )
}

fn listener(name: &str, port: u16, cluster: &str, mirrors: &[Value]) -> Value {
    json!({
        "name": name,
        "address": address(std::net::Ipv4Addr::UNSPECIFIED.into(), port),
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type":
                    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": name,
                "http_filters": [{
                    "name": "router",
                    "typed_config": { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" },
                }],
                "route_config": { "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{
                        "match": { "prefix": "/" },
                        // The default of 15 s would end long uploads.
                        "route": { "cluster": cluster, "timeout": "0s", "request_mirror_policies": mirrors },
                    }],
                }] },
            },
        }] }],
    })
}

fn cluster(name: &str, ip: IpAddr, port: u16, http2: bool) -> Value {
    let options = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let protocol = if http2 { "http2_protocol_options" } else { "http_protocol_options" };
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(ip, port) } }] }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":
                { "@type": options, "explicit_http_config": { protocol: {} } },
        },
    })
}

fn address(ip: IpAddr, port: u16) -> Value {
    json!({ "socket_address": { "address": ip, "port_value": port } })
}
