//! What a ShadowPolicy says of a mirror, made ready to be carried out: names parsed, units worked out, several policies
//! made into one. Immutable; what is used up of it is in the mirror's [`Standing`](crate::record::Standing).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::{HeaderName, HeaderValue};

use super::{HeaderChanges, Mirror, Share};
pub use crate::config::shadow_policy::{CopyTrace, OnExceed, StickyKey};
use crate::record::{Kinds, Pace, Since};

/// One for all rules that the same policies hold for. Every part is absent unless written.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// The policies it was made of, `namespace/name` each, the most specific first.
    pub of: Vec<Arc<str>>,
    pub marker: Option<Marker>,
    pub host: Option<HostChange>,
    /// Carried out after the rule's own.
    pub headers: Option<HeaderChanges>,
    pub redact: Option<Redact>,
    /// Only requests of these are copied; empty: of any.
    pub methods: Vec<String>,
    /// Requests for another protocol are copied, as plain requests.
    pub upgrades: Option<bool>,
    pub trace: Option<CopyTrace>,
    /// From the end of the primary request, of a gRPC call from the end of its answer, to the end of the shadow's response.
    pub timeout: Option<Duration>,
    pub body: Option<BodyLimit>,
    pub rate: Option<Pace>,
    pub concurrency: Option<u32>,
    pub sampling: Option<Sampling>,
    pub faults: Option<CopyFaults>,
    pub ttl: Option<Ttl>,
}

/// Either part may be left to AgentConfig.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Marker {
    pub header: Option<HeaderName>,
    pub value: Option<HeaderValue>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum HostChange {
    /// Goes between name and port. Empty: the host is kept.
    Suffix(Box<str>),
    Authority(HeaderValue),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Redact {
    pub headers: Vec<HeaderName>,
    /// Decoded names.
    pub query: Vec<Box<str>>,
    /// None: what is listed is removed. Needs no escaping in a URL.
    pub replacement: Option<HeaderValue>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyLimit {
    /// Bytes.
    pub max: u64,
    pub on_exceed: OnExceed,
}

#[derive(Clone, Debug, Default)]
pub struct Sampling {
    pub drawn_for: DrawnFor,
    pub adaptive: Option<Adaptive>,
    pub coverage: Option<Coverage>,
}

/// What is within the share or not as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DrawnFor {
    #[default]
    Request,
    /// Everything with the same key.
    Key(StickyKey),
    Connection,
}

/// When the share is lowered, and between which bounds it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adaptive {
    /// Of the rule's share, 0 to 1.
    pub floor: f64,
    /// Of the rule's share, 0 to 1, not below the floor.
    pub ceiling: f64,
    pub max_latency: Option<Duration>,
    /// Failed of all that ended, 0 to 1.
    pub max_errors: Option<f64>,
    /// PSI `some avg10`, in percent.
    pub max_cpu_pressure: Option<f64>,
}

/// A budget of copies, and how many kinds of requests share it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coverage {
    pub copies_per_second: f64,
    pub kinds: u32,
}

/// Faults of copies, each for its share of them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CopyFaults {
    pub delay: Option<(Share, Duration)>,
    pub abort: Option<Share>,
}

#[derive(Clone, Debug)]
pub struct Ttl {
    pub lasts: Duration,
    pub since: Arc<Since>,
    /// `metadata.creationTimestamp`, in seconds since 1970: counts from there, over restarts too.
    pub created: Option<i64>,
}

/// A policy and what it has to remember of one mirror besides numbers.
#[derive(Clone, Debug)]
pub struct Enforced {
    pub policy: Arc<Policy>,
    /// Of `sampling.coverage`.
    pub kinds: Option<Arc<Kinds>>,
}

impl Mirror {
    /// What ShadowPolicies say of it, if any do.
    pub fn policy(&self) -> Option<&Arc<Policy>> {
        self.enforced.as_ref().map(|enforced| &enforced.policy)
    }

    /// Whether its policy's `ttl` is over: no more copies are made.
    pub fn is_expired(&self) -> bool {
        self.policy().and_then(|policy| policy.ttl.as_ref()).is_some_and(|ttl| ttl.is_over(Instant::now()))
    }

    pub(crate) fn sampling(&self) -> Option<&Sampling> {
        self.policy()?.sampling.as_ref()
    }

    /// What its share is a share of.
    pub fn drawn_for(&self) -> &DrawnFor {
        self.sampling().map_or(&DrawnFor::Request, |sampling| &sampling.drawn_for)
    }

    /// Its share as `adaptive` has it at this moment.
    pub(crate) fn share_now(&self) -> Share {
        match self.sampling() {
            Some(Sampling { adaptive: Some(_), .. }) => self.share.part(self.account.standing.in_force()),
            _ => self.share,
        }
    }

    /// The share of connections that it may copy requests of.
    pub(crate) fn connections(&self) -> Share {
        match self.drawn_for() {
            DrawnFor::Connection => self.share_now(),
            DrawnFor::Request | DrawnFor::Key(_) => Share::ALL,
        }
    }

    /// The kinds of requests it tells apart, where it does.
    pub fn kinds(&self) -> Option<&Arc<Kinds>> {
        self.enforced.as_ref()?.kinds.as_ref()
    }
}

impl DrawnFor {
    /// In listings.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Key(_) => "key",
            Self::Connection => "connection",
        }
    }
}

impl Policy {
    pub fn allows(&self, method: &str) -> bool {
        self.methods.is_empty() || self.methods.iter().any(|allowed| allowed == method)
    }

    /// Whether copies may carry this header of their requests.
    pub fn lets_pass(&self, header: &HeaderName) -> bool {
        let redacted = self.redact.as_ref().is_some_and(|redact| redact.headers.contains(header));
        let removed = self.headers.as_ref().is_some_and(|changes| changes.remove.contains(header));
        let replaced =
            self.headers.as_ref().is_some_and(|changes| changes.set.iter().any(|(name, _)| name == header));
        !redacted && !removed && !replaced
    }
}

impl Ttl {
    pub fn is_over(&self, now: Instant) -> bool {
        self.since.age(now) >= self.lasts
    }
}
