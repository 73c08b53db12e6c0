//! The quick form: one port, one mirror, no file. It is written out as the documents a user would write, so that
//! everything behind it is the same.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::{Context as _, bail};
use clap::Args;
use http::Uri;

use crate::config::umbra::NetnsRef;

/// Mirror one port without any file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Without any file")]
pub(super) struct Arguments {
    /// Mirror the requests that arrive at this local port.
    #[arg(long, requires = "mirror", value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Where the copies go: http://HOST:PORT.
    #[arg(long, value_name = "URL", requires = "port")]
    mirror: Option<Uri>,
    /// The share of requests to copy, 0 to 100.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent, requires = "port")]
    percent: f64,
    /// The network namespace of the port: host, /run/netns/NAME or pid:N.
    #[arg(long, value_name = "NETNS", default_value = "host", requires = "port")]
    netns: NetnsRef,
    /// The address of /metrics and /readyz.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9977", requires = "port")]
    admin: SocketAddr,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        Ok(value) => Err(format!("{value} is not within 0 to 100")),
        Err(_) => Err("not a number".to_owned()),
    }
}

impl Arguments {
    /// The documents that say the same; None when the quick form was not used.
    ///
    /// # Errors
    /// When the mirror is not a plain HTTP URL or its host has no address.
    pub(super) fn to_yaml(&self) -> anyhow::Result<Option<String>> {
        let (Some(captured), Some(mirror)) = (self.port, &self.mirror) else { return Ok(None) };
        let (host, port) = target(mirror)?;
        let addresses = (host, port).to_socket_addrs().with_context(|| format!("--mirror: find {host}"))?;
        let endpoints: Vec<_> = addresses.map(|address| format!("{{address: '{}'}}", address.ip())).collect();
        let Self { percent, admin, .. } = self;
        let (netns, endpoints) = (self.netns.to_string().replace('\'', "''"), endpoints.join(", "));
        Ok(Some(format!(
            "apiVersion: umbra.dev/v1alpha1
kind: AgentConfig
metadata: {{name: command-line}}
spec:
  admin: {{address: '{admin}'}}
  capture: {{inbound: [{{netns: '{netns}'}}]}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: app}}
spec:
  hosts: [app.umbra.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {captured}, name: http, protocol: HTTP}}]
  endpoints: [{{address: 0.0.0.0}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shadow}}
spec:
  hosts: [shadow.umbra.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  endpoints: [{endpoints}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: command-line}}
spec:
  hosts: [app.umbra.internal]
  http:
  - name: all
    route: [{{destination: {{host: app.umbra.internal}}}}]
    mirror: {{host: shadow.umbra.internal, port: {{number: {port}}}}}
    mirrorPercentage: {{value: {percent}}}
"
        )))
    }
}

/// Host and port of a plain HTTP URL.
fn target(mirror: &Uri) -> anyhow::Result<(&str, u16)> {
    if mirror.scheme_str() != Some("http") {
        bail!(
            "--mirror {mirror}: only http://HOST:PORT is understood here; TLS needs a DestinationRule in a file"
        );
    }
    if !matches!(mirror.path(), "" | "/") || mirror.query().is_some() {
        bail!("--mirror {mirror}: a copy keeps the path of its request; give only http://HOST:PORT");
    }
    let host = mirror.host().context("--mirror names no host")?;
    Ok((host.trim_start_matches('[').trim_end_matches(']'), mirror.port_u16().unwrap_or(80)))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::{app::Source, record::Accounts, route::CapturedPort};

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        quick: Arguments,
    }

    fn parse(flags: &[&str]) -> Result<Arguments, clap::Error> {
        Command::try_parse_from(std::iter::once(&"umbra").chain(flags)).map(|command| command.quick)
    }

    #[test]
    fn a_mirror_that_is_not_a_plain_address_is_refused_with_the_reason() {
        for (mirror, reason) in [
            ("https://127.0.0.1:1", "only http://"),
            ("http://127.0.0.1:1/v2", "keeps the path"),
            ("ftp://127.0.0.1", "only http://"),
        ] {
            let error = parse(&["--port", "8080", "--mirror", mirror]).unwrap().to_yaml().unwrap_err();
            assert!(error.to_string().contains(reason), "{mirror}: {error}");
        }
    }

    #[test]
    fn the_documents_of_the_quick_form_have_no_findings() {
        let flags =
            ["--port", "8080", "--mirror", "http://[::1]:9090", "--percent", "0.5", "--netns", "pid:1"];
        let yaml = parse(&flags).unwrap().to_yaml().unwrap().unwrap();
        let compiled = Source::CommandLine(yaml).compile(&Accounts::default());
        assert!(compiled.report.diagnostics.is_empty(), "{}", compiled.report.render(&compiled.sources));
        let mirror = compiled.snapshot.ports().next().unwrap().1;
        assert_eq!(
            compiled.snapshot.captured_ports(),
            [CapturedPort { address: None, port: 8080 }],
            "{mirror:?}"
        );
    }

    #[test]
    fn a_share_beyond_a_hundred_is_refused() {
        let error = parse(&["--port", "80", "--mirror", "http://[::1]:9", "--percent", "130"]).unwrap_err();
        assert!(error.to_string().contains("130 is not within 0 to 100"), "{error}");
    }
}
