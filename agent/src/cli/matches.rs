//! `umbra match`: a dry run. Which rule a request would meet, why not the earlier ones, and what its copies would be.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderName, HeaderValue, Method, Uri, uri::InvalidUri};
use serde::Serialize;

use super::{Output, out};
use crate::{
    app::Source as Configuration,
    config::{
        Report,
        umbra::{AgentConfig, Shadow},
    },
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{CapturedPort, Owner, PortRules, Snapshot, Source, Trace},
    shadow::Plane,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files and directories, read together as `run` would read them.
    #[arg(short = 'c', long = "config", required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The method of the request.
    #[arg(value_parser = method)]
    method: String,
    /// The request as its client would write it: http://my-app/cart?id=1. With https for ports that are opened (`capture.tls`).
    #[arg(value_parser = url)]
    url: Uri,
    /// A header of the request; may be repeated.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// The endpoint the request arrives at; by default one that the matched rule routes to.
    #[arg(long, value_name = "ADDRESS:PORT")]
    to: Option<SocketAddr>,
    /// The namespace of the client; `default` where only labels are given.
    #[arg(long, value_name = "NAMESPACE")]
    source_namespace: Option<String>,
    /// A label of the client; may be repeated.
    #[arg(long = "source-label", value_name = "KEY=VALUE", value_parser = label)]
    source_labels: Vec<(String, String)>,
    /// For a person, or with names that stay: virtualService, rule, ruleName, action, primary, mirrors, copies, trace.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Stands for the client where a format string asks for its address (RFC 5737).
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn method(text: &str) -> Result<String, String> {
    let method = Method::from_bytes(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(method.to_string())
}

fn url(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error: InvalidUri| error.to_string())?;
    match url.scheme_str() {
        Some("http" | "https") => Ok(url),
        _ => Err("not of the form http://HOST/PATH".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("not of the form `name: value`")?;
    let (name, value) = (name.trim(), value.trim());
    HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header name"))?;
    HeaderValue::try_from(value).map_err(|_| "no header may have such a value")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not of the form key=value")?;
    Ok((key.to_owned(), value.to_owned()))
}

/// What is printed as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    /// Where the request arrives.
    endpoint: Option<String>,
    #[serde(flatten)]
    trace: Trace,
    /// By mirror.
    copies: Vec<Copied>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Copied {
    /// The copy's head.
    Sent { method: String, path: String, host: String, headers: Vec<(String, String)> },
    /// Whatever the share: the `reason` of the metrics.
    Dropped { dropped: &'static str },
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let source = Configuration::Files(self.paths.clone());
        let (resources, mut report, sources) = source.read();
        let AgentConfig { shadow, capture, .. } = *resources.agent.clone().unwrap_or_default();
        let opened = capture.tls.iter().map(|tls| *tls.port).collect();
        let snapshot = Snapshot::compile_everything(&resources, &Accounts::default(), &mut report);
        if report.has_errors() {
            let errors = Report {
                diagnostics: report
                    .diagnostics
                    .into_iter()
                    .filter(crate::config::Diagnostic::is_error)
                    .collect(),
            };
            bail!("the configuration is refused:\n{}", errors.render(&sources));
        }
        out::print(&self.answer(&snapshot, &shadow, &opened)?)?;
        Ok(ExitCode::SUCCESS)
    }

    /// `opened` are the ports at which HTTPS is read.
    fn answer(&self, snapshot: &Snapshot, shadow: &Shadow, opened: &BTreeSet<u16>) -> anyhow::Result<String> {
        let authority =
            self.url.authority().context("the URL names no host: write http://HOST/PATH")?.as_str();
        let target = self.url.path_and_query().map_or("/", |path| path.as_str());
        let mut headers: Vec<(&str, &str)> = Vec::new();
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            headers.push(("Host", authority));
        }
        headers.extend(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let headers: Vec<_> =
            headers.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        let encrypted = self.is_encrypted();
        let (version, body) = (Version::Http11, BodyLength::None);
        let head = RequestHead { method: &self.method, target, version, headers: &headers, body, encrypted };

        let (at, trace) = self.trace(snapshot, &head)?;
        if encrypted && !at.is_some_and(|at| opened.contains(&at.port)) {
            bail!(
                "what is encrypted cannot be read, and is never mirrored, unless AgentConfig names the app's certificate \
                 and key for that port (capture.tls)"
            );
        }
        let marker = HeaderName::try_from(&shadow.marker_header).context("shadow.markerHeader")?;
        let mirrors = trace.matched.iter().flat_map(|rule| &rule.mirrors);
        let copies = mirrors.map(|mirror| {
            let copy = Plane::preview(mirror, &head, (CLIENT, 0).into(), &marker);
            copy.map_or_else(|reason| Copied::Dropped { dropped: reason.as_str() }, |copy| Copied::new(&copy))
        });
        let answer = Answer { copies: copies.collect(), endpoint: at.map(|at| at.to_string()), trace };
        match self.output {
            Output::Json => Ok(serde_json::to_string_pretty(&answer)? + "\n"),
            Output::Text => Ok(self.text(&answer)),
        }
    }

    fn is_encrypted(&self) -> bool {
        self.url.scheme_str() == Some("https")
    }

    /// Of the endpoints of the service, one the matched rule routes to, else the first.
    fn trace(
        &self,
        snapshot: &Snapshot,
        head: &RequestHead<'_>,
    ) -> anyhow::Result<(Option<CapturedPort>, Trace)> {
        let source = (self.source_namespace.is_some() || !self.source_labels.is_empty()).then(|| Source {
            namespace: self.source_namespace.clone().unwrap_or_else(|| "default".into()),
            labels: self.source_labels.iter().cloned().collect(),
            ..Source::default()
        });
        let candidates: Vec<(CapturedPort, &PortRules)> = match self.to {
            Some(address) => {
                let rules = snapshot
                    .at(address)
                    .with_context(|| format!("no service has an endpoint at {address}"))?;
                vec![(rules.at(), rules)]
            }
            None => self.endpoints(snapshot)?,
        };
        let mut first = None;
        for (at, rules) in candidates {
            let trace = rules.trace(head, source.as_ref());
            if trace.unmirrored.is_none() && trace.rule.is_some() {
                return Ok((Some(at), trace));
            }
            first.get_or_insert((Some(at), trace));
        }
        first.context("the service has no endpoint, so nothing of it is captured")
    }

    fn endpoints<'s>(&self, snapshot: &'s Snapshot) -> anyhow::Result<Vec<(CapturedPort, &'s PortRules)>> {
        let host = self.url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
        let host = host.strip_suffix('.').unwrap_or(host);
        let mut best = (0, BTreeSet::new());
        for owner in snapshot.all_ports().flat_map(|(_, rules)| rules.services()) {
            let Some(specificity) = owner.names(host) else { continue };
            if specificity > best.0 {
                best = (specificity, BTreeSet::new());
            }
            if specificity == best.0 {
                best.1.insert(&*owner.service);
            }
        }
        let services: Vec<_> = best.1.into_iter().collect();
        let service = match services.as_slice() {
            [one] => *one,
            [] => bail!("no service with an endpoint and an HTTP port is called `{host}`"),
            several => bail!("`{host}` may be any of {}: write the name in full", several.join(", ")),
        };
        let owners = |rules: &'s PortRules| rules.services().filter(|owner| &*owner.service == service);
        let mut all: Vec<_> = snapshot.all_ports().map(|(at, rules)| (at, &**rules)).collect();
        all.retain(|(_, rules)| owners(rules).next().is_some());
        all.sort_by_key(|(at, _)| *at);
        let has =
            |rules: &'s PortRules, port: u16| owners(rules).any(|owner| owner.ports().any(|own| own == port));
        let usual = if self.is_encrypted() { 443 } else { 80 };
        let port = self.url.port_u16().unwrap_or(usual);
        let mut asked: Vec<_> = all.iter().copied().filter(|(_, rules)| has(rules, port)).collect();
        if asked.is_empty() {
            // Dialled at the endpoint itself; or no port was meant.
            asked = all.clone();
            asked.retain(|(at, _)| self.url.port_u16().is_none_or(|port| at.port == port));
        }
        if asked.is_empty() {
            let ports: BTreeSet<_> =
                all.iter().flat_map(|(_, rules)| owners(rules)).flat_map(Owner::ports).collect();
            let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
            bail!(
                "`{service}` has no port {port}: nothing of it would be captured there; its ports: {}",
                ports.join(", ")
            );
        }
        Ok(asked)
    }

    fn text(&self, answer: &Answer) -> String {
        let (trace, mut out) = (&answer.trace, String::new());
        // Writing to text cannot fail.
        let _ = self.tell(trace, answer, &mut out);
        out
    }

    fn tell(&self, trace: &Trace, answer: &Answer, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{} {}", self.method, self.url)?;
        let endpoint = answer.endpoint.as_deref().unwrap_or("-");
        match &trace.service {
            Some(service) => writeln!(out, "  for {service}, arriving at {endpoint}\n")?,
            None => {
                return writeln!(out, "  several services share {endpoint}, and the host names none of them");
            }
        }
        let (Some(kind), Some(object)) = (trace.kind, &trace.virtual_service) else {
            return writeln!(
                out,
                "No VirtualService and no route speaks for this service: nothing is mirrored."
            );
        };
        writeln!(out, "{kind} {object}")?;
        let list = if kind == "VirtualService" { "http" } else { "rules" };
        let matches = if kind == "VirtualService" { "match" } else { "matches" };
        let place = |step: &crate::route::Step| match step.block {
            Some(block) => format!("{list}[{}].{matches}[{block}]", step.rule),
            None => format!("{list}[{}]", step.rule),
        };
        let width = trace.trace.iter().map(|step| place(step).len()).max().unwrap_or(0);
        for step in &trace.trace {
            let sign = if step.reason == "matched" { "✓" } else { "✗" };
            writeln!(out, "  {sign} {:width$}  {}", place(step), step.reason)?;
        }
        let Some(name) = &trace.rule_name else {
            return writeln!(out, "\nNo rule matches: Istio would answer 404, and nothing is mirrored.");
        };
        writeln!(out, "\nrule      {name}")?;
        let subset =
            |subset: &Option<String>| subset.as_ref().map_or_else(String::new, |s| format!(" subset {s}"));
        match trace.action {
            "route" => {
                for to in &trace.primary {
                    let share = if trace.primary.len() > 1 {
                        format!("  weight {}", to.weight)
                    } else {
                        String::new()
                    };
                    writeln!(out, "primary   {}:{}{}{share}", to.host, to.port, subset(&to.subset))?;
                }
            }
            action => writeln!(out, "primary   {action}")?,
        }
        if let Some(why) = trace.unmirrored {
            writeln!(out, "mirrors   none: {why}")?;
        } else if trace.mirrors.is_empty() {
            writeln!(out, "mirrors   none")?;
        }
        for (mirror, copy) in trace.mirrors.iter().zip(&answer.copies) {
            let endpoints = match mirror.endpoints.as_slice() {
                [] => "no endpoint: every copy is dropped".to_owned(),
                endpoints => endpoints.join(", "),
            };
            writeln!(
                out,
                "mirror    {} %{} to {}:{}{}",
                mirror.percentage,
                if mirror.drawn_for == "connection" { " of connections" } else { "" },
                mirror.host,
                mirror.port,
                subset(&mirror.subset)
            )?;
            writeln!(out, "          at {endpoints}")?;
            match copy {
                Copied::Dropped { dropped } => writeln!(out, "          dropped as `{dropped}`")?,
                Copied::Sent { method, path, host: _, headers } => {
                    writeln!(out, "          as {method} {path}")?;
                    for (name, value) in headers {
                        writeln!(out, "             {name}: {value}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Copied {
    fn new(copy: &http::Request<()>) -> Self {
        let lossy = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        // On HTTP/2 the host is part of the target.
        let authority = copy.uri().authority().map(|authority| authority.as_str().to_owned());
        let pseudo = authority.clone().map(|authority| (":authority".to_owned(), authority));
        let fields = copy.headers().iter().map(|(name, value)| (name.to_string(), lossy(value)));
        let host = copy.headers().get(http::header::HOST).map(lossy);
        Self::Sent {
            method: copy.method().to_string(),
            path: copy.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            host: authority.or(host).unwrap_or_default(),
            headers: pseudo.into_iter().chain(fields).collect(),
        }
    }
}
