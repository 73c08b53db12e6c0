//! Asks the library: what the agent itself decides, and the dry run's telling of it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use http::{HeaderName, Uri};
use serde_json::{Value, json};
use umbra::{
    app,
    config::Report,
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{Decision, PortRules, Snapshot, Source, Trace},
    shadow::Plane,
};

use crate::{
    outcome::Outcome,
    table::{Client, Request, Row, Table},
};

/// Fields that are known and have no effect: the reader's tests count them.
const WITHOUT_EFFECT: [&str; 2] = ["UMB0201", "UMB0202"];

const UNKNOWN_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

fn compile(table: &Table) -> (Snapshot, Report) {
    let (resources, mut report, _) = app::Source::Files(vec![table.example.clone()]).read();
    let snapshot = Snapshot::compile_everything(&resources, &Accounts::default(), &mut report);
    (snapshot, report)
}

pub(crate) fn check(table: &Table) -> Result<(), String> {
    let (_, report) = compile(table);
    let mut codes: Vec<_> = report.diagnostics.iter().map(|fault| fault.code.as_str()).collect();
    codes.retain(|code| !WITHOUT_EFFECT.contains(code));
    codes.sort_unstable();
    codes.dedup();
    let told = || format!("{} warns {}:\n{:#?}", table.name, codes.join(" "), report.diagnostics);
    (codes == table.warnings && !report.has_errors()).then_some(()).ok_or_else(told)
}

pub(crate) fn differences(table: &Table) -> Vec<String> {
    let (snapshot, _) = compile(table);
    let differs = |row: &Row| {
        let endpoint = row.request.endpoint.or(table.endpoint).expect("the table or the row has an endpoint");
        let Some(rules) = snapshot.at(endpoint) else {
            let expected = row.expected.sentence == "not captured";
            return (!expected).then(|| format!("{}: nothing is known of {endpoint}", row.place));
        };
        ask(rules, &row.request).differs(row)
    };
    table.rows.iter().filter_map(differs).collect()
}

fn ask(rules: &PortRules, request: &Request) -> Outcome {
    let url: Uri = request.url.parse().unwrap();
    let mut fields = request.headers.clone();
    if !fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        fields.insert(0, ("Host".into(), url.authority().unwrap().to_string()));
    }
    let headers: Vec<_> =
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let head = RequestHead {
        method: &request.method,
        target: url.path_and_query().unwrap().as_str(),
        version: Version::Http11,
        headers: &headers,
        body: BodyLength::None,
        encrypted: url.scheme_str() == Some("https"),
    };
    let (address, source) = match &request.client {
        Client::Unknown => (UNKNOWN_CLIENT, None),
        Client::Address(address) => (*address, rules.source(*address).cloned()),
        Client::Workload { namespace, labels } => (
            UNKNOWN_CLIENT,
            Some(Source {
                namespace: namespace.clone(),
                labels: labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
                workload: std::sync::Arc::default(),
            }),
        ),
    };
    let trace = rules.trace(&head, source.as_ref());
    let decision = match &request.client {
        Client::Address(address) => rules.decide(&head, *address),
        _ => rules.decide_for(&head, source.as_ref()),
    };
    agree(&trace, &decision, request);
    let copies = trace.matched.iter().flat_map(|rule| &rule.mirrors);
    let marker = HeaderName::from_static("x-umbra-shadow");
    let copies = copies.map(|mirror| {
        let copy = match Plane::preview(mirror, &head, SocketAddr::new(address, 0), &marker) {
            Ok(copy) => copy,
            Err(reason) => return json!({"dropped": reason.as_str()}),
        };
        let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
        let pseudo = copy.uri().authority().map(|authority| json!([":authority", authority.as_str()]));
        let headers = copy.headers().iter().map(|(name, value)| json!([name.as_str(), text(value)]));
        json!({
            "method": copy.method().as_str(),
            "path": copy.uri().path_and_query().map(ToString::to_string),
            "headers": pseudo.into_iter().chain(headers).collect::<Vec<_>>(),
        })
    });
    let copies = Value::Array(copies.collect());
    let mut answer = serde_json::to_value(&trace).unwrap();
    answer["copies"] = copies;
    Outcome(answer)
}

/// What is told is what is done.
fn agree(trace: &Trace, decision: &Decision<'_>, request: &Request) {
    let told = trace.matched.as_ref().map(|rule| (&rule.account.key, rule.mirrors.len(), rule.unmirrored));
    let done = match decision {
        Decision::Rule(rule) => Some((&rule.account.key, rule.mirrors.len(), rule.unmirrored)),
        Decision::NoRule | Decision::NoHost => None,
    };
    assert_eq!(told, done, "{request:?}");
}
