//! How fast the counts of mirrors grow: two readings of the books, some seconds apart. Nothing on the request path.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::record::{Accounts, Balance, MirrorKey};

/// A rate is over one to two of these.
pub(super) const EVERY: Duration = Duration::from_secs(5);
/// Over less, one request more or less would look like a change.
const LEAST: Duration = Duration::from_secs(1);

/// Readings of the past. Locked within the window only.
#[derive(Debug, Default)]
pub struct Rates(Mutex<Readings>);

#[derive(Debug, Default)]
struct Readings {
    before: Option<Reading>,
    last: Option<Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    /// Offered and completed.
    counts: HashMap<Arc<MirrorKey>, (u64, u64)>,
}

impl Rates {
    /// To be called every [`EVERY`].
    pub(super) fn take(&self, accounts: &Accounts) {
        let count = |account: Arc<crate::record::Account>| {
            let balance = account.read();
            (Arc::clone(&account.key), (balance.offered, balance.completed))
        };
        let reading = Reading { at: Instant::now(), counts: accounts.all().into_iter().map(count).collect() };
        let mut readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readings.before = readings.last.replace(reading);
    }

    /// Offered and completed per second, for mirrors with these balances now; None when the agent is too young.
    pub(super) fn of(&self, key: &MirrorKey, now: &Balance) -> Option<(f64, f64)> {
        let readings = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = readings.before.as_ref().or(readings.last.as_ref())?;
        let elapsed = Some(reading.at.elapsed()).filter(|elapsed| *elapsed >= LEAST)?.as_secs_f64();
        // A mirror that is not in the reading began after it.
        let (offered, completed) = reading.counts.get(key).copied().unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "a rate for a person")]
        let rate = |now: u64, then: u64| (now.saturating_sub(then) as f64 / elapsed * 10.0).round() / 10.0;
        Some((rate(now.offered, offered), rate(now.completed, completed)))
    }
}
