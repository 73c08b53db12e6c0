//! The metrics of the agent, in OpenMetrics text. Names are DESIGN's contract with dashboards; labels are bounded by
//! the configuration and by closed sets of reasons, never by what clients send.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, histogram::Histogram, info::Info},
    registry::Registry,
};

use super::collect::{Books, Reading};
use crate::record::{Accounts, Connection, Exchange, Observer, Outcome, ShadowOutcome};

/// Istio's buckets, so that primary and shadow compare in one query.
const MILLISECONDS: [f64; 19] = [
    0.5, 1., 5., 10., 25., 50., 100., 250., 500., 1_000., 2_500., 5_000., 10_000., 30_000., 60_000.,
    300_000., 600_000., 1_800_000., 3_600_000.,
];

/// Counts the records as they come in.
#[derive(Debug)]
pub struct Recorder {
    connections: Family<ConnectionLabels, Counter>,
    unread: Family<ReasonLabel, Counter>,
    unread_requests: Family<ReasonLabel, Counter>,
    requests: Family<MatchedLabel, Counter>,
    /// Handles into `requests`: a request costs one addition.
    matched: Counter,
    unmatched: Counter,
    shadow_duration: Family<MirrorLabels, Histogram>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConnectionLabels {
    direction: &'static str,
    engine: &'static str,
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MatchedLabel {
    matched: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MirrorLabels {
    virtual_service: String,
    rule: String,
    mirror: String,
}

impl Default for Recorder {
    fn default() -> Self {
        let requests = Family::<MatchedLabel, Counter>::default();
        Self {
            connections: Family::default(),
            unread: Family::default(),
            unread_requests: Family::default(),
            matched: requests.get_or_create_owned(&MatchedLabel { matched: "true" }),
            unmatched: requests.get_or_create_owned(&MatchedLabel { matched: "false" }),
            requests,
            shadow_duration: Family::new_with_constructor(|| Histogram::new(MILLISECONDS)),
        }
    }
}

/// Every metric of this process, ready to be asked for.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// What `recorder` counts, the books of the mirrors, and `readings` of values that other parts keep.
    pub fn new(recorder: &Recorder, accounts: Arc<Accounts>, readings: Vec<Reading>) -> Self {
        let mut registry = Registry::default();
        registry.register(
            "umbra_build",
            "The agent's version",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register(
            "umbra_connections",
            "Captured connections, counted when their protocol is known",
            recorder.connections.clone(),
        );
        registry.register(
            "umbra_unread_connections",
            "Connections relayed on without being read further, by reason",
            recorder.unread.clone(),
        );
        registry.register(
            "umbra_unread_requests",
            "Requests not read, or not to their end, while others of their HTTP/2 connection are, by reason",
            recorder.unread_requests.clone(),
        );
        registry.register(
            "umbra_requests",
            "Primary requests read to their end, and whether a rule matched them",
            recorder.requests.clone(),
        );
        registry.register(
            "umbra_shadow_duration_milliseconds",
            "From the offer of a copy to the end of the shadow's response",
            recorder.shadow_duration.clone(),
        );
        registry.register_collector(Box::new(Books(accounts)));
        for reading in readings {
            registry.register_collector(Box::new(reading));
        }
        Self { registry }
    }

    /// All metrics as OpenMetrics text 1.0.
    pub fn render(&self) -> String {
        let mut out = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }
}

impl Observer for Recorder {
    fn connection(&self, connection: &Connection<'_>) {
        // The server's name is the client's choice, and so no label.
        let labels =
            ConnectionLabels { direction: "inbound", engine: "relay", protocol: connection.protocol };
        self.connections.get_or_create(&labels).inc();
    }

    fn unread(&self, reason: &'static str) {
        self.unread.get_or_create(&ReasonLabel { reason }).inc();
    }

    fn unread_request(&self, reason: &'static str) {
        self.unread_requests.get_or_create(&ReasonLabel { reason }).inc();
    }

    fn exchange(&self, exchange: &Exchange) {
        match exchange.rule {
            Some(_) => self.matched.inc(),
            None => self.unmatched.inc(),
        };
    }

    fn shadow(&self, outcome: &ShadowOutcome) {
        if !matches!(outcome.outcome, Outcome::Completed { .. }) {
            return;
        }
        let key = &outcome.mirror.key;
        let labels = MirrorLabels {
            virtual_service: key.rule.virtual_service.to_string(),
            rule: key.rule.rule.clone(),
            mirror: key.mirror.to_string(),
        };
        self.shadow_duration.get_or_create(&labels).observe(outcome.duration.as_secs_f64() * 1000.);
    }
}
