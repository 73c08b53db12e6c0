//! The kinds of requests a mirror has met, for `sampling.coverage`: how often each came, in a table of fixed size.
//! Lock-free; a kind is a number that the shadow plane makes of a request.
//!
//! A count-min sketch of two rows: each kind has one counter in either, shared with whichever kinds fall on it, and the
//! smaller one counts. So a kind is never taken for rarer than it is, at worst for as common as two others.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

#[derive(Debug)]
pub struct Kinds {
    most: u32,
    rows: [Box<[Counter]>; 2],
    /// How many requests a second of each kind are copied, in thousandths.
    level: AtomicU32,
    seen: AtomicU64,
    admitted: AtomicU64,
}

#[derive(Debug, Default)]
struct Counter {
    /// Requests since the last tick.
    now: AtomicU32,
    /// Requests a second before it, in thousandths.
    rate: AtomicU32,
    copied: AtomicU32,
}

/// What became of the kinds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Covered {
    /// Kinds seen, as far as the table tells them apart.
    pub seen: usize,
    /// Those of which at least one copy was made.
    pub covered: usize,
}

impl Kinds {
    pub fn new(most: u32) -> Self {
        let slots = usize::try_from(most).unwrap_or(usize::MAX).clamp(16, 1 << 20).next_power_of_two();
        let row = || (0..slots).map(|_| Counter::default()).collect();
        Self {
            most,
            rows: [row(), row()],
            level: AtomicU32::new(u32::MAX),
            seen: AtomicU64::new(0),
            admitted: AtomicU64::new(0),
        }
    }

    /// As asked for.
    pub fn most(&self) -> u32 {
        self.most
    }

    fn counters(&self, kind: u64) -> [&Counter; 2] {
        let at = |row: usize, bits: u64| {
            let slots = self.rows[row].len() as u64;
            &self.rows[row][usize::try_from(bits % slots).unwrap_or(0)]
        };
        [at(0, kind), at(1, kind >> 32)]
    }

    /// Counts a request of a kind and tells how many of its requests, per million, are to be copied: all of a rare one,
    /// of a common one as many as of any other. A kind that alone would spend the budget of a second is common, also before
    /// the first tick.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded by a million")]
    pub fn meet(&self, kind: u64, per_second: f64) -> u32 {
        self.seen.fetch_add(1, Relaxed);
        let rate = self.counters(kind).map(|counter| {
            let now = counter.now.fetch_add(1, Relaxed).saturating_add(1).saturating_mul(1000);
            now.max(counter.rate.load(Relaxed))
        });
        let level = self.level.load(Relaxed).min((per_second * 1000.0) as u32);
        let (rate, level) = (u64::from(rate[0].min(rate[1])), u64::from(level));
        if rate <= level { 1_000_000 } else { (level * 1_000_000 / rate) as u32 }
    }

    /// A copy was made of a request of this kind.
    pub fn copy(&self, kind: u64) {
        self.admitted.fetch_add(1, Relaxed);
        for counter in self.counters(kind) {
            counter.copied.store(1, Relaxed);
        }
    }

    /// A second is over: works out how many copies of each kind spend `per_second` together. Returns which part of the
    /// requests was copied in that second, per million; None without requests. Off the request path: it reads every
    /// counter.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts from float saturate")]
    pub fn tick(&self, per_second: f64) -> Option<u32> {
        for counter in self.rows.iter().flatten() {
            let now = counter.now.swap(0, Relaxed).saturating_mul(1000);
            let before = counter.rate.load(Relaxed);
            // Halfway to what the last second brought: a kind that pauses is not taken for new at once.
            counter.rate.store(before / 2 + now / 2 + (before & now & 1), Relaxed);
        }
        let mut rates: Vec<f64> = self.rows[0]
            .iter()
            .map(|c| f64::from(c.rate.load(Relaxed)) / 1000.0)
            .filter(|r| *r > 0.0)
            .collect();
        rates.sort_unstable_by(f64::total_cmp);
        self.level.store((level(&rates, per_second) * 1000.0) as u32, Relaxed);
        let (seen, admitted) = (self.seen.swap(0, Relaxed), self.admitted.swap(0, Relaxed));
        (seen > 0).then(|| (admitted.min(seen) * 1_000_000 / seen) as u32)
    }

    /// Off the request path: it reads every counter.
    pub fn covered(&self) -> Covered {
        let copied = |counter: &&Counter| counter.copied.load(Relaxed) > 0;
        let met = |counter: &&Counter| {
            counter.copied.load(Relaxed) + counter.rate.load(Relaxed) + counter.now.load(Relaxed) > 0
        };
        Covered {
            seen: self.rows[0].iter().filter(met).count(),
            covered: self.rows[0].iter().filter(copied).count(),
        }
    }
}

/// The level at which rates cut off there add up to the budget (max-min fairness). Rates in order.
fn level(rates: &[f64], budget: f64) -> f64 {
    let mut left = budget;
    for (index, rate) in rates.iter().enumerate() {
        let each = left / count(rates.len() - index);
        if *rate > each {
            return each;
        }
        left -= rate;
    }
    f64::INFINITY
}

fn count(kinds: usize) -> f64 {
    f64::from(u32::try_from(kinds).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_rare_kinds_leave_is_shared_by_the_common_ones() {
        assert!((level(&[1.0, 2.0, 50.0, 100.0], 23.0) - 10.0).abs() < 1e-9);
        assert!((level(&[30.0, 30.0], 20.0) - 10.0).abs() < 1e-9);
        assert!(level(&[1.0, 2.0], 20.0).is_infinite());
        assert!(level(&[], 1.0).is_infinite());
    }

    #[test]
    fn a_rare_kind_is_copied_whole_and_a_common_one_in_part() {
        let kinds = Kinds::new(1024);
        let (common, rare) = (7 << 32 | 1, 9 << 32 | 2);
        for _ in 0..20 {
            for (kind, times) in [(common, 1000), (rare, 2)] {
                (0..times).for_each(|_| assert!(kinds.meet(kind, 20.0) > 0));
            }
            kinds.copy(rare);
            kinds.tick(20.0);
        }
        assert_eq!(kinds.meet(rare, 20.0), 1_000_000);
        let part = kinds.meet(common, 20.0);
        assert!((15_000..=21_000).contains(&part), "18 of 1000: {part}");
        assert_eq!(kinds.covered(), Covered { seen: 2, covered: 1 });
    }
}
