//! Prometheus itself, with the rules that are shipped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Stdio},
    time::SystemTime,
};

use serde_json::Value;
use support::{Client, Netns, Node, eventually};
use tempfile::TempDir;

use crate::shipped;

/// A running Prometheus; killed when dropped.
pub(crate) struct Prometheus {
    child: Child,
    dir: TempDir,
    netns: Netns,
    address: SocketAddr,
}

/// One series of an answer, and its value.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) value: f64,
}

impl Prometheus {
    /// Scrapes this agent twice a second.
    pub(crate) fn scraping(node: &Node, agent: SocketAddr) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let netns = node.netns().clone();
        let address = netns.listen((Ipv4Addr::LOCALHOST, 0).into()).local_addr().unwrap();
        let config = format!(
            "global: {{scrape_interval: 500ms, evaluation_interval: 500ms}}\nrule_files: ['{}']\n\
             scrape_configs: [{{job_name: umbra, static_configs: [{{targets: ['{agent}']}}]}}]\n",
            shipped::folder().join("prometheus/rules.yaml").display()
        );
        let file = dir.path().join("prometheus.yaml");
        fs::write(&file, config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = netns
            .command("prometheus")
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--enable-feature=exemplar-storage", "--log.level=warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start prometheus: {error}; run by `cargo xtask test`"));
        let mut prometheus = Self { child, netns, address, dir };
        eventually("Prometheus to be ready", || {
            let ended = prometheus.child.try_wait().unwrap().is_some();
            assert!(!ended, "{}", fs::read_to_string(prometheus.dir.path().join("log")).unwrap());
            let reply = prometheus.client().send(http::Method::GET, "/-/ready", b"").ok()?;
            (reply.status == 200).then_some(())
        });
        prometheus
    }

    /// Seconds since 1970, as queries are told moments.
    pub(crate) fn now() -> f64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64()
    }

    pub(crate) fn query(&self, query: &str) -> Vec<Sample> {
        let answer = self.ask(&format!("/api/v1/query?query={}", encoded(query)));
        let found = answer["result"].as_array().unwrap_or_else(|| panic!("{query}: {answer}"));
        let value = |sample: &Value| sample["value"][1].as_str().unwrap().parse().unwrap();
        found.iter().map(|sample| Sample { value: value(sample) }).collect()
    }

    /// The one value of a query.
    pub(crate) fn value(&self, query: &str) -> f64 {
        let found = self.query(query);
        let [Sample { value }] = found[..] else { panic!("{query}: {found:?}") };
        value
    }

    /// Version and trace of each exemplar of a metric.
    pub(crate) fn exemplars(&self, metric: &str) -> Vec<(String, String)> {
        let now = Self::now();
        let path = format!("/api/v1/query_exemplars?query={metric}&start={}&end={now}", now - 60.0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = |series: &Value| {
            let version = text(&series["seriesLabels"]["destination_version"]);
            let each = series["exemplars"].as_array().unwrap().iter();
            each.map(|it| (version.clone(), text(&it["labels"]["trace_id"]))).collect::<Vec<_>>()
        };
        self.ask(&path).as_array().unwrap().iter().flat_map(of).collect()
    }

    /// The expression of each rule.
    pub(crate) fn rules(&self) -> Vec<String> {
        self.each_rule(|rule| rule["query"].as_str().map(str::to_owned))
    }

    /// What went wrong with rules.
    pub(crate) fn unhealthy_rules(&self) -> Vec<String> {
        self.each_rule(|rule| (rule["health"] != "ok").then(|| rule.to_string()))
    }

    fn each_rule(&self, tell: impl Fn(&Value) -> Option<String>) -> Vec<String> {
        let answer = self.ask("/api/v1/rules");
        let groups = answer["groups"].as_array().unwrap().iter();
        groups.flat_map(|group| group["rules"].as_array().unwrap()).filter_map(tell).collect()
    }

    fn ask(&self, path: &str) -> Value {
        let reply = self.client().get(path);
        let answer: Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    fn client(&self) -> Client<'_> {
        Client::new(&self.netns, self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(encode).collect()
}
