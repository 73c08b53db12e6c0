//! One probe: the same command directly and through the agent, and everything that must be the same.

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use serde_json::Value;
use support::eventually;

use crate::{
    books::Books,
    scene::{Run, Scene, Way},
    wiretap::Said,
};

/// A row of a table of probes.
pub(crate) struct Probe {
    name: &'static str,
    line: &'static str,
    /// What the agent's books say afterwards; None where that varies, or is another suite's business.
    books: Option<&'static str>,
    bytes: Bytes,
    copies: Copies,
}

/// What of the client's bytes is the same in both runs. In each run the app always gets what the client sent, byte for byte.
enum Bytes {
    Same,
    /// They hold something random, or depend on what came first.
    Vary,
}

/// How the shadow's records compare with the app's.
enum Copies {
    Equal,
    None,
    /// The app does not show what the shadow does: these are its records.
    Are(Vec<Value>),
}

/// `line` is a line of the shell; `$url` and `$to` (address and port) are the server.
pub(crate) fn probe(name: &'static str, line: &'static str) -> Probe {
    Probe { name, line, books: None, bytes: Bytes::Same, copies: Copies::None }
}

impl Probe {
    /// The copies of all whole requests equal them, and the agent's books say this: see [`Books`].
    pub(crate) fn mirrored(self, books: &'static str) -> Self {
        Self { books: Some(books), copies: Copies::Equal, ..self }
    }

    /// The copies of all whole requests equal them; what else the books say depends on who was first.
    pub(crate) fn copied(self) -> Self {
        Self { copies: Copies::Equal, ..self }
    }

    /// The agent's books alone.
    pub(crate) fn books(self, books: &'static str) -> Self {
        Self { books: Some(books), ..self }
    }

    pub(crate) fn bytes_vary(self) -> Self {
        Self { bytes: Bytes::Vary, ..self }
    }

    pub(crate) fn copies(self, records: Value) -> Self {
        let Value::Array(records) = records else { panic!("{}: copies are a list", self.name) };
        Self { copies: Copies::Are(records), ..self }
    }
}

/// Runs a table of probes to its end, and prints a line for each.
pub(crate) fn hold(scene: &Scene, probes: impl IntoIterator<Item = Probe>) {
    let mut failed = Vec::new();
    for probe in probes {
        let started = Instant::now();
        let held = catch_unwind(AssertUnwindSafe(|| probe.holds(scene))).is_ok();
        let (mark, books) = (if held { '✓' } else { '✗' }, probe.books.unwrap_or("-"));
        println!("{mark} {:<40} {:>5} ms  {books}", probe.name, started.elapsed().as_millis());
        failed.extend((!held).then_some(probe.name));
    }
    assert!(failed.is_empty(), "failed, as said above: {failed:?}");
    scene.agent.accounting_is_exact();
}

impl Probe {
    fn holds(&self, scene: &Scene) {
        let at_first = Seen::now(scene);
        let direct = self.run(scene, Way::Direct);
        let books = Books::of(&scene.agent.metrics());
        let captured = self.run(scene, Way::Captured);
        self.results_are_the_same(&direct, &captured);
        if let Some(expected) = self.books {
            books.come_to(expected, self.name, &scene.agent);
        }
        self.copies_are_right(scene, &at_first);
    }

    fn run(&self, scene: &Scene, way: Way) -> Run {
        let run = scene.run(way, self.line);
        self.arrives_as_sent(&run);
        run
    }

    /// Through whatever lies between the two taps.
    fn arrives_as_sent(&self, run: &Run) {
        let name = self.name;
        assert_eq!(run.at_client.len(), run.at_app.len(), "{name}: connections at the client and at the app");
        for here in &run.at_client {
            let there = run.at_app.iter().find(|there| there.ports[0] == here.ports[1]);
            let there = there.unwrap_or_else(|| panic!("{name}: the app saw another port of the client"));
            assert_same_bytes(&here.request, &there.request, name, "request at the client and at the app");
            assert_same_bytes(&here.response, &there.response, name, "response at the client and at the app");
        }
    }

    fn results_are_the_same(&self, direct: &Run, captured: &Run) {
        let (expected, found) = (Outcome::of(direct), Outcome::of(captured));
        assert!(expected.code == Some(0), "{}: fails without the agent already: {expected:?}", self.name);
        assert_eq!(expected, found, "{}: what came of it directly, and through the agent", self.name);
        assert_eq!(direct.at_app.len(), captured.at_app.len(), "{}: connections", self.name);
        if matches!(self.bytes, Bytes::Same) {
            let requests = |run: &Run| {
                let mut requests: Vec<_> =
                    run.at_app.iter().map(|said: &Said| said.request.clone()).collect();
                requests.sort();
                requests
            };
            for (direct, captured) in requests(direct).iter().zip(&requests(captured)) {
                assert_same_bytes(direct, captured, self.name, "request directly and through the agent");
            }
        }
    }

    /// The app got each request twice, once of each run, and the shadow once.
    fn copies_are_right(&self, scene: &Scene, at_first: &Seen) {
        let expected: &[Value] = match &self.copies {
            Copies::None => &[],
            Copies::Are(records) => records,
            Copies::Equal => {
                let app = eventually("the same requests of both runs at the app", || {
                    pairs(at_first.later(&*scene.app, at_first.app, ""))
                });
                &app.clone()
            }
        };
        let mut copies = Vec::new();
        eventually(&format!("{}: {} copies at the shadow", self.name, expected.len()), || {
            copies = at_first.later(&*scene.shadow, at_first.shadow, "1");
            (copies.len() >= expected.len()).then_some(())
        });
        let text = |records: &[Value]| {
            let mut lines: Vec<_> = records.iter().map(Value::to_string).collect();
            lines.sort();
            lines
        };
        assert_eq!(
            text(expected),
            text(&copies),
            "{}: requests at the app, and copies at the shadow",
            self.name
        );
    }
}

/// One of each pair; None while a record has no equal.
fn pairs(records: Vec<Value>) -> Option<Vec<Value>> {
    let mut single = BTreeMap::<String, (usize, Value)>::new();
    for record in records {
        single.entry(record.to_string()).or_insert((0, record)).0 += 1;
    }
    let even = single.values().all(|(count, _)| count % 2 == 0);
    even.then(|| single.into_values().flat_map(|(count, record)| vec![record; count / 2]).collect())
}

/// How much had arrived.
struct Seen {
    app: usize,
    shadow: usize,
}

impl Seen {
    fn now(scene: &Scene) -> Self {
        Self { app: scene.app.records().len(), shadow: scene.shadow.records().len() }
    }

    /// What has arrived since; every record bears this mark, which is taken off.
    fn later(&self, server: &dyn crate::servers::Server, from: usize, mark: &str) -> Vec<Value> {
        let mut records = server.records().split_off(from);
        for record in &mut records {
            let found = record.as_object_mut().and_then(|record| record.remove("marked"));
            assert_eq!(found, Some(mark.into()), "the mark of {record}");
        }
        records
    }
}

/// What came of a run, without what is never the same twice.
#[derive(Debug, PartialEq)]
struct Outcome {
    code: Option<i32>,
    said: Vec<String>,
    complained: String,
}

impl Outcome {
    fn of(run: &Run) -> Self {
        let said = String::from_utf8_lossy(&run.output.stdout);
        let dated = |line: &&str| {
            let line = line.to_ascii_lowercase();
            !["date:", "last-modified:"].iter().any(|name| line.contains(name))
        };
        Self {
            code: run.output.status.code(),
            said: said.lines().filter(dated).map(str::to_owned).collect(),
            complained: String::from_utf8_lossy(&run.output.stderr).into_owned(),
        }
    }
}

fn assert_same_bytes(left: &[u8], right: &[u8], name: &str, what: &str) {
    if left != right {
        let at = left.iter().zip(right).position(|(left, right)| left != right);
        let at = at.unwrap_or(left.len().min(right.len()));
        let excerpt =
            |bytes: &[u8]| bytes[at.saturating_sub(40)..bytes.len().min(at + 40)].escape_ascii().to_string();
        panic!(
            "{name}: {what} differ from byte {at} of {} and {}:\n  {}\n  {}",
            left.len(),
            right.len(),
            excerpt(left),
            excerpt(right)
        );
    }
}
