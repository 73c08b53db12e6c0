//! What the agent itself says of a round, from its metrics.

use std::collections::BTreeMap;

use support::Agent;

/// Counts of one virtual service.
#[derive(Clone)]
pub(crate) struct Books {
    /// Requests the agent read, of any service.
    pub(crate) read: u64,
    pub(crate) offered: u64,
    /// Copies by outcome, with its reason where there is one.
    pub(crate) outcomes: BTreeMap<String, u64>,
    /// Lines that a tap was sent and the audit log has.
    pub(crate) told: [u64; 2],
}

impl Books {
    /// Waits until no copy is under way, and fails unless the books then balance.
    pub(crate) fn settled(agent: &Agent, virtual_service: &str) -> Self {
        agent.accounting_is_exact();
        let metrics = agent.metrics();
        let of_service = format!("{{virtual_service=\"{virtual_service}\"}}");
        let mut outcomes = BTreeMap::new();
        for sample in metrics.select(&format!("umbra_shadow_outcomes_total{of_service}")) {
            let label = |name: &str| sample.labels.get(name).map(String::as_str).unwrap_or_default();
            let outcome = format!("{} {}", label("outcome"), label("reason")).trim().replace('_', " ");
            *outcomes.entry(outcome).or_default() += count(sample.value);
        }
        Self {
            read: count(metrics.sum("umbra_requests_total")),
            offered: count(metrics.sum(&format!("umbra_shadow_offered_total{of_service}"))),
            outcomes,
            told: [
                count(metrics.sum("umbra_tap_lines_total{result=\"sent\"}")),
                count(metrics.sum("umbra_audit_lines_total{result=\"written\"}")),
            ],
        }
    }

    /// What was added since.
    pub(crate) fn since(mut self, before: &Self) -> Self {
        self.read -= before.read;
        self.offered -= before.offered;
        self.told = [self.told[0] - before.told[0], self.told[1] - before.told[1]];
        for (outcome, count) in &mut self.outcomes {
            *count -= before.outcomes.get(outcome).unwrap_or(&0);
        }
        self.outcomes.retain(|_, count| *count > 0);
        self
    }
}

/// A counter's value; Prometheus has them as floating point.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a counter is a whole number, far below 2⁵³"
)]
fn count(value: f64) -> u64 {
    value as u64
}
