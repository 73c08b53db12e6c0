//! What requests and their answers came to: of one rule's primaries, or of one mirror's copies, so that the two compare.
//! Cumulative; whoever shows rates takes the difference of two readings.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use once_cell::race::OnceBox;

use super::{Distribution, GrpcStatus, Latency, RuleKey};

/// How many classes of status there are: none, and 1xx to 5xx.
const CLASSES: usize = 6;

#[derive(Debug, Default)]
pub struct Traffic {
    classes: [AtomicU64; CLASSES],
    failures: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    latency: Latency,
}

/// One request with its answer, as far as it is counted.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// 0 when there was none.
    pub status: u16,
    /// Whether the server is at fault.
    pub failed: bool,
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// None when the answer did not become whole.
    pub took: Option<Duration>,
}

/// One reading of a [`Traffic`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// By class of status, in the order of [`Totals::CLASSES`].
    pub classes: [u64; CLASSES],
    /// Those of all classes that are the server's fault.
    pub failures: u64,
    pub request_bytes: u64,
    pub response_bytes: u64,
    pub latency: Distribution,
}

/// The books of one rule's primary requests. There are rules by the ten thousand, and most meet no request.
#[derive(Debug)]
pub struct RuleAccount {
    pub key: Arc<RuleKey>,
    traffic: OnceBox<Traffic>,
}

impl Answer {
    /// Whether an answer says that the server failed: 5xx, or a status of gRPC that Envoy takes for it.
    pub fn is_failure(status: u16, grpc_status: Option<GrpcStatus>) -> bool {
        grpc_status.map_or(status, GrpcStatus::as_http) >= 500
    }
}

impl Traffic {
    pub fn count(&self, answer: &Answer) {
        let class = usize::from(answer.status / 100);
        self.classes[if class < CLASSES { class } else { 0 }].fetch_add(1, Relaxed);
        if answer.failed {
            self.failures.fetch_add(1, Relaxed);
        }
        self.request_bytes.fetch_add(answer.request_bytes, Relaxed);
        self.response_bytes.fetch_add(answer.response_bytes, Relaxed);
        answer.took.into_iter().for_each(|took| self.latency.count(took));
    }

    pub fn read(&self) -> Totals {
        Totals {
            classes: self.classes.each_ref().map(|count| count.load(Relaxed)),
            failures: self.failures.load(Relaxed),
            request_bytes: self.request_bytes.load(Relaxed),
            response_bytes: self.response_bytes.load(Relaxed),
            latency: self.latency.read(),
        }
    }
}

impl Totals {
    /// The names of the classes.
    pub const CLASSES: [&'static str; CLASSES] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

    pub fn requests(&self) -> u64 {
        self.classes.iter().sum()
    }
}

impl RuleAccount {
    pub fn new(key: Arc<RuleKey>) -> Self {
        Self { key, traffic: OnceBox::new() }
    }

    pub fn count(&self, answer: &Answer) {
        self.traffic.get_or_init(Box::default).count(answer);
    }

    /// None before the first request.
    pub fn traffic(&self) -> Option<Totals> {
        self.traffic.get().map(Traffic::read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_counted_by_their_class() {
        let key = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() };
        let account = RuleAccount::new(Arc::new(key));
        assert_eq!(account.traffic(), None);
        for (status, grpc) in
            [(200, None), (204, None), (503, None), (0, None), (999, None), (200, Some("14"))]
        {
            let failed =
                Answer::is_failure(status, grpc.map(|text: &str| GrpcStatus::parse(text.as_bytes())));
            let took = (status > 0).then_some(Duration::from_millis(3));
            account.count(&Answer { status, failed, request_bytes: 10, response_bytes: 20, took });
        }
        let totals = account.traffic().unwrap();
        assert_eq!(totals.classes, [2, 0, 3, 0, 0, 1]);
        assert_eq!((totals.requests(), totals.failures), (6, 3), "999 is no answer a server should give");
        assert_eq!((totals.request_bytes, totals.response_bytes, totals.latency.count()), (60, 120, 5));
    }
}
