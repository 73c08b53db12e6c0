//! Istio's standard metrics (`istio_requests_total` and its histograms) of primaries and copies, so that dashboards and
//! queries made for Istio compare both. Primaries are told of by the side that receives, copies by the side that sends.
//!
//! Bounded: at most [`MOST`] sets of labels that tell everything, half as many more without a source, then one for each class of
//! status. Made of the configuration's names and of closed sets, never of what clients send.

mod labels;
mod recent;
mod series;
#[cfg(test)]
mod tests;
mod verdict;
mod write;

use std::{
    cell::RefCell,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use foldhash::HashMap;
use thread_local::ThreadLocal;

use self::{
    labels::{Key, Reporter},
    recent::{Asked, Recent},
    series::{Measured, Series},
    verdict::Verdict,
};
use crate::record::{Exchange, ShadowOutcome};

/// Sets of labels that tell everything. Each is 67 lines of about 800 bytes in a scrape.
const MOST: usize = 1_000;
/// While more than half of them are taken, those without a request for this long make room.
const IDLE: Duration = Duration::from_secs(3600);

type Table = HashMap<Key, Arc<Series>>;

#[derive(Debug)]
pub(super) struct Istio {
    /// Replaced whole when a set of labels comes that was not there; read without a lock.
    table: ArcSwap<Table>,
    /// How often sets of labels left the table.
    generation: AtomicUsize,
    recent: ThreadLocal<RefCell<Recent>>,
    most: usize,
    collapsed: AtomicU64,
}

impl Default for Istio {
    fn default() -> Self {
        Self::with_room_for(MOST)
    }
}

impl Istio {
    fn with_room_for(most: usize) -> Self {
        Self {
            table: ArcSwap::default(),
            generation: AtomicUsize::new(0),
            recent: ThreadLocal::new(),
            most,
            collapsed: AtomicU64::new(0),
        }
    }

    pub(super) fn primary(&self, exchange: &Exchange) {
        let asked = Asked {
            reporter: Reporter::Destination,
            source: exchange.source.as_ref(),
            served: exchange.served.as_ref(),
            verdict: Verdict::of_primary(exchange),
        };
        self.count(
            asked,
            &Measured {
                took: exchange.duration,
                request_bytes: exchange.request_bytes,
                response_bytes: exchange.response_bytes,
                trace: exchange.trace,
            },
        );
    }

    /// Without its wait in the agent, which is no time of the shadow's.
    pub(super) fn copy(&self, copy: &ShadowOutcome) {
        let Some(verdict) = Verdict::of_copy(copy) else { return };
        let asked = Asked {
            reporter: Reporter::Source,
            source: copy.source.as_ref(),
            served: copy.served.as_ref(),
            verdict,
        };
        self.count(
            asked,
            &Measured {
                took: copy.took().unwrap_or(copy.duration),
                request_bytes: copy.request_bytes,
                response_bytes: copy.response_bytes,
                trace: copy.trace,
            },
        );
    }

    /// Requests that were counted without their source, or without anything but their class of status.
    pub(super) fn collapsed(&self) -> u64 {
        self.collapsed.load(Relaxed)
    }

    fn count(&self, asked: Asked<'_>, request: &Measured) {
        let mut recent = self.recent.get_or(|| RefCell::new(Recent::new())).borrow_mut();
        let known = recent.known(asked, self.generation.load(Relaxed), |key| self.find(key));
        known.series.count(request);
        if known.collapsed {
            self.collapsed.fetch_add(1, Relaxed);
        }
    }

    /// The series of a key, or of what is left of it where there is no room; then true.
    fn find(&self, key: &Key) -> (Arc<Series>, bool) {
        if let Some(known) = self.table.load().get(key) {
            return (Arc::clone(known), false);
        }
        let mut found = None;
        self.table.rcu(|table| {
            let fitting = self.fitting(key, table);
            let known = table.get(&fitting).cloned();
            let is_new = known.is_none();
            let series = known.unwrap_or_else(|| Arc::new(Series::new(&fitting)));
            found = Some((Arc::clone(&series), fitting != *key));
            if !is_new {
                return Arc::clone(table);
            }
            let mut table = Table::clone(table);
            table.insert(fitting, series);
            Arc::new(table)
        });
        found.expect("rcu has called its closure")
    }

    fn fitting(&self, key: &Key, table: &Table) -> Key {
        if table.len() < self.most {
            return key.clone();
        }
        let without_source = Key { source: None, ..key.clone() };
        if table.contains_key(&without_source) || table.len() < self.most + self.most / 2 {
            return without_source;
        }
        let verdict = Verdict { code: key.verdict.code / 100 * 100, ..Verdict::NONE };
        Key { reporter: key.reporter, source: None, served: None, verdict }
    }

    /// Lets go of sets of labels that are no longer in use, where room runs out; to be called by those who scrape. A
    /// request that is counted at this very moment under one of them, after an hour, may be lost.
    fn make_room(&self, now: Instant) {
        let table = self.table.load();
        if table.len() <= self.most / 2 {
            return;
        }
        let idle: Vec<_> =
            table.iter().filter(|(_, it)| it.idle(now) >= IDLE).map(|(key, _)| key.clone()).collect();
        if !idle.is_empty() {
            self.table.rcu(|table| {
                let mut table = Table::clone(table);
                idle.iter().for_each(|key| drop(table.remove(key)));
                table
            });
            self.generation.fetch_add(1, Relaxed);
        }
    }
}
