//! The quick form: one port, one mirror, no file. It is written out as the documents a user would write, so that
//! everything behind it is the same.

use std::net::ToSocketAddrs as _;

use anyhow::{Context as _, bail};
use clap::Args;
use http::Uri;

/// Mirror one port without any file.
#[derive(Debug, Args)]
#[group(id = "quick form", conflicts_with = "config", multiple = true)]
pub(super) struct Arguments {
    /// Mirror the requests that arrive at this local port.
    #[arg(long, requires = "mirror", value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Where the copies go: http://HOST:PORT.
    #[arg(long, value_name = "URL", required = false)]
    mirror: Uri,
    /// The share of requests to copy, 0 to 100.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent, requires = "port")]
    percent: f64,
    /// The network namespace of the port: host, /run/netns/NAME or pid:N.
    #[arg(long, value_name = "NETNS", default_value = "host", requires = "port")]
    netns: String,
    /// The address of /metrics and /readyz.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9977", requires = "port")]
    admin: std::net::SocketAddr,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        Ok(value) => Err(format!("{value} is not within 0 to 100")),
        Err(_) => Err("not a number".to_owned()),
    }
}

impl Arguments {
    /// The documents that say the same.
    ///
    /// # Errors
    /// When the mirror is not a plain HTTP URL or its host has no address.
    pub(super) fn to_yaml(&self) -> anyhow::Result<String> {
        let (host, port) = target(&self.mirror)?;
        let addresses = (host, port).to_socket_addrs().with_context(|| format!("--mirror: find {host}"))?;
        let endpoints: Vec<_> = addresses.map(|address| format!("{{address: '{}'}}", address.ip())).collect();
        let Self { port: captured, percent, netns, admin, .. } = self;
        let (netns, endpoints) = (netns.replace('\'', "''"), endpoints.join(", "));
        Ok(format!(
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
  resolution: STATIC
  ports: [{{number: {captured}, name: http, protocol: HTTP}}]
  endpoints: [{{address: 0.0.0.0}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: shadow}}
spec:
  hosts: [shadow.umbra.internal]
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
        ))
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
    fn a_share_beyond_a_hundred_is_refused() {
        let error = parse(&["--port", "80", "--mirror", "http://[::1]:9", "--percent", "130"]).unwrap_err();
        assert!(error.to_string().contains("130 is not within 0 to 100"), "{error}");
    }
}
