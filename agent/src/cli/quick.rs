//! The quick form: one port, one mirror, no file. It is written out as the documents a user would write, so that
//! everything behind it is the same.

use std::net::{SocketAddr, ToSocketAddrs as _};

use anyhow::Context as _;
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
    #[arg(long, value_name = "URL", requires = "port", value_parser = mirror)]
    mirror: Option<Mirror>,
    /// The share of requests to copy, 0 to 100.
    #[arg(long, value_name = "PERCENT", default_value_t = 100.0, value_parser = percent, requires = "port")]
    percent: f64,
    /// The network namespace of the port: host, /run/netns/NAME, pid:N or pod:UID.
    #[arg(long, value_name = "NETNS", default_value = "host", requires = "port")]
    netns: NetnsRef,
    /// The address of the admin window: /metrics, /readyz and the API.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9977", requires = "port")]
    admin: SocketAddr,
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
    /// The documents that say the same; None when the quick form was not used.
    ///
    /// # Errors
    /// When the mirror's host has no address.
    pub(super) fn to_yaml(&self) -> anyhow::Result<Option<String>> {
        let (Some(captured), Some(Mirror { host, port })) = (self.port, &self.mirror) else {
            return Ok(None);
        };
        let addresses =
            (host.as_str(), *port).to_socket_addrs().with_context(|| format!("--mirror: find {host}"))?;
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{app::Source, record::Accounts, route::CapturedPort};

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        quick: Arguments,
    }

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
    fn the_documents_of_the_quick_form_have_no_findings() {
        let flags =
            ["--port", "8080", "--mirror", "http://[::1]:9090", "--percent", "0.5", "--netns", "pid:1"];
        let yaml =
            Command::parse_from(std::iter::once("umbra").chain(flags)).quick.to_yaml().unwrap().unwrap();
        let compiled = Source::CommandLine(yaml).compile(&Accounts::default());
        assert!(compiled.report.diagnostics.is_empty(), "{}", compiled.report.render(&compiled.sources));
        assert_eq!(compiled.snapshot.captured_ports(), [CapturedPort { address: None, port: 8080 }]);
    }

    #[test]
    fn a_share_beyond_a_hundred_is_refused() {
        let fault = fault(&["--port", "80", "--mirror", "http://[::1]:9", "--percent", "130"]);
        assert!(fault.contains("130 is not within 0 to 100"), "{fault}");
    }
}
