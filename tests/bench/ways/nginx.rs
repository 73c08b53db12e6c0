//! nginx: as the app, as the shadow, and as a proxy tuned as its own guides say, with and without its `mirror`
//! directive.

use std::{fs, path::Path};

use anyhow::Result;
use support::Netns;

use super::{APP, PROXY, Ports, Program, Shadow};

/// The app for small requests and large answers.
pub(crate) fn app(netns: &Netns, files: &Path) -> Result<Program> {
    start(netns, &answers(APP, files), APP.small)
}

/// Where a shadow answers as the app does, and where without a body; both tell `/arrived` what came to either.
pub(crate) const ORDINARY: Ports = APP;
pub(crate) const EMPTY: u16 = 8070;

pub(crate) fn shadow(netns: &Netns, files: &Path) -> Result<Program> {
    let empty = format!(
        "server {{ listen {EMPTY}; location / {{ return 200; }} location = /arrived {{ stub_status; }} }}"
    );
    start(netns, &format!("{}{empty}", answers(ORDINARY, files)), ORDINARY.small)
}

fn answers(Ports { small, http2, .. }: Ports, files: &Path) -> String {
    let text = "the same 128 bytes for everyone, ".repeat(4);
    let (text, files) = (&text[..128], files.display());
    format!(
        "server {{\n listen {small};\n listen {http2} http2;\n location / {{ return 200 \"{text}\"; }}\n location = /big {{ root {files}; }}\n}}\n"
    )
}

/// The proxy, copying all to the shadow if there is one.
pub(crate) fn proxy(netns: &Netns, shadow: Option<Shadow>) -> Result<Program> {
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
    start(netns, &http, PROXY.small)
}

/// A server to which connections are kept.
fn upstream(name: &str, server: &str) -> String {
    format!(
        "upstream {name} {{\n server {server};\n keepalive 1024;\n keepalive_requests 1000000000;\n \
         keepalive_timeout 1h;\n}}\n"
    )
}

/// One process that is master and worker, so that nothing outlives it; no log; connections kept for the whole run.
fn start(netns: &Netns, servers: &str, port: u16) -> Result<Program> {
    let text = format!(
        "daemon off; master_process off; pid nginx.pid; error_log stderr crit;\nevents {{ worker_connections 4096; }}\n\
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
