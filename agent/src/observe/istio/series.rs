//! What is counted under one set of labels.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use once_cell::race::OnceBox;

use super::labels::Key;
use crate::record::{Buckets, Trace};

/// Of one set of labels. That each request is in each histogram makes a counter of requests unnecessary.
#[derive(Debug)]
pub(super) struct Series {
    pub(super) labels: String,
    pub(super) durations: Buckets,
    pub(super) request_bytes: Buckets,
    pub(super) response_bytes: Buckets,
    /// Made by the first request that is traced.
    exemplars: OnceBox<Mutex<Exemplars>>,
    /// How many requests there were when somebody last saw that there were more, and when. Of those who scrape alone.
    seen: Mutex<(u64, Instant)>,
}

/// The last traced request of each bucket of durations.
type Exemplars = [Option<Exemplar>; 20];

#[derive(Clone, Copy, Debug)]
pub(super) struct Exemplar {
    pub(super) trace: Trace,
    pub(super) took: Duration,
    pub(super) at: SystemTime,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) took: Duration,
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
    pub(super) trace: Option<Trace>,
}

impl Series {
    pub(super) fn new(key: &Key) -> Self {
        Self {
            labels: key.to_text(),
            durations: Buckets::default(),
            request_bytes: Buckets::default(),
            response_bytes: Buckets::default(),
            exemplars: OnceBox::new(),
            seen: Mutex::new((0, Instant::now())),
        }
    }

    pub(super) fn count(&self, request: &Measured) {
        let bucket = self.durations.count_time(request.took);
        self.request_bytes.count_bytes(request.request_bytes);
        self.response_bytes.count_bytes(request.response_bytes);
        // A trace that nobody keeps leads nowhere.
        if let Some(trace) = request.trace.filter(|trace| trace.sampled) {
            let exemplars = self.exemplars.get_or_init(Box::default);
            // One of many: rather none than a wait.
            if let Ok(mut exemplars) = exemplars.try_lock() {
                exemplars[bucket] = Some(Exemplar { trace, took: request.took, at: SystemTime::now() });
            }
        }
    }

    pub(super) fn exemplars(&self) -> Exemplars {
        self.exemplars.get().map_or([None; 20], |it| *it.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For how long it has had no request, as far as scrapes saw.
    pub(super) fn idle(&self, now: Instant) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let total = self.durations.read().total();
        if seen.0 != total {
            *seen = (total, now);
        }
        now.saturating_duration_since(seen.1)
    }
}
