//! What lies in `deploy/` for Grafana and Prometheus, and promtool.

use std::{
    fs,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use serde_json::Value;

pub(crate) fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy")).canonicalize().unwrap()
}

/// Every query of the Grafana dashboard, with its variables filled in as for "All".
pub(crate) fn of_dashboard() -> Vec<String> {
    let text = fs::read_to_string(folder().join("grafana/umbra.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries = targets.map(|target| target["expr"].as_str().unwrap());
    let queries: Vec<_> =
        queries.map(|query| query.replace("$__rate_interval", "1m").replace("$service", ".*")).collect();
    assert!(queries.len() > 20 && queries.iter().all(|query| !query.contains('$')), "{queries:?}");
    queries
}

/// What an alert compares: of one that is not firing there is no other data.
pub(crate) fn without_threshold(rule: &str) -> &str {
    let comparison = |sign: &str| {
        let (compared, threshold) = rule.rsplit_once(sign)?;
        threshold.parse::<f64>().is_ok().then_some(compared)
    };
    comparison(" > ").or_else(|| comparison(" == ")).unwrap_or(rule)
}

/// What promtool complains of in a text.
pub(crate) fn promtool(arguments: &[&str], text: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn({
        let text = text.to_owned();
        move || stdin.write_all(text.as_bytes()).unwrap()
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}
