//! When a copy may be sent, and until when its answer is waited for.

use std::{cell::Cell, time::Duration};

use tokio::time::{Instant, sleep_until};

use super::{body::Source, entry::Job};
use crate::record::{FailReason, Outcome};

pub(super) struct Due {
    /// A policy may delay the copy. Meanwhile it keeps its place, and what has come of its body its budget.
    pub(super) not_before: Option<Instant>,
    /// From when its time runs.
    timeout: Duration,
    /// Once the whole request could be sent.
    since: Cell<Option<Instant>>,
}

impl Due {
    /// The policy's timeout, else the rule's own, else the agent's.
    pub(super) fn new(job: &Job, otherwise: Duration) -> Self {
        let mirror = &job.entry.mirror;
        let of_policy = mirror.policy().and_then(|policy| policy.timeout);
        let timeout = of_policy.or(mirror.timeout).unwrap_or(otherwise);
        let not_before = job.delay.map(|delay| Instant::now() + delay);
        Self { not_before, timeout, since: Cell::new(None) }
    }

    /// To be awaited as often as there are steps: its time runs on.
    ///
    /// While its body streams a copy lives as long as the primary request, within its budget; then its time runs.
    pub(super) async fn overdue(&self, source: &Source) -> Outcome {
        match source.ended().await {
            Ok(()) => {
                let begin = || {
                    let now = Instant::now();
                    self.not_before.map_or(now, |moment| moment.max(now))
                };
                let since = self.since.get().unwrap_or_else(begin);
                self.since.set(Some(since));
                sleep_until(since + self.timeout).await;
                Outcome::Failed(FailReason::Timeout)
            }
            Err(reason) => Outcome::Dropped(reason),
        }
    }

    /// How long the shadow had the whole request; nothing where it answered before that.
    pub(super) fn waited(&self) -> Duration {
        self.since.get().map_or(Duration::ZERO, |since| since.elapsed())
    }
}
