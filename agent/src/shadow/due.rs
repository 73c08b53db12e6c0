//! When a copy may be sent, and until when its answer is waited for.

use std::{cell::Cell, time::Duration};

use http::HeaderMap;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{body::Source, entry::Job};
use crate::record::{FailReason, Outcome};

pub(super) struct Due {
    /// A policy may delay the copy. Meanwhile it keeps its place, and what has come of its body its budget.
    pub(super) not_before: Option<Instant>,
    /// From when its time runs.
    timeout: Duration,
    /// Of a gRPC call: its client does not wait any longer (`grpc-timeout`), and nor do we.
    deadline: Option<Instant>,
    /// Once the whole request could be sent, and a gRPC call was answered.
    since: Cell<Option<Instant>>,
}

impl Due {
    /// The policy's timeout, else the rule's own, else the agent's; `headers` are the copy's.
    pub(super) fn new(job: &Job, otherwise: Duration, headers: &HeaderMap) -> Self {
        let mirror = &job.entry.mirror;
        let of_policy = mirror.policy().and_then(|policy| policy.timeout);
        let timeout = of_policy.or(mirror.timeout).unwrap_or(otherwise);
        let not_before = job.delay.map(|delay| Instant::now() + delay);
        let of_call = headers.get("grpc-timeout").filter(|_| job.source.is_call());
        let deadline = of_call.and_then(|text| grpc_timeout(text.as_bytes())).map(|time| {
            let offered = Instant::from_std(job.entry.offered_at);
            not_before.map_or(offered, |moment| moment.max(offered)) + time
        });
        Self { not_before, timeout, deadline, since: Cell::new(None) }
    }

    /// To be awaited as often as there are steps: its time runs on.
    ///
    /// While its body streams a copy lives as long as the primary request, within its budget; then its time runs. That of a
    /// gRPC call runs when the primary is answered: a stream's copy lives as long as the stream.
    pub(super) async fn overdue(&self, source: &Source) -> Outcome {
        let late = self.late(source);
        match self.deadline {
            Some(deadline) => {
                timeout_at(deadline, late).await.unwrap_or(Outcome::Failed(FailReason::Timeout))
            }
            None => late.await,
        }
    }

    async fn late(&self, source: &Source) -> Outcome {
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

    /// How long the shadow had the whole request, of a gRPC call how much longer than the primary it took; nothing where
    /// it answered before that.
    pub(super) fn waited(&self) -> Duration {
        self.since.get().map_or(Duration::ZERO, |since| since.elapsed())
    }
}

/// The value of `grpc-timeout`: up to eight digits and a unit (gRPC over HTTP2, "Requests"). More than a day is no limit.
fn grpc_timeout(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.is_empty() || digits.len() > 8 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = str::from_utf8(digits).ok()?.parse().ok()?;
    let time = match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    };
    (time <= Duration::from_secs(24 * 3600)).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_a_number_and_a_unit() {
        for (text, expected) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("15S", Some(Duration::from_secs(15))),
            ("99999999m", None),
            ("250m", Some(Duration::from_millis(250))),
            ("7u", Some(Duration::from_micros(7))),
            ("00000009n", Some(Duration::from_nanos(9))),
            ("123456789n", None),
            ("99999999H", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("1 S", None),
            ("", None),
        ] {
            assert_eq!(grpc_timeout(text.as_bytes()), expected, "{text}");
        }
    }
}
