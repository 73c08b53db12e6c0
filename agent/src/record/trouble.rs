//! The last thing that went wrong with a mirror's copies, for a person to see. Noting it never waits; on a data thread
//! it is one store.

use std::{
    net::SocketAddr,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwapOption;

use super::{DropReason, FailReason, Outcome};

/// What went wrong last.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// Failed or dropped, never completed.
    pub outcome: Outcome,
    /// Where the copy was sent, if it was.
    pub endpoint: Option<SocketAddr>,
    /// In words, where more is known than the reason.
    pub message: Option<Arc<str>>,
    pub age: Duration,
}

/// The newest failure and the newest drop; one value each, however many there are.
#[derive(Debug, Default)]
pub(super) struct Last {
    /// Failures are noted by shadow workers, which may allocate.
    failure: ArcSwapOption<Failure>,
    /// Drops are noted by data threads too: the moment and the reason in one word. 0: none yet.
    drop: AtomicU64,
}

#[derive(Debug)]
struct Failure {
    reason: FailReason,
    endpoint: Option<SocketAddr>,
    message: Option<Arc<str>>,
    at: Instant,
}

/// Moments of drops count from here, in milliseconds.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);
const REASON_BITS: u32 = 8;

impl Last {
    pub(super) fn note(&self, outcome: Outcome, endpoint: Option<SocketAddr>, message: Option<String>) {
        match outcome {
            Outcome::Completed { .. } => {}
            Outcome::Failed(reason) => {
                let message = message.map(Arc::from);
                let failure = Failure { reason, endpoint, message, at: Instant::now() };
                self.failure.store(Some(Arc::new(failure)));
            }
            Outcome::Dropped(reason) if is_meant(reason) => {}
            Outcome::Dropped(reason) => {
                let moment = u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.drop.store((moment << REASON_BITS) | (reason as u64 + 1), Ordering::Relaxed);
            }
        }
    }

    /// The newer of the two.
    pub(super) fn read(&self) -> Option<Trouble> {
        let failure = self.failure.load_full().map(|failure| Trouble {
            outcome: Outcome::Failed(failure.reason),
            endpoint: failure.endpoint,
            message: failure.message.clone(),
            age: failure.at.elapsed(),
        });
        failure.into_iter().chain(self.dropped()).min_by_key(|trouble| trouble.age)
    }

    fn dropped(&self) -> Option<Trouble> {
        let word = self.drop.load(Ordering::Relaxed);
        let index = usize::try_from(word & ((1 << REASON_BITS) - 1)).ok()?.checked_sub(1)?;
        let at = Duration::from_millis(word >> REASON_BITS);
        Some(Trouble {
            outcome: Outcome::Dropped(*DropReason::ALL.get(index)?),
            endpoint: None,
            message: None,
            age: START.elapsed().saturating_sub(at),
        })
    }
}

/// Dropped because somebody asked for it, or because the request was no longer there: nothing is wrong.
fn is_meant(reason: DropReason) -> bool {
    matches!(
        reason,
        DropReason::Paused
            | DropReason::Method
            | DropReason::Fault
            | DropReason::Expired
            | DropReason::Marked
            | DropReason::Upgrade
            | DropReason::Cancelled
            | DropReason::Draining
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_trouble_is_kept_and_what_was_meant_is_none() {
        let last = Last::default();
        last.note(Outcome::Completed { status: 500 }, None, None);
        last.note(Outcome::Dropped(DropReason::Paused), None, None);
        assert!(last.read().is_none());

        for &reason in DropReason::ALL.iter().filter(|reason| !is_meant(**reason)) {
            last.note(Outcome::Dropped(reason), None, None);
            assert_eq!(last.read().unwrap().outcome, Outcome::Dropped(reason));
        }

        let endpoint = ([10, 0, 0, 1], 80).into();
        let dropped = Instant::now();
        // A drop's moment is known to the millisecond.
        while dropped.elapsed() < Duration::from_millis(2) {
            std::thread::yield_now();
        }
        last.note(Outcome::Failed(FailReason::Connect), Some(endpoint), Some("refused".into()));
        let trouble = last.read().unwrap();
        assert_eq!(trouble.outcome, Outcome::Failed(FailReason::Connect));
        assert_eq!((trouble.endpoint, trouble.message.as_deref()), (Some(endpoint), Some("refused")));
        last.note(Outcome::Dropped(DropReason::Marked), None, None);
        assert_eq!(last.read().unwrap().outcome, Outcome::Failed(FailReason::Connect));
    }
}
