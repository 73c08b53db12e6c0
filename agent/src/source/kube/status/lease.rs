//! Who of all agents writes: whoever holds a Lease of the agents' namespace (coordination.k8s.io/v1). A holder that has not
//! renewed it for as long as it lasts has lost it. Clocks of nodes are never compared: how long is measured here, from the last
//! change that was seen.
//!
//! Own code: the crates for it compare clocks, or are bound to another version of kube.

use std::time::Duration;

use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::time::Instant;

/// How long it lasts without being renewed.
pub(super) const LASTS: Duration = Duration::from_secs(15);
/// A holder that could not renew it for so long writes no more: before anybody else may take it.
const TRUSTED: Duration = Duration::from_secs(10);

/// One agent's view of the lease.
#[derive(Debug)]
pub(super) struct Election {
    /// Of this process; another one of the same node is another candidate.
    me: String,
    /// What the lease said last, and since when it has said so.
    seen: Option<(Record, Instant)>,
    /// Until when this agent may write.
    until: Option<Instant>,
}

/// What changes when it is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    holder: Option<String>,
    renewed: Value,
    transitions: i64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Take it, or renew it.
    Claim,
    /// It is another's, who may lose it in so long.
    Wait(Duration),
}

impl Record {
    fn of(lease: &Value) -> Self {
        let spec = &lease["spec"];
        let holder = spec["holderIdentity"].as_str().filter(|holder| !holder.is_empty());
        Self {
            holder: holder.map(str::to_owned),
            renewed: spec["renewTime"].clone(),
            transitions: spec["leaseTransitions"].as_i64().unwrap_or(0),
        }
    }
}

impl Election {
    pub(super) fn new(me: String) -> Self {
        Self { me, seen: None, until: None }
    }

    pub(super) fn me(&self) -> &str {
        &self.me
    }

    /// Who holds it, as far as is known.
    pub(super) fn holder(&self) -> Option<&str> {
        self.seen.as_ref()?.0.holder.as_deref()
    }

    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    pub(super) fn leads(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// What to do about the lease as it is now; None: there is none.
    pub(super) fn judge(&mut self, lease: Option<&Value>, now: Instant) -> Step {
        let Some(record) = lease.map(Record::of) else {
            (self.seen, self.until) = (None, None);
            return Step::Claim;
        };
        let since = match &self.seen {
            Some((known, since)) if *known == record => *since,
            _ => now,
        };
        let holder = record.holder.clone();
        self.seen = Some((record, since));
        if holder.as_ref().is_none_or(|holder| *holder == self.me) {
            return Step::Claim;
        }
        self.until = None;
        match (since + LASTS).saturating_duration_since(now) {
            Duration::ZERO => Step::Claim,
            left => Step::Wait(left),
        }
    }

    /// The lease as this agent's.
    pub(super) fn claim(&self, lease: Option<&Value>, name: &str, now: OffsetDateTime) -> Value {
        let mut claimed = lease.cloned().unwrap_or_else(|| {
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": {}})
        });
        let (now, is_mine) = (micros(now), self.holder() == Some(&*self.me));
        let spec = &mut claimed["spec"];
        if !is_mine {
            let before = spec["leaseTransitions"].as_i64();
            spec["leaseTransitions"] = before.map_or(0, |before| before + 1).into();
            spec["acquireTime"] = now.clone().into();
        }
        spec["holderIdentity"] = self.me.clone().into();
        spec["leaseDurationSeconds"] = LASTS.as_secs().into();
        spec["renewTime"] = now.into();
        claimed
    }

    /// The server has taken the claim, which was made at `begun`.
    pub(super) fn won(&mut self, claimed: &Value, begun: Instant) {
        self.seen = Some((Record::of(claimed), begun));
        self.until = Some(begun + TRUSTED);
    }

    /// The lease without a holder, when it is this agent's: the next to look takes it.
    pub(super) fn release(lease: &Value, me: &str) -> Option<Value> {
        let mut released = lease.clone();
        let spec = released["spec"].as_object_mut().filter(|spec| spec["holderIdentity"] == me)?;
        spec.remove("holderIdentity");
        spec.insert("leaseDurationSeconds".to_owned(), 1.into());
        Some(released)
    }
}

/// As Kubernetes' `MicroTime` wants it: six digits, no fewer and no more.
pub(super) fn micros(time: OffsetDateTime) -> String {
    format!("{}.{:06}Z", to_the_second(time), time.microsecond())
}

/// As Kubernetes' `Time`.
pub(super) fn seconds(time: OffsetDateTime) -> String {
    to_the_second(time) + "Z"
}

fn to_the_second(time: OffsetDateTime) -> String {
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    format!(
        "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}",
        date.year(),
        u8::from(date.month()),
        date.day()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Takes the lease for one candidate.
    fn claim(election: &mut Election, lease: Option<&Value>, at: Instant) -> Value {
        assert_eq!(election.judge(lease, at), Step::Claim);
        let clock = OffsetDateTime::UNIX_EPOCH + (at.elapsed() + SECOND);
        let claimed = election.claim(lease, "umbra-status", clock);
        election.won(&claimed, at);
        claimed
    }

    #[test]
    fn one_holds_it_until_it_does_not_renew_it() {
        let start = Instant::now();
        let [mut a, mut b] = ["a", "b"].map(|name| Election::new(name.to_owned()));
        let lease = claim(&mut a, None, start);
        assert!(a.leads(start + 9 * SECOND) && !a.leads(start + 10 * SECOND));
        assert_eq!(lease["spec"]["leaseTransitions"], 0);
        assert_eq!(b.judge(Some(&lease), start + SECOND), Step::Wait(LASTS));
        assert_eq!(b.holder(), Some("a"));

        // Renewed: counted from when that was seen, whatever its clock says.
        let mut renewed = lease;
        renewed["spec"]["renewTime"] = "1970-01-01T00:00:00.000000Z".into();
        assert_eq!(b.judge(Some(&renewed), start + 14 * SECOND), Step::Wait(LASTS));
        assert_eq!(b.judge(Some(&renewed), start + 28 * SECOND), Step::Wait(SECOND));
        let taken = claim(&mut b, Some(&renewed), start + 29 * SECOND);
        assert_eq!(
            (&taken["spec"]["holderIdentity"], &taken["spec"]["leaseTransitions"]),
            (&json!("b"), &json!(1))
        );
        assert!(b.leads(start + 30 * SECOND));

        // Who was thought dead is back.
        assert_eq!(a.judge(Some(&taken), start + 30 * SECOND), Step::Wait(LASTS));
        assert!(!a.leads(start + SECOND) && a.holder() == Some("b"));
    }

    #[test]
    fn one_that_leaves_it_lets_the_next_take_it_at_once() {
        let start = Instant::now();
        let [mut a, mut b] = ["a", "b"].map(|name| Election::new(name.to_owned()));
        let lease = claim(&mut a, None, start);
        assert_eq!(b.judge(Some(&lease), start), Step::Wait(LASTS));
        assert!(Election::release(&lease, "b").is_none(), "it is not its own");
        let released = Election::release(&lease, "a").unwrap();
        let taken = claim(&mut b, Some(&released), start + SECOND);
        assert_eq!(taken["spec"]["leaseDurationSeconds"], 15);
    }

    #[test]
    fn times_are_written_as_kubernetes_reads_them() {
        let time = OffsetDateTime::UNIX_EPOCH + Duration::from_micros(86_400_000_042);
        assert_eq!(micros(time), "1970-01-02T00:00:00.000042Z");
        assert_eq!(seconds(time), "1970-01-02T00:00:00Z");
    }
}
