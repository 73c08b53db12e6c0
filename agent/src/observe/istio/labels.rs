//! What tells Istio's series apart, and how it is written: names and fallbacks as in `istio_stats.cc`.

use std::{fmt::Write as _, sync::Arc};

use super::verdict::Verdict;
use crate::record::{Serving, Workload};

/// Who tells of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reporter {
    /// The app's side: primaries.
    Destination,
    /// The side that sends: copies.
    Source,
}

/// One set of labels. Equal by what it says, not by where it lies: a reload makes the same workloads anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) reporter: Reporter,
    pub(super) source: Option<Arc<Workload>>,
    pub(super) served: Option<Arc<Serving>>,
    pub(super) verdict: Verdict,
}

impl Key {
    /// `name="value",…` as both text formats have it.
    pub(super) fn to_text(&self) -> String {
        let mut labels = Labels(String::with_capacity(1024));
        let reporter = match self.reporter {
            Reporter::Destination => "destination",
            Reporter::Source => "source",
        };
        labels.add("reporter", "", reporter);
        labels.party("source_", self.source.as_deref());
        labels.party("destination_", self.served.as_ref().map(|served| &*served.workload));
        let served = self.served.as_deref();
        labels.known("destination_service", "", served.map(|served| &*served.service));
        labels.known("destination_service", "_name", served.map(Serving::name));
        labels.known("destination_service", "_namespace", served.map(|served| &*served.namespace));
        labels.add("request_protocol", "", if self.verdict.is_grpc { "grpc" } else { "http" });
        labels.add("response_code", "", &self.verdict.code.to_string());
        labels.add("grpc_response_status", "", self.verdict.grpc_status.map_or("", |status| status.as_str()));
        labels.add("response_flags", "", self.verdict.flags.as_str());
        // As a sidecar says it of plain text, and of what it sends itself. Mesh TLS never ends in the agent.
        let security = match self.reporter {
            Reporter::Destination => "none",
            Reporter::Source => "unknown",
        };
        labels.add("connection_security_policy", "", security);
        labels.0.shrink_to_fit();
        labels.0
    }
}

struct Labels(String);

impl Labels {
    fn party(&mut self, role: &str, workload: Option<&Workload>) {
        let part = |part: fn(&Workload) -> Option<&str>| workload.and_then(part);
        let namespace = part(|it| Some(&it.namespace)).filter(|namespace| !namespace.is_empty());
        self.known(role, "workload", part(|it| it.name.as_deref()));
        self.known(role, "workload_namespace", namespace);
        self.known(role, "principal", None);
        self.known(role, "app", part(|it| it.app.as_deref()));
        self.known(role, "version", part(|it| it.version.as_deref()));
        self.known(role, "cluster", None);
        self.known(role, "canonical_service", part(|it| it.canonical_name.as_deref()));
        self.add(role, "canonical_revision", part(|it| it.canonical_revision.as_deref()).unwrap_or("latest"));
    }

    fn known(&mut self, name: &str, rest: &str, value: Option<&str>) {
        self.add(name, rest, value.unwrap_or("unknown"));
    }

    fn add(&mut self, name: &str, rest: &str, value: &str) {
        let Self(text) = self;
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{name}{rest}=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
    }
}
