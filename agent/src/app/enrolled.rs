//! Which namespaces are enrolled at this moment, how each wanted one stands, and the plain listeners beside them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use arc_swap::ArcSwap;
use tokio_util::task::TaskTracker;

use super::{direct::Listening, pods::PodName};
use crate::capture::Enrolment;

/// The enrolled namespaces, shared with metrics, status and reloads.
#[derive(Clone, Default)]
pub(super) struct Enrolled(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// Locked for a copy only.
    list: Mutex<List>,
    /// Locked while they are told something that must not be overtaken. The heart never waits for it.
    telling: Mutex<()>,
    /// Published after each look at them.
    standings: ArcSwap<Vec<Standing>>,
    /// Plain listeners. They stay as they are.
    listening: OnceLock<Vec<Listening>>,
}

#[derive(Default)]
struct List {
    enrolled: Vec<Arc<Enrolment>>,
    /// Verdicts of those that have been withdrawn: what was counted never becomes less.
    past: BTreeMap<&'static str, u64>,
}

/// How one wanted namespace stands, or one that is being left, or a pod that is skipped.
#[derive(Clone)]
pub(super) struct Standing {
    /// As configured.
    pub(super) netns: String,
    /// Whose it is, where its labels ask for it.
    pub(super) pod: Option<PodName>,
    pub(super) state: &'static str,
    pub(super) why: Option<String>,
    /// While it is enrolled, or being left.
    pub(super) enrolment: Option<(Arc<Enrolment>, TaskTracker)>,
}

/// Every state there is, for metrics.
pub(super) const STATES: [&str; 5] = [ENROLLED, FAILING, SAME, LEAVING, SKIPPED];
pub(super) const ENROLLED: &str = "enrolled";
pub(super) const FAILING: &str = "failing";
pub(super) const SAME: &str = "same";
pub(super) const LEAVING: &str = "leaving";
pub(super) const SKIPPED: &str = "skipped";

impl Enrolled {
    pub(super) fn add(&self, enrolment: Arc<Enrolment>) {
        self.list().enrolled.push(enrolment);
    }

    /// Forgets one that has been withdrawn, but for what it has counted.
    pub(super) fn remove(&self, enrolment: &Arc<Enrolment>) {
        let verdicts = verdicts(enrolment);
        let mut list = self.list();
        let before = list.enrolled.len();
        list.enrolled.retain(|other| !Arc::ptr_eq(other, enrolment));
        if list.enrolled.len() < before {
            add(&mut list.past, verdicts);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Enrolment>> {
        self.list().enrolled.clone()
    }

    /// How often each verdict was given, in all namespaces since the start.
    pub(super) fn verdicts(&self) -> BTreeMap<&'static str, u64> {
        let (enrolled, mut sums) = {
            let list = self.list();
            (list.enrolled.clone(), list.past.clone())
        };
        enrolled.iter().for_each(|enrolment| add(&mut sums, verdicts(enrolment)));
        sums
    }

    /// Tells some of them something, one teller after the other.
    pub(super) fn tell<T>(&self, tell: impl FnOnce() -> T) -> T {
        let _alone = self.0.telling.lock().unwrap_or_else(PoisonError::into_inner);
        tell()
    }

    pub(super) fn publish(&self, standings: Vec<Standing>) {
        self.0.standings.store(Arc::new(standings));
    }

    pub(super) fn standings(&self) -> Arc<Vec<Standing>> {
        self.0.standings.load_full()
    }

    /// To be told once.
    pub(super) fn listens(&self, listening: Vec<Listening>) {
        let _ = self.0.listening.set(listening);
    }

    pub(super) fn listening(&self) -> &[Listening] {
        self.0.listening.get().map(Vec::as_slice).unwrap_or_default()
    }

    fn list(&self) -> MutexGuard<'_, List> {
        self.0.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// None where they cannot be read.
pub(super) fn verdicts(enrolment: &Enrolment) -> BTreeMap<&'static str, u64> {
    match enrolment.verdicts() {
        Ok(verdicts) => verdicts.into_iter().map(|(verdict, count)| (verdict.as_str(), count)).collect(),
        Err(error) => {
            tracing::warn!(netns = enrolment.name(), %error, "the verdict counters cannot be read");
            BTreeMap::new()
        }
    }
}

fn add(sums: &mut BTreeMap<&'static str, u64>, counts: BTreeMap<&'static str, u64>) {
    for (verdict, count) in counts {
        *sums.entry(verdict).or_insert(0) += count;
    }
}
