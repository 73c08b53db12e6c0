//! A count that all workers share, with a limit. Taking from it never waits.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

/// Relaxed throughout: nothing else is read on the strength of it.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    limit: usize,
    taken: Arc<AtomicUsize>,
}

/// One of them, given back when dropped.
#[derive(Debug)]
pub(super) struct Taken(Arc<AtomicUsize>);

impl Limit {
    /// None: as many as there are.
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit: limit.unwrap_or(usize::MAX), taken: Arc::default() }
    }

    pub(super) fn take(&self) -> Option<Taken> {
        let within = |taken: usize| (taken < self.limit).then_some(taken + 1);
        self.taken.fetch_update(Relaxed, Relaxed, within).ok()?;
        Some(Taken(Arc::clone(&self.taken)))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
