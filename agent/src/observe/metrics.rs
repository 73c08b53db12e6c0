//! The metrics of the agent. Names are DESIGN's contract with dashboards; labels are bounded by the configuration and by
//! closed sets of reasons, never by what clients send.

use std::sync::Arc;

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, info::Info},
    registry::Registry,
};

use super::{
    Format, Mix,
    collect::{Books, Counted, Kind, Reading},
    format,
    istio::Istio,
};
use crate::record::{Accounts, Connection, Exchange, Observer, Outcome, ShadowOutcome};

/// Counts the records as they come in.
#[derive(Debug)]
pub struct Recorder {
    /// What connections speak, and what of them is not read.
    pub mix: Arc<Mix>,
    requests: Family<MatchedLabel, Counter>,
    /// Handles into `requests`: a request costs one addition.
    matched: Counter,
    unmatched: Counter,
    istio: Arc<Istio>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MatchedLabel {
    matched: &'static str,
}

impl Default for Recorder {
    fn default() -> Self {
        let requests = Family::<MatchedLabel, Counter>::default();
        Self {
            mix: Arc::default(),
            matched: requests.get_or_create_owned(&MatchedLabel { matched: "true" }),
            unmatched: requests.get_or_create_owned(&MatchedLabel { matched: "false" }),
            requests,
            istio: Arc::default(),
        }
    }
}

/// Every metric of this process, ready to be asked for.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    istio: Arc<Istio>,
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
        registry.register_collector(Box::new(Counted(Arc::clone(&recorder.mix))));
        registry.register(
            "umbra_requests",
            "Primary requests read to their end, and whether a rule matched them",
            recorder.requests.clone(),
        );
        registry.register_collector(Box::new(Books(accounts)));
        let istio = Arc::clone(&recorder.istio);
        let collapsed = Reading {
            name: "umbra_series_collapsed_requests",
            help: "Requests that istio_* metrics count without their source, or without any name, for want of room",
            kind: Kind::Counter,
            read: {
                let istio = Arc::clone(&istio);
                Box::new(move || vec![(Vec::new(), istio.collapsed())])
            },
        };
        for reading in readings.into_iter().chain([collapsed]) {
            registry.register_collector(Box::new(reading));
        }
        Self { registry, istio }
    }

    /// All metrics as text.
    pub fn render(&self, format: Format) -> String {
        let mut ours = String::new();
        // Writing to a String cannot fail.
        let _ = text::encode_registry(&mut ours, &self.registry);
        match format {
            Format::Classic => {
                let mut out = format::classic(&ours);
                self.istio.write(&mut out, format);
                out
            }
            Format::OpenMetrics => {
                self.istio.write(&mut ours, format);
                let _ = text::encode_eof(&mut ours);
                ours
            }
        }
    }
}

impl Observer for Recorder {
    fn connection(&self, connection: &Connection<'_>) {
        // The server's name is the client's choice, and so no label.
        self.mix.protocols.add(connection.protocol);
    }

    fn unread(&self, reason: &'static str) {
        self.mix.unread.add(reason);
    }

    fn unread_request(&self, reason: &'static str) {
        self.mix.unread_requests.add(reason);
    }

    fn exchange(&self, exchange: &Exchange) {
        match exchange.rule {
            Some(_) => self.matched.inc(),
            None => self.unmatched.inc(),
        };
        self.istio.primary(exchange);
    }

    fn shadow(&self, outcome: &ShadowOutcome) {
        if matches!(outcome.outcome, Outcome::Completed { .. }) {
            outcome.mirror.lasted(outcome.duration);
        }
        self.istio.copy(outcome);
    }
}
