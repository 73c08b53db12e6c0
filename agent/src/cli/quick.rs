//! The quick form: one port, one mirror, no file. It is written out as the documents a user would write, so that
//! everything behind it is the same.

use std::net::ToSocketAddrs as _;

use anyhow::Context as _;
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
    #[arg(long, value_name = "URL", required = false, value_parser = mirror)]
    mirror: Mirror,
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

/// Host and port of a plain HTTP URL.
#[derive(Clone, Debug)]
struct Mirror {
    host: String,
    port: u16,
}

fn mirror(text: &str) -> Result<Mirror, String> {
    let url: Uri = text.parse().map_err(|error| format!("not a URL: {error}"))?;
    if url.scheme_str() != Some("http") {
        return Err("only http://HOST:PORT is understood here; TLS needs a DestinationRule in a file".into());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err("a copy keeps the path of its request; give only http://HOST:PORT".into());
    }
    let host = url.host().ok_or("it names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    Ok(Mirror { host, port: url.port_u16().unwrap_or(80) })
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
    /// When the mirror's host has no address.
    pub(super) fn to_yaml(&self) -> anyhow::Result<String> {
        let Mirror { host, port } = &self.mirror;
        let addresses =
            (host.as_str(), *port).to_socket_addrs().with_context(|| format!("--mirror: find {host}"))?;
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    /// What is wrong with the usage, which ends the program with 2.
    fn fault(flags: &[&str]) -> String {
        let arguments = ["umbra", "run"].iter().chain(flags);
        let error = super::super::Arguments::try_parse_from(arguments).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn a_mirror_that_is_not_a_plain_address_is_refused_with_the_reason() {
        for (mirror, reason) in [
            ("https://127.0.0.1:1", "only http://"),
            ("http://127.0.0.1:1/v2", "keeps the path"),
            ("ftp://127.0.0.1", "only http://"),
        ] {
            let fault = fault(&["--port", "8080", "--mirror", mirror]);
            assert!(fault.contains(reason), "{mirror}: {fault}");
        }
    }

    #[test]
    fn a_share_beyond_a_hundred_is_refused() {
        let fault = fault(&["--port", "80", "--mirror", "http://[::1]:9", "--percent", "130"]);
        assert!(fault.contains("130 is not within 0 to 100"), "{fault}");
    }
}
