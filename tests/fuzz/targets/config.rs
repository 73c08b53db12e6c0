//! Any bytes as configuration, the whole way: YAML, resources, snapshot, decisions, copies, and every form of the
//! report. Whatever is said of it points into it, and twice the same is said.

use std::net::{IpAddr, Ipv4Addr};

use umbra::{
    config::{Report, Resources, Sources, istio::StringMatch, read},
    message::{BodyLength, Header, RequestHead, Version},
    record::Accounts,
    route::{Decision, PortRules, Snapshot},
    shadow::Plane,
};

use crate::{Target, files, in_workspace};

pub(crate) const TARGET: Target = Target { name: "config", run, max_len: 8192, words, seeds };

const FILE: &str = "fuzz.yaml";
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// Every field that is honoured or known, and what is special in YAML.
pub(crate) fn words() -> Vec<String> {
    let fields = std::fs::read_to_string(in_workspace("agent/src/config/honoured/fields.txt")).unwrap();
    let lines = fields.lines().filter(|line| !line.starts_with('#'));
    let mut words: Vec<String> = lines
        .flat_map(|line| line.split([' ', ':', '.']))
        .filter(|word| word.len() > 1)
        .map(str::to_owned)
        .collect();
    words.extend(
        [
            "apiVersion: ",
            "kind: ",
            "metadata: {name: a}",
            "spec:",
            "items:",
            "kind: List",
            "\n---\n",
            "\n...\n",
            "&a ",
            "*a",
            "<<: ",
            "!!str ",
            "!!binary ",
            "|2-\n",
            ">+\n",
            "? ",
            "{}",
            "[]",
            "~",
            "%YAML 1.2\n",
            "\"\\u0000\"",
            ".inf",
            ".nan",
            "-0",
            "1e999",
            "0x7fffffffffffffff",
            "100000000000000000000",
            "99.9999",
            "10s",
            "1h30m",
            "0.0.0.0",
            "::1",
            "10.0.0.1",
            "*.example.com",
            "networking.istio.io/v1",
            "gateway.networking.k8s.io/v1",
            "umbra.dev/v1alpha1",
            "discovery.k8s.io/v1",
            "svc.cluster.local",
            "\u{feff}",
            "\r",
            "\t",
        ]
        .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    words
}

/// The shipped examples, one idea each.
fn seeds() -> Vec<Vec<u8>> {
    files(&in_workspace("config/examples")).into_iter().map(|(_, text)| text).collect()
}

fn run(data: &[u8]) {
    if let Ok(text) = std::str::from_utf8(data) {
        check(text);
    }
}

/// What must hold of any text.
pub(crate) fn check(text: &str) {
    let accounts = Accounts::default();
    let (resources, mut report) = resources(text);
    let (again, mut once_more) = self::resources(text);
    let snapshot = Snapshot::compile(&resources, &accounts, &mut report);
    let everything = Snapshot::compile_everything(&again, &Accounts::default(), &mut once_more);

    point_into(text, &report);
    let shown = shown(text, &report);
    assert_eq!(shown, self::shown(text, &once_more), "told differently the second time");
    let captured = snapshot.captured_ports();
    assert_eq!(captured, everything.captured_ports(), "captured differently the second time");
    if report.has_errors() {
        return;
    }
    assert!(captured.is_empty() || !accounts.all().is_empty(), "captured without an account");
    let marker = http::HeaderName::from_static("x-umbra-shadow");
    for (port, rules) in everything.all_ports().take(8) {
        assert_eq!(rules.at(), port);
        ask(&resources, rules, &marker);
    }
}

fn resources(text: &str) -> (Resources, Report) {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    read(FILE, text, &mut resources, &mut report);
    (resources, report)
}

/// All forms of a report.
fn shown(text: &str, report: &Report) -> String {
    let mut sources = Sources::default();
    sources.insert(FILE, text);
    let (shown, rows, sarif) = (report.render(&sources), report.to_json(), report.to_sarif());
    assert_eq!(rows.as_array().map(Vec::len), Some(report.diagnostics.len()));
    assert_eq!(sarif["runs"][0]["results"].as_array().map(Vec::len), Some(report.diagnostics.len()));
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "it could steer a terminal");
    shown + &rows.to_string() + &sarif.to_string()
}

/// Each fault says what, and lies in the text: on one of its lines, and within it or right after its end.
fn point_into(text: &str, report: &Report) {
    // In YAML a CR alone ends a line too.
    let unified = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<&str> = unified.split('\n').collect();
    for fault in &report.diagnostics {
        assert!(!fault.message.trim().is_empty(), "{fault:?}");
        let line = usize::try_from(fault.at.line).unwrap();
        let column = usize::try_from(fault.at.column).unwrap();
        let length = lines
            .get(line.wrapping_sub(1))
            .unwrap_or_else(|| panic!("no such line: {fault:?}"))
            .chars()
            .count();
        assert!((1..=length + 2).contains(&column), "not within its line of {length}: {fault:?}");
    }
}

/// Requests made from what the rules say, and an odd one.
fn ask(resources: &Resources, rules: &PortRules, marker: &http::HeaderName) {
    let text = |condition: &StringMatch| match condition {
        StringMatch::Exact(text) | StringMatch::Prefix(text) | StringMatch::Regex(text) => text.clone(),
        StringMatch::Empty => String::new(),
    };
    judge(rules, marker, "GET", "/", &[]);
    judge(rules, marker, "", "", &[("Host", b"\xff")]);
    let services = resources.virtual_services.iter().take(4);
    for (service, rule) in
        services.flat_map(|service| service.http.iter().take(4).map(move |rule| (service, rule)))
    {
        let host = service.hosts.first().map(|host| host.value.clone()).unwrap_or_default();
        for block in rule.matches.iter().take(4) {
            let target = block.uri.as_ref().map_or_else(|| "/a?b=c".to_owned(), |uri| text(uri));
            let method = block.method.as_ref().map_or_else(|| "OPTIONS".to_owned(), |method| text(method));
            let written: Vec<_> =
                block.headers.iter().map(|(name, value)| (name.value.clone(), text(value))).collect();
            let mut headers = vec![("Host", host.as_bytes()), ("Origin", b"http://a".as_slice())];
            headers.extend(written.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
            judge(rules, marker, &method, &target, &headers);
        }
    }
}

/// The decision and its explanation agree, and every mirror's copy can be made or not.
fn judge(
    rules: &PortRules,
    marker: &http::HeaderName,
    method: &str,
    target: &str,
    headers: &[(&str, &[u8])],
) {
    let headers: Vec<_> = headers.iter().map(|&(name, value)| Header { name, value }).collect();
    let head = RequestHead {
        method,
        target,
        version: Version::Http11,
        headers: &headers,
        body: BodyLength::None,
        encrypted: false,
    };
    let trace = rules.trace(&head, None);
    serde_json::to_string(&trace).unwrap();
    match rules.decide_for(&head, None) {
        Decision::Rule(rule) => {
            assert_eq!(trace.rule_name.as_ref(), Some(&rule.account.key.rule));
            assert!(rule.unmirrored.is_none() || rule.mirrors.is_empty());
            for mirror in &rule.mirrors {
                assert!((1..=1_000_000).contains(&mirror.share.0), "{:?}", mirror.share);
                let _ = Plane::preview(mirror, &head, (CLIENT, 0).into(), marker);
            }
        }
        Decision::NoRule => assert!(trace.rule.is_none() && trace.service.is_some()),
        Decision::NoHost => assert!(trace.service.is_none()),
    }
    let _ = rules.decide(&head, CLIENT);
}
