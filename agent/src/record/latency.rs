//! How long requests took: a log-linear histogram of fixed size. Counting waits for nobody, and takes memory only when a
//! time of a new magnitude comes: there are rules by the ten thousand, and the times of each lie close together.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use once_cell::race::OnceBox;
use serde::{Deserialize, Serialize};

/// Of each power of two: a time is known to an eighth of it.
const PARTS: usize = 8;
/// The first holds each microsecond below 8, number n those from 2^(n+2) to 2^(n+3); what is longer than the last (71
/// minutes) counts there.
const ROWS: usize = 30;

/// Cumulative, as counters are: rates and percentiles come from the difference of two readings.
#[derive(Debug, Default)]
pub struct Latency {
    rows: [OnceBox<Row>; ROWS],
}

#[derive(Debug, Default)]
struct Row([AtomicU64; PARTS]);

/// One reading: `[[upperMicros, count], …]` in order, cells without a count left out. A cell holds the times below its
/// upper bound that are not below the one before it in the full scale, an eighth of a power of two away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Distribution(Vec<(u64, u64)>);

impl Latency {
    pub fn count(&self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        let (row, part) = place(micros);
        self.rows[row].get_or_init(Box::default).0[part].fetch_add(1, Relaxed);
    }

    pub fn read(&self) -> Distribution {
        let rows = self.rows.iter().enumerate().filter_map(|(number, row)| Some((number, row.get()?)));
        let cells = rows.flat_map(|(number, row)| {
            row.0.iter().enumerate().map(move |(part, cell)| (upper(number, part), cell.load(Relaxed)))
        });
        Distribution(cells.filter(|(_, count)| *count > 0).collect())
    }
}

fn place(micros: u32) -> (usize, usize) {
    let below = |bits: u32| usize::try_from(bits).unwrap_or(0) % PARTS;
    match micros.checked_ilog2() {
        Some(power @ 3..) => (usize::try_from(power - 2).unwrap_or(0), below(micros >> (power - 3))),
        _ => (0, below(micros)),
    }
}

fn upper(row: usize, part: usize) -> u64 {
    match row {
        0 => part as u64 + 1,
        _ => ((PARTS + part + 1) as u64) << (row - 1),
    }
}

/// How wide the cell below this bound is.
fn width(upper: u64) -> u64 {
    match (upper - 1).checked_ilog2() {
        Some(power @ 3..) => 1 << (power - 3),
        _ => 1,
    }
}

impl Distribution {
    /// Upper bounds in microseconds, each with its count.
    pub fn cells(&self) -> &[(u64, u64)] {
        &self.0
    }

    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// What came after an earlier reading of the same histogram.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let known = |upper: u64| {
            let at = before.0.binary_search_by_key(&upper, |(upper, _)| *upper).ok()?;
            Some(before.0[at].1)
        };
        let cells =
            self.0.iter().map(|&(upper, count)| (upper, count - known(upper).unwrap_or(0).min(count)));
        Self(cells.filter(|(_, count)| *count > 0).collect())
    }

    /// The time in microseconds that a part of the requests, 0.0 to 1.0, stayed within: as if those of a cell lay evenly
    /// in it. None without requests.
    #[allow(clippy::cast_precision_loss, reason = "a time for a person")]
    pub fn quantile(&self, part: f64) -> Option<f64> {
        let rank = part.clamp(0.0, 1.0) * self.count() as f64;
        let mut before = 0;
        for &(upper, count) in &self.0 {
            if (before + count) as f64 >= rank {
                let within = ((rank - before as f64) / count as f64).clamp(0.0, 1.0);
                return Some((upper - width(upper)) as f64 + width(upper) as f64 * within);
            }
            before += count;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cell_of(micros: u64) -> (u64, u64) {
        let latency = Latency::default();
        latency.count(Duration::from_micros(micros));
        latency.read().0[0]
    }

    #[test]
    fn cells_follow_one_another_without_a_gap() {
        let mut last = 0;
        for (row, part) in (0..ROWS).flat_map(|row| (0..PARTS).map(move |part| (row, part))) {
            let upper = upper(row, part);
            assert_eq!(upper - width(upper), last, "{row} {part}");
            last = upper;
        }
        assert_eq!(last, 1 << 32);
        assert_eq!(cell_of(u64::MAX / 2_000_000), (1 << 32, 1), "what is too long is not lost");
    }

    #[test]
    fn a_percentile_is_that_of_what_came_between_two_readings() {
        let latency = Latency::default();
        (0..50).for_each(|_| latency.count(Duration::from_secs(9)));
        let before = latency.read();
        (1..=1000).for_each(|ms| latency.count(Duration::from_millis(ms)));
        let since = latency.read().since(&before);
        assert_eq!(since.count(), 1000);
        for part in [0.5, 0.95, 0.99] {
            let found = since.quantile(part).unwrap() / 1000.0;
            assert!((found / (part * 1000.0) - 1.0).abs() < 0.07, "{part}: {found}");
        }
        assert_eq!(before.since(&before).quantile(0.5), None);
        let text = serde_json::to_string(&Distribution(vec![(9, 1), (18, 2)])).unwrap();
        assert_eq!(text, "[[9,1],[18,2]]");
    }

    proptest! {
        #[test]
        fn a_time_is_known_to_an_eighth(micros in 0u64..u64::from(u32::MAX)) {
            let (upper, count) = cell_of(micros);
            prop_assert!(count == 1 && micros < upper && upper - width(upper) <= micros);
            prop_assert!(width(upper) <= (micros / 8).max(1));
        }
    }
}
