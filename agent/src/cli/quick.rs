//! The quick form: one port, one mirror, no file. It is written out as the documents a user would write, so that
//! everything behind it is the same.

use std::net::{IpAddr, SocketAddr};

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
    /// Where the copies go: http://HOST:PORT. A name is resolved again and again, as DNS says.
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
    if url.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("a user and password are not sent to a shadow; give only http://HOST:PORT, and let a ShadowPolicy in a file \
                    set `authorization`"
            .into());
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
    pub(super) fn to_yaml(&self) -> Option<String> {
        let (captured, Mirror { host, port }) = (self.port?, self.mirror.as_ref()?);
        let resolution = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "DNS" };
        let Self { percent, admin, .. } = self;
        let netns = self.netns.to_string().replace('\'', "''");
        Some(format!(
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
  resolution: {resolution}
  ports: [{{number: {port}, name: http, protocol: HTTP}}]
  endpoints: [{{address: '{host}'}}]
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

    use super::*;
    use crate::{
        app::{Compiled, Source},
        record::Accounts,
        route::{Answers, At, CapturedPort},
    };

    #[derive(Debug, clap::Parser)]
    struct Command {
        #[command(flatten)]
        quick: Arguments,
    }

    fn compiled(flags: &[&str]) -> Compiled {
        let flags = std::iter::once("umbra").chain(flags.iter().copied());
        let yaml = Command::parse_from(flags).quick.to_yaml().unwrap();
        Source::CommandLine(yaml).compile(&Accounts::default())
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
            ("http://user:pw@127.0.0.1:1", "user and password are not sent"),
            ("http://token@shadow", "user and password are not sent"),
        ] {
            let fault = fault(&["--port", "8080", "--mirror", mirror]);
            assert!(fault.contains(reason), "{mirror}: {fault}");
        }
    }

    #[test]
    fn the_documents_of_the_quick_form_have_no_findings() {
        for mirror in ["http://[::1]:9090", "http://shadow.example:9090", "http://localhost:9090"] {
            let flags = ["--port", "8080", "--mirror", mirror, "--percent", "0.5", "--netns", "pid:1"];
            let compiled = compiled(&flags);
            assert!(compiled.report.diagnostics.is_empty(), "{}", compiled.report.render(&compiled.sources));
            assert_eq!(compiled.snapshot.captured_ports(), [CapturedPort { address: None, port: 8080 }]);
        }
    }

    /// As a name behind a service that moves must be.
    #[test]
    fn a_mirror_given_by_name_is_resolved_while_it_runs() {
        for (mirror, expected) in [
            (
                "http://shadow.example:90",
                At::Name { name: "shadow.example".into(), port: 90, answers: Answers::All },
            ),
            ("http://10.0.0.1:90", At::Address(([10, 0, 0, 1], 90).into())),
        ] {
            let compiled = compiled(&["--port", "8080", "--mirror", mirror]);
            assert_eq!(compiled.snapshot.mirrors()[0].cluster.endpoints[0].at, expected);
        }
    }

    #[test]
    fn a_share_beyond_a_hundred_is_refused() {
        let fault = fault(&["--port", "80", "--mirror", "http://[::1]:9", "--percent", "130"]);
        assert!(fault.contains("130 is not within 0 to 100"), "{fault}");
    }
}
