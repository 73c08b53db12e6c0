//! From what was written to what it means: an immutable [`Snapshot`], compiled off the request path. Pure: no
//! runtime, no clock.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    config::{Report, Resources},
    message::RequestHead,
    record::{Account, Accounts, RuleKey},
};

/// Everything the request path asks about, compiled once.
#[derive(Debug, Default)]
pub struct Snapshot {}

/// The rules of one captured address and port.
#[derive(Debug)]
pub struct PortRules {}

/// One rule of the winning VirtualService.
#[derive(Debug)]
pub struct Rule {
    pub key: Arc<RuleKey>,
    pub mirrors: Vec<Arc<Mirror>>,
}

/// One mirror of a rule: where copies go and how many of the rule's requests.
#[derive(Debug)]
pub struct Mirror {
    pub account: Arc<Account>,
    pub share: Share,
    pub cluster: Arc<Cluster>,
}

/// A share of requests, per million (Envoy's `FractionalPercent` with denominator MILLION).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(pub u32);

impl Share {
    /// One draw per request serves all its mirrors, so a request within a smaller share is within every larger one.
    pub fn admits(self, draw: u64) -> bool {
        draw % 1_000_000 < u64::from(self.0)
    }
}

/// The endpoints a destination (host, subset, port) resolves to.
#[derive(Debug)]
pub struct Cluster {
    /// Istio's name of it: `outbound|80|v2|my-app.default.svc.cluster.local`. The key of connections and limits.
    pub name: String,
    pub endpoints: Vec<SocketAddr>,
}

/// What a captured port's rules say of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// The first matching rule. Its mirrors may be none.
    Rule(&'a Arc<Rule>),
    /// No rule matched: Envoy would answer 404; nothing is mirrored.
    NoRule,
    /// Several services own the endpoint and none has this authority.
    NoHost,
}

/// What to hand to the kernel: connections to this address (any local one when None) and port are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapturedPort {
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl Snapshot {
    /// Compiles resources. With errors in the report the snapshot must not be put in force.
    pub fn compile(resources: &Resources, accounts: &Accounts, report: &mut Report) -> Self {
        let _ = (resources, accounts, report);
        Self {}
    }

    /// The rules of a dialled address; None when nothing there is mirrored.
    pub fn inbound(&self, destination: SocketAddr) -> Option<&Arc<PortRules>> {
        let _ = destination;
        None
    }

    /// Every address and port for which some rule mirrors.
    pub fn captured_ports(&self) -> Vec<CapturedPort> {
        Vec::new()
    }
}

impl PortRules {
    pub fn decide(&self, head: &RequestHead<'_>) -> Decision<'_> {
        let _ = head;
        Decision::NoRule
    }
}
