//! What captured connections speak, and what of them is not read: counts by names from closed sets.

use std::{
    collections::BTreeMap,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

/// Counts by name. Names are the program's own, so there are few, and a lock for writing is taken once for each.
#[derive(Debug, Default)]
pub struct Tally(RwLock<BTreeMap<&'static str, AtomicU64>>);

/// Since the agent was started.
#[derive(Debug, Default)]
pub struct Mix {
    /// Connections, by protocol.
    pub protocols: Tally,
    /// Connections not read further, by reason.
    pub unread: Tally,
    /// Requests not read, while others of their connection are, by reason.
    pub unread_requests: Tally,
}

impl Tally {
    pub fn add(&self, name: &'static str) {
        if let Some(count) = self.0.read().unwrap_or_else(PoisonError::into_inner).get(name) {
            count.fetch_add(1, Relaxed);
            return;
        }
        self.0.write().unwrap_or_else(PoisonError::into_inner).entry(name).or_default().fetch_add(1, Relaxed);
    }

    /// Those that came.
    pub fn read(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(name, count)| (*name, count.load(Relaxed))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_has_a_count_of_its_own() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|n| tally.add(if n % 4 == 0 { "tls" } else { "http1" })));
            }
        });
        assert_eq!(tally.read(), BTreeMap::from([("http1", 3000), ("tls", 1000)]));
    }
}
