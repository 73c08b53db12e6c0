//! p95, error rate and throughput of one version: by the usual queries, and by those who asked and answered.

use std::time::Duration;

use crate::program::Prometheus;

/// Istio's, in milliseconds.
const BOUNDS: [f64; 13] = [0.5, 1., 5., 10., 25., 50., 100., 250., 500., 1_000., 2_500., 5_000., 10_000.];

/// One request, as one side saw it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) took: Duration,
    pub(crate) failed: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Figures {
    /// Milliseconds.
    pub(crate) p95: f64,
    /// Of all requests.
    pub(crate) error_rate: f64,
    /// Requests a second.
    pub(crate) throughput: f64,
}

impl Figures {
    /// Between two moments, by the counters' values at both: `rate` and `increase` guess what lies beyond the outermost
    /// scrapes, which over a window as short as a test's is more than two percent.
    pub(crate) fn of(prometheus: &Prometheus, version: &str, (from, to): (f64, f64)) -> Self {
        let risen = |by: &str, metric: &str, more: &str| {
            let series = format!(
                "{metric}{{destination_service=\"my-app.default.svc.cluster.local\",\
                                  destination_version=\"{version}\"{more}}}"
            );
            // A code that had not come before has no series then.
            let before = format!("(sum {by} ({series} @ {from:.3}) or 0 * sum {by} ({series} @ {to:.3}))");
            format!("(sum {by} ({series} @ {to:.3}) - {before})")
        };
        let all = risen("", "istio_requests_total", "");
        let failed = risen("", "istio_requests_total", ",response_code=~\"5..\"");
        let buckets = risen("by (le)", "istio_request_duration_milliseconds_bucket", "");
        Self {
            p95: prometheus.value(&format!("histogram_quantile(0.95, {buckets})")),
            error_rate: prometheus.value(&format!("{failed} / {all}")),
            throughput: prometheus.value(&all) / (to - from),
        }
    }
}

/// What one side counted.
pub(crate) struct Side {
    /// Of each bucket on its own, the last for what is above all bounds.
    buckets: [u32; BOUNDS.len() + 1],
    failed: u32,
}

impl Side {
    pub(crate) fn of(answers: &[Answer]) -> Self {
        let mut side = Self { buckets: [0; _], failed: 0 };
        for answer in answers {
            let millis = answer.took.as_secs_f64() * 1000.0;
            side.buckets[BOUNDS.partition_point(|bound| *bound < millis)] += 1;
            side.failed += u32::from(answer.failed);
        }
        side
    }

    pub(crate) fn figures(&self, seconds: f64) -> Figures {
        let all = f64::from(self.buckets.iter().sum::<u32>());
        Figures { p95: self.p95(all), error_rate: f64::from(self.failed) / all, throughput: all / seconds }
    }

    /// As `histogram_quantile` has it: evenly spread within its bucket.
    fn p95(&self, all: f64) -> f64 {
        let (rank, mut below) = (0.95 * all, 0.0);
        for (index, count) in self.buckets.iter().map(|count| f64::from(*count)).enumerate() {
            if below + count >= rank {
                let lower = if index == 0 { 0.0 } else { BOUNDS[index - 1] };
                return lower + (BOUNDS[index] - lower) * (rank - below) / count;
            }
            below += count;
        }
        panic!("no answer at all")
    }
}
