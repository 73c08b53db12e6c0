//! A histogram in Istio's buckets, so that what umbra shows and what Istio shows compare in one query. Counting is two
//! additions and waits for nobody.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

/// How many buckets Istio has, and the one for what is above them all.
const COUNT: usize = 20;

/// Upper bounds of times in microseconds (Istio's are milliseconds); each belongs to its bucket.
const MICROS: [u64; COUNT - 1] = scaled(1000);
/// Of sizes in bytes. Istio's lowest bound is 0.5, for times and sizes alike: it holds what is empty.
const BYTES: [u64; COUNT - 1] = scaled(1);

/// `istio_stats.cc`, the default of `sidecar.istio.io/statsHistogramBuckets`, in halves.
const HALVES: [u64; COUNT - 1] = [
    1, 2, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 60_000, 120_000, 600_000,
    1_200_000, 3_600_000, 7_200_000,
];

const fn scaled(by: u64) -> [u64; COUNT - 1] {
    let mut bounds = HALVES;
    let mut index = 0;
    while index < bounds.len() {
        bounds[index] = bounds[index] * by / 2;
        index += 1;
    }
    bounds
}

/// Cumulative, of times or of sizes, never of both.
#[derive(Debug, Default)]
pub struct Buckets {
    counts: [AtomicU64; COUNT],
    sum: AtomicU64,
}

/// One reading of a [`Buckets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Each bucket on its own, the last for what is above every bound.
    pub each: [u64; COUNT],
    /// Microseconds or bytes.
    pub sum: u64,
}

impl Buckets {
    /// The upper bounds in milliseconds, or in bytes.
    pub fn bounds() -> [f64; COUNT] {
        let mut bounds = [f64::INFINITY; COUNT];
        for (bound, halves) in bounds.iter_mut().zip(HALVES) {
            *bound = u32::try_from(halves).map_or(f64::INFINITY, f64::from) / 2.0;
        }
        bounds
    }

    /// Returns the bucket's index.
    pub fn count_time(&self, time: Duration) -> usize {
        self.count(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), &MICROS)
    }

    /// Returns the bucket's index.
    pub fn count_bytes(&self, bytes: u64) -> usize {
        self.count(bytes, &BYTES)
    }

    fn count(&self, value: u64, bounds: &[u64; COUNT - 1]) -> usize {
        let bucket = bounds.partition_point(|bound| *bound < value);
        self.counts[bucket].fetch_add(1, Relaxed);
        self.sum.fetch_add(value, Relaxed);
        bucket
    }

    pub fn read(&self) -> Counts {
        Counts { each: self.counts.each_ref().map(|count| count.load(Relaxed)), sum: self.sum.load(Relaxed) }
    }
}

impl Counts {
    pub fn total(&self) -> u64 {
        self.each.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_bucket() {
        let (times, sizes) = (Buckets::default(), Buckets::default());
        for (micros, bucket) in
            [(0, 0), (500, 0), (501, 1), (1000, 1), (1001, 2), (250_000, 7), (250_001, 8), (u64::MAX, 19)]
        {
            assert_eq!(times.count_time(Duration::from_micros(micros)), bucket, "{micros} µs");
        }
        for (bytes, bucket) in [(0, 0), (1, 1), (2, 2), (5, 2), (3_600_000, 18), (3_600_001, 19)] {
            assert_eq!(sizes.count_bytes(bytes), bucket, "{bytes} bytes");
        }
        assert_eq!((sizes.read().total(), sizes.read().sum), (6, 7_200_009));
        assert_eq!(Buckets::bounds()[..5], [0.5, 1.0, 5.0, 10.0, 25.0]);
        assert_eq!(MICROS[17..], [1_800_000_000, 3_600_000_000]);
    }
}
