//! What the agent's counters say of a probe.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    thread,
    time::{Duration, Instant},
};

use support::{Agent, Metrics, Sample, patience};

/// The agent's counters. Their change is told as `http1 1, requests 3, completed 3`: connections by protocol, connections
/// and requests not read by reason, requests read to their end, copies by outcome.
pub(crate) struct Books(BTreeMap<String, u64>);

impl Books {
    pub(crate) fn of(metrics: &Metrics) -> Self {
        let mut books = BTreeMap::new();
        for sample in &metrics.samples {
            let Some(entry) = entry(sample) else { continue };
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts of a test")]
            let count = sample.value.round() as u64;
            *books.entry(entry).or_default() += count;
        }
        Self(books)
    }

    fn change(&self, later: &Self) -> String {
        let mut text = String::new();
        for (name, count) in &later.0 {
            let grown = count - self.0.get(name).unwrap_or(&0);
            if grown > 0 {
                let (_, name) = name.split_once('.').unwrap_or_default();
                let _ = write!(text, "{}{name} {grown}", if text.is_empty() { "" } else { ", " });
            }
        }
        text
    }

    /// Waits until the change since these is the one expected.
    pub(crate) fn come_to(&self, expected: &str, name: &str, agent: &Agent) {
        let mut found = String::new();
        let mut settled = || {
            found = self.change(&Self::of(&agent.metrics()));
            (found == expected).then_some(())
        };
        let deadline = Instant::now() + patience();
        while settled().is_none() {
            assert!(
                Instant::now() < deadline,
                "{name}: the books are not as expected\n{expected}\n{found}\n{}",
                agent.log()
            );
            thread::sleep(Duration::from_millis(5));
        }
        agent.metrics().assert_accounts_balance();
    }
}

/// The name under which a sample is told, after a number that puts it in its place.
fn entry(sample: &Sample) -> Option<String> {
    let label = |name: &str| sample.labels.get(name).cloned().unwrap_or_default();
    let named = |place: u8, words: &[&str]| {
        let words: Vec<_> = words.iter().filter(|word| !word.is_empty()).copied().collect();
        Some(format!("{place}.{}", words.join(" ")))
    };
    match sample.name.as_str() {
        "umbra_connections_total" => named(0, &[&label("protocol")]),
        "umbra_unread_connections_total" => named(1, &["unread", &label("reason")]),
        "umbra_unread_requests_total" => named(2, &["skipped", &label("reason")]),
        "umbra_requests_total" if label("matched") == "true" => named(3, &["requests"]),
        "umbra_requests_total" => named(3, &["unmatched"]),
        "umbra_shadow_outcomes_total" => named(4, &[&label("outcome"), &label("reason")]),
        _ => None,
    }
}
