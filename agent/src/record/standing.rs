//! What a mirror has used up of what its ShadowPolicy allows. It outlives a reload as the books do, and holds no
//! limits: they come with each question, so that a changed one holds at once. Lock-free, shared by all data threads.

use std::{
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{Account, Kinds};

const MILLION: u32 = 1_000_000;

/// Relaxed throughout: these are amounts, nothing else is read on the strength of them.
#[derive(Debug)]
pub struct Standing {
    /// Of `rateLimit`.
    pub rate: Bucket,
    /// Of `sampling.coverage`.
    pub budget: Bucket,
    /// Of the limits of the whole shadow plane.
    pub holding: Holding,
    under_way: AtomicU32,
    /// Per million of the rule's share.
    in_force: AtomicU32,
    answers: AtomicU64,
    waited_micros: AtomicU64,
    kinds: Mutex<Option<Arc<Kinds>>>,
}

/// What a mirror's copies hold at this moment.
#[derive(Debug, Default)]
pub struct Holding {
    /// Copies waiting or under way.
    pub requests: AtomicUsize,
    /// Bytes of their heads and bodies.
    pub bytes: AtomicUsize,
}

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Nanoseconds from one to the next.
    pub interval: u64,
    /// How many may happen at once.
    pub burst: u32,
}

/// A token bucket in one word: the moment at which it will be full again (GCRA). Full at first.
#[derive(Debug, Default)]
pub struct Bucket {
    full_at: AtomicU64,
}

/// One of the copies under way that `concurrency` counts; dropping it makes room.
#[derive(Debug)]
#[must_use = "a turn dropped at once limits nothing"]
pub struct Turn(Arc<Account>);

impl Default for Standing {
    fn default() -> Self {
        Self {
            rate: Bucket::default(),
            budget: Bucket::default(),
            holding: Holding::default(),
            under_way: AtomicU32::new(0),
            in_force: AtomicU32::new(MILLION),
            answers: AtomicU64::new(0),
            waited_micros: AtomicU64::new(0),
            kinds: Mutex::default(),
        }
    }
}

impl Pace {
    /// `per_second` above zero. Without a burst: what one second brings, one at least.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from float saturate")]
    pub fn new(per_second: f64, burst: Option<u32>) -> Self {
        let interval = (1e9 / per_second).clamp(1.0, 1e13) as u64;
        Self { interval, burst: burst.unwrap_or(per_second.ceil() as u32).max(1) }
    }

    /// A fifth of the burst.
    pub fn reserve(self) -> u32 {
        self.burst / 5
    }
}

impl Bucket {
    /// Takes one, if there is one at `now`, in nanoseconds on any clock that never goes back. A bucket emptied at a
    /// slower pace counts as empty, not as in debt.
    pub fn take(&self, pace: Pace, now: u64) -> bool {
        self.take_leaving(0, pace, now)
    }

    /// The same, but leaves so many to others.
    pub fn take_leaving(&self, reserve: u32, pace: Pace, now: u64) -> bool {
        let empty = now.saturating_add(pace.interval.saturating_mul(u64::from(pace.burst)));
        let least = empty.saturating_sub(pace.interval.saturating_mul(u64::from(reserve)));
        let after = |full_at: u64| full_at.max(now).saturating_add(pace.interval);
        let take = |full_at: u64| {
            let after = after(full_at);
            if after <= least { Some(after) } else { (full_at > empty).then_some(empty) }
        };
        let before = self.full_at.fetch_update(Relaxed, Relaxed, take);
        before.is_ok_and(|full_at| after(full_at) <= least)
    }
}

impl Account {
    /// A turn of one more copy; None when `limit` are under way.
    pub fn turn(self: &Arc<Self>, limit: u32) -> Option<Turn> {
        let within = |under_way: u32| (under_way < limit).then(|| under_way + 1);
        let taken = self.standing.under_way.fetch_update(Relaxed, Relaxed, within).is_ok();
        taken.then(|| Turn(Arc::clone(self)))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.standing.under_way.fetch_sub(1, Relaxed);
    }
}

impl Standing {
    /// How much of the rule's share is in force, per million.
    pub fn in_force(&self) -> u32 {
        self.in_force.load(Relaxed)
    }

    pub fn put_in_force(&self, per_million: u32) {
        self.in_force.store(per_million.min(MILLION), Relaxed);
    }

    /// A shadow has answered so long after it had the whole request.
    pub fn answered(&self, after: Duration) {
        self.answers.fetch_add(1, Relaxed);
        self.waited_micros.fetch_add(u64::try_from(after.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Answers so far, and how many microseconds all of them took together.
    pub fn answers(&self) -> (u64, u64) {
        (self.answers.load(Relaxed), self.waited_micros.load(Relaxed))
    }

    /// The kinds of requests seen, at most so many; new ones when that number changes.
    pub fn kinds(&self, most: u32) -> Arc<Kinds> {
        // When a configuration is compiled and when views are made, never on the request path.
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match &*kinds {
            Some(known) if known.most() == most => Arc::clone(known),
            _ => Arc::clone(kinds.insert(Arc::new(Kinds::new(most)))),
        }
    }
}

/// Since when a ShadowPolicy is in force.
#[derive(Debug, Default)]
pub struct Since(OnceLock<(Instant, Duration)>);

impl Since {
    /// It is put in force now, at that age. The first time stands.
    pub fn start(&self, now: Instant, age: Duration) {
        let _ = self.0.set((now, age));
    }

    /// How long it has been in force; zero before it was.
    pub fn age(&self, now: Instant) -> Duration {
        let age =
            |&(since, age): &(Instant, Duration)| age.saturating_add(now.saturating_duration_since(since));
        self.0.get().map_or(Duration::ZERO, age)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_bucket_gives_its_burst_at_once_and_then_its_rate() {
        let (bucket, pace) = (Bucket::default(), Pace::new(10.0, Some(5)));
        let taken = |now| (0..100).filter(|_| bucket.take(pace, now)).count();
        assert_eq!(taken(0), 5);
        assert_eq!(taken(SECOND / 10), 1);
        assert_eq!(taken(SECOND / 10 + SECOND / 5), 2);
        assert_eq!(taken(100 * SECOND), 5);
        assert_eq!(Pace::new(2.5, None).burst, 3);
    }

    #[test]
    fn a_new_pace_holds_at_once() {
        let bucket = Bucket::default();
        assert!(bucket.take(Pace::new(0.001, Some(1)), 0));
        let fast = Pace::new(1000.0, Some(1));
        assert!(!bucket.take(fast, 0), "empty is empty");
        assert!(bucket.take(fast, SECOND / 1000), "but not for the thousand seconds of the pace before");
    }

    #[test]
    fn a_reserve_is_left_to_others() {
        let (bucket, pace) = (Bucket::default(), Pace::new(10.0, Some(10)));
        let leaving = || (0..20).filter(|_| bucket.take_leaving(pace.reserve(), pace, 0)).count();
        assert_eq!(leaving(), 8);
        assert_eq!((0..20).filter(|_| bucket.take(pace, 0)).count(), 2);
        assert_eq!(leaving() + (0..20).filter(|_| bucket.take(pace, 0)).count(), 0);
    }

    #[test]
    fn an_age_counts_from_when_it_was_first_put_in_force() {
        let (since, now) = (Since::default(), Instant::now());
        assert_eq!(since.age(now), Duration::ZERO);
        since.start(now, Duration::from_secs(60));
        since.start(now + Duration::from_secs(9), Duration::ZERO);
        assert_eq!(since.age(now + Duration::from_secs(10)), Duration::from_secs(70));
    }

    proptest! {
        #[test]
        fn no_interval_has_more_than_its_rate_and_one_burst(
            rate in 0.1..5_000.0, burst in 1u32..50, steps in prop::collection::vec(0..SECOND / 50, 1..400),
        ) {
            let (bucket, pace) = (Bucket::default(), Pace::new(rate, Some(burst)));
            let (mut now, mut taken) = (0, 0);
            for step in steps {
                now += step;
                taken += u64::from(bucket.take(pace, now));
            }
            prop_assert!(taken <= now / pace.interval + u64::from(burst));
        }
    }
}
