//! From two readings of the cumulative counts to what happened between them.

use std::collections::HashMap;

use serde::Deserialize as _;
use serde_json::{Value, json};

use crate::{
    cli::view::{items, text},
    record::Distribution,
};

/// Everything counted up to one moment.
#[derive(Debug)]
pub(super) struct Reading {
    millis: u64,
    rules: Vec<Value>,
}

/// The counts of a rule's requests, or of a mirror's copies that completed.
struct Counts {
    requests: u64,
    failures: u64,
    latency: Distribution,
}

impl Counts {
    fn of(counts: &Value) -> Self {
        Self {
            requests: counts["requests"].as_u64().unwrap_or(0),
            failures: counts["failures"].as_u64().unwrap_or(0),
            latency: Distribution::deserialize(&counts["latencyMicros"]).unwrap_or_default(),
        }
    }

    /// What came after `before`, as one side of a line. Counts that went back are those of another agent.
    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    fn since(&self, before: &Self, seconds: f64) -> Value {
        let requests = self.requests.checked_sub(before.requests).unwrap_or(self.requests);
        let failures = self.failures.checked_sub(before.failures).unwrap_or(self.failures);
        let latency = self.latency.since(&before.latency);
        json!({
            "requests": requests,
            "perSecond": requests as f64 / seconds,
            "failedPercent": percent(failures, requests),
            "p50Micros": latency.quantile(0.50),
            "p95Micros": latency.quantile(0.95),
            "p99Micros": latency.quantile(0.99),
        })
    }
}

impl Reading {
    /// From an answer with all its pages.
    pub(super) fn new(traffic: &Value) -> Option<Self> {
        Some(Self { millis: traffic["time"].as_u64()?, rules: items(traffic).to_vec() })
    }

    #[allow(clippy::cast_precision_loss, reason = "figures for a person")]
    pub(super) fn seconds_since(&self, before: &Self) -> f64 {
        (self.millis.saturating_sub(before.millis).max(1)) as f64 / 1000.0
    }

    /// One line for each mirror of each rule whose name contains `wanted`, and for each rule without one.
    pub(super) fn since(&self, before: &Self, wanted: &str) -> Vec<Value> {
        let seconds = self.seconds_since(before);
        let known: HashMap<_, _> = before.rules.iter().map(|rule| (rule["id"].as_str(), rule)).collect();
        let mut lines = Vec::new();
        for rule in self.rules.iter().filter(|rule| text(&rule["id"]).contains(wanted)) {
            let was = known.get(&rule["id"].as_str()).copied().unwrap_or(&Value::Null);
            let primary = Counts::of(&rule["primary"]).since(&Counts::of(&was["primary"]), seconds);
            let line = |mirror: Value, shadow: Value| json!({"route": rule["id"], "primary": primary, "mirror": mirror, "shadow": shadow});
            let mirrors = rule["mirrors"].as_array().map_or(&[][..], Vec::as_slice);
            if mirrors.is_empty() {
                lines.push(line(Value::Null, Value::Null));
            }
            for mirror in mirrors {
                let was =
                    was["mirrors"].as_array().into_iter().flatten().find(|was| was["id"] == mirror["id"]);
                let was = was.unwrap_or(&Value::Null);
                let mut shadow = Counts::of(&mirror["shadow"]).since(&Counts::of(&was["shadow"]), seconds);
                shadow["inForcePercentage"] = mirror["inForcePercentage"].clone();
                shadow["lostPercent"] = lost(mirror, was);
                lines.push(line(mirror["mirror"].clone(), shadow));
            }
        }
        lines
    }
}

/// Of the copies that ended between two readings and were due, those that failed or were dropped unasked.
fn lost(now: &Value, before: &Value) -> Value {
    let lost = |mirror: &Value| mirror["lost"].as_u64().unwrap_or(0);
    let completed = |mirror: &Value| mirror["completed"].as_u64().unwrap_or(0);
    let came = lost(now).saturating_sub(lost(before));
    percent(came, came + completed(now).saturating_sub(completed(before)))
}

/// Null where there is nothing to be a part of.
#[allow(clippy::cast_precision_loss, reason = "figures for a person")]
fn percent(part: u64, whole: u64) -> Value {
    if whole == 0 { Value::Null } else { json!(100.0 * part as f64 / whole as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traffic(time: u64, requests: u64, failures: u64, completed: u64, timeouts: u64) -> Value {
        let counts = |requests: u64, micros: u64| {
            json!({
                "requests": requests, "failures": failures, "latencyMicros": [[micros, requests]],
            })
        };
        json!({"time": time, "items": [{
            "id": "shop/cart all", "primary": counts(requests, 1024),
            "mirrors": [{
                "id": "shop/cart all v2:80", "mirror": "v2:80", "inForcePercentage": 50.0, "completed": completed,
                "failed": {"timeout": timeouts}, "dropped": {"paused": 7 * timeouts}, "lost": timeouts, "shadow": counts(completed, 4096),
            }],
        }]})
    }

    #[test]
    fn a_line_tells_what_happened_between_two_readings() {
        let before = Reading::new(&traffic(1_000, 100, 0, 40, 0)).unwrap();
        let now = Reading::new(&traffic(3_000, 300, 20, 130, 10)).unwrap();
        let lines = now.since(&before, "cart");
        let [line] = lines.as_slice() else { panic!("{lines:?}") };
        assert_eq!(
            (&line["primary"]["perSecond"], &line["primary"]["failedPercent"]),
            (&json!(100.0), &json!(10.0))
        );
        assert_eq!(
            (&line["shadow"]["perSecond"], &line["shadow"]["lostPercent"]),
            (&json!(45.0), &json!(10.0))
        );
        let p95 = |side: &str| line[side]["p95Micros"].as_f64().unwrap();
        assert!(p95("primary") > 900.0 && p95("primary") <= 1024.0 && p95("shadow") > 3500.0, "{line}");
        assert!(now.since(&before, "other").is_empty());
    }

    #[test]
    fn an_agent_that_was_started_again_is_no_negative_rate() {
        let before = Reading::new(&traffic(1_000, 1000, 0, 0, 0)).unwrap();
        let now = Reading::new(&traffic(2_000, 10, 0, 0, 0)).unwrap();
        assert_eq!(now.since(&before, "")[0]["primary"]["perSecond"], json!(10.0));
    }
}
