//! nginx: as the app, as the shadow, and as a proxy tuned as its own guides say, with and without its `mirror`
//! directive.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use support::Netns;

use super::{APP, PROXY, Ports, Program, Shadow};

/// The app for small requests and large answers.
pub(crate) fn app(netns: &Netns, files: &Path) -> Result<Program> {
    start(netns, &answers(APP, files), APP.small, MANY)
}

/// Connections of one process. Room for them is taken at once, some 400 bytes for each: a proxy gets it where it is
/// asked for many.
const FEW: u32 = 4096;
const MANY: u32 = 65_536;

/// Where a shadow answers as the app does, and where without a body; both tell `/arrived` what came to either.
pub(crate) const ORDINARY: Ports = APP;
pub(crate) const EMPTY: u16 = 8070;

pub(crate) fn shadow(netns: &Netns, files: &Path) -> Result<Program> {
    let empty = format!(
        "server {{ listen {EMPTY}; location / {{ return 200; }} location = /arrived {{ stub_status; }} }}"
    );
    start(netns, &format!("{}{empty}", answers(ORDINARY, files)), ORDINARY.small, FEW)
}

fn answers(Ports { small, http2, .. }: Ports, files: &Path) -> String {
    let text = "the same 128 bytes for everyone, ".repeat(4);
    let (text, files) = (&text[..128], files.display());
    format!(
        "server {{\n listen {small};\n listen {http2} http2;\n location / {{ return 200 \"{text}\"; }}\n location = /big {{ root {files}; }}\n \
         location = /medium {{ root {files}; }}\n location = /bench.Shop/Get {{ default_type application/grpc; \
         add_trailer grpc-status 0; return 200 \"{text}\"; }}\n}}\n"
    )
}

/// The proxy, copying all to the shadow if there is one.
pub(crate) fn proxy(netns: &Netns, shadow: Option<Shadow>) -> Result<Program> {
    start(netns, &proxying(shadow), PROXY.small, FEW)
}

/// The proxy behind the app's own ports: what comes from outside is led to it. Closed connections are remembered for ten
/// seconds, as gateways with many clients do; by the default of two minutes the kernel's table would be full.
pub(crate) fn redirected(netns: &Netns) -> Result<Program> {
    let program = start(netns, &proxying(None), PROXY.small, MANY)?;
    let led = |from: u16, to: u16| format!("tcp dport {from} redirect to :{to}; ");
    let rules = led(APP.small, PROXY.small) + &led(APP.uploads, PROXY.uploads);
    let table = format!(
        "table ip bench {{ chain to_proxy {{ type nat hook prerouting priority dstnat; policy accept; {rules}}}; }}"
    );
    let nft = netns.command("nft").arg(&table).output();
    let nft = nft.context("cannot start nft: run by `cargo xtask bench`, which installs it")?;
    ensure!(nft.status.success(), "nft refused {table}: {}", String::from_utf8_lossy(&nft.stderr));
    netns.run(|| fs::write("/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_time_wait", "10"))?;
    Ok(program)
}

fn proxying(shadow: Option<Shadow>) -> String {
    let mut http =
        "proxy_http_version 1.1;\nproxy_set_header Connection \"\";\nproxy_set_header Host $http_host;\n"
            .to_owned();
    let pairs = [("small", PROXY.small, APP.small), ("uploads", PROXY.uploads, APP.uploads)];
    for (name, listen, app) in pairs {
        http += &upstream(&format!("app_{name}"), &format!("127.0.0.1:{app}"));
        let (mut also, mut location) = (String::new(), String::new());
        if let Some(Shadow { ip, ports }) = shadow {
            let port = if name == "small" { ports.small } else { ports.uploads };
            http += &upstream(&format!("shadow_{name}"), &format!("{ip}:{port}"));
            also += "mirror /mirror;";
            location =
                format!(" location = /mirror {{ internal; proxy_pass http://shadow_{name}$request_uri; }}\n");
        }
        // Without request buffering an upload is streamed; a mirrored one is read in full first all the same.
        http += &format!(
            "server {{\n listen {listen};\n client_max_body_size 0;\n proxy_request_buffering off;\n \
             location / {{ {also} proxy_pass http://app_{name}; }}\n{location}}}\n"
        );
    }
    http
}

/// A server to which connections are kept.
fn upstream(name: &str, server: &str) -> String {
    format!(
        "upstream {name} {{\n server {server};\n keepalive 1024;\n keepalive_requests 1000000000;\n \
         keepalive_timeout 1h;\n}}\n"
    )
}

/// One process that is master and worker, so that nothing outlives it; no log; connections kept for the whole run.
fn start(netns: &Netns, servers: &str, port: u16, connections: u32) -> Result<Program> {
    let text = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\nevents {{ worker_connections {connections}; }}\n\
         http {{\naccess_log off;\nsendfile on;\ntcp_nopush on;\ndefault_type text/plain;\n\
         keepalive_requests 1000000000;\nkeepalive_timeout 1h;\nclient_body_temp_path body;\nproxy_temp_path proxy;\n\
         {servers}\n}}\n"
    );
    Program::start(
        netns,
        "nginx",
        |command, dir| {
            fs::write(dir.path().join("nginx.conf"), text)?;
            command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
            Ok(())
        },
        port,
    )
}
