//! From what was written to what it means: an immutable [`Snapshot`], compiled off the request path. Pure: no
//! runtime, no clock. Read `compile.rs` first.
//!
//! ```text
//! Service, ServiceEntry ──▶ services ───┐                       ┌─▶ conditions ─▶ matcher ─┐
//! DestinationRule ▶ traffic, subsets ────┼─▶ tables ─▶ rules ────┤                          ├─▶ table ─▶ ports ─▶ Snapshot
//! VirtualService ─▶ delegates ─▶ precedence    └─▶ idle         └─▶ mirrors ─▶ open ─▶ ways ┘
//! HTTPRoute, GRPCRoute ───▶ gateway ────┘                            alter ─▶ changes ─▲
//! ShadowPolicy ───────────▶ policies ─────────────────────────────────────────▶ policy ┘
//! ```
//!
//! Over several configurations ([`Compilation`]) all of this is kept and brought up to date by their `difference`: a service
//! is looked at again when it, a claim on its host or an answer that its rules got from `known` has changed (`ruled`,
//! `units`), a virtual service when its services are (`idle`); `served` then makes the ports anew where a service or its
//! rules differ.

mod alter;
mod changes;
mod clusters;
mod compilation;
mod compile;
mod conditions;
mod covers;
mod delegates;
mod difference;
mod doubt;
mod endpoint;
mod exports;
mod exposure;
mod findings;
mod gateway;
mod guests;
mod hosts;
mod idle;
mod index;
mod inventory;
mod known;
mod listing;
mod matcher;
mod mirrors;
mod nearness;
mod objects;
mod open;
mod paths;
mod policies;
mod policy;
mod ports;
mod precedence;
pub mod re2;
mod ruled;
mod rules;
mod served;
mod services;
mod settings;
mod share;
mod source;
mod subsets;
mod table;
mod tables;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;
mod units;
mod ways;
mod workloads;

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use foldhash::HashMap;
use http::HeaderName;

pub use changes::{Changes, HeaderChanges, Matched, Original, PathChange, Template, TemplateFault};
pub use compilation::Compilation;
pub use endpoint::{Answers, At, Endpoint};
pub use inventory::KnownRule;
pub use listing::{Mirroring, RuleRow, ServiceRules};
pub use nearness::{Here, Locality};
pub use policy::{
    Adaptive, BodyLimit, CopyFaults, CopyTrace, Coverage, DrawnFor, Enforced, HostChange, Marker, OnExceed,
    Policy, Redact, Sampling, StickyKey, Ttl,
};
pub use ports::{Owner, PortRules};
pub use settings::{
    Balance, Connections, Impossible, Keepalive, Outliers, Pings, Protocol, Security, Settings, Tls,
};
pub use share::Share;
pub use source::Source;
pub use trace::{Primary, Step, Trace};
pub use workloads::Workloads;

use index::Index;

use crate::{
    config::{Report, Resources},
    record::{Account, Accounts, RuleAccount, Serving, Workload},
};

/// Everything the request path asks about, compiled once.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Every endpoint some rule mirrors, and its neighbours that would otherwise fall to `any`.
    exact: Index,
    /// Endpoints at `0.0.0.0` or `::`, which stand for every local address.
    any: HashMap<u16, Arc<PortRules>>,
    markers: Arc<[HeaderName]>,
    clusters: Arc<[Arc<Cluster>]>,
    sources: Arc<source::Sources>,
}

/// One rule of the winning VirtualService or route, as it holds for requests that took one of its ways.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Of a table that mirrors nothing it is known to nobody else.
    pub account: Arc<RuleAccount>,
    /// `mirror` first, then `mirrors` in order; those of a share of zero left out.
    pub mirrors: Box<[Arc<Mirror>]>,
    /// Why there are none, though some are written.
    pub unmirrored: Option<Unmirrored>,
    pub action: Action,
    /// Where the rule sends its requests.
    pub destinations: Arc<[Destination]>,
}

/// What becomes of a rule's requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Action {
    #[default]
    Route,
    /// The client's proxy answers.
    Redirect,
    DirectResponse,
}

/// Why a rule that names mirrors does not mirror a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmirrored {
    /// It redirects or answers directly.
    Answered,
    /// Its `fault` aborts every request.
    Aborted,
    /// None of its destinations is known.
    NoPrimary,
    /// It sends its requests to other endpoints: this one came by another way.
    Elsewhere,
    /// A preflight that `corsPolicy` answers.
    Preflight,
}

/// One destination of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    pub host: Arc<str>,
    pub subset: Option<Arc<str>>,
    pub port: u16,
    /// As written; 100 for the only one.
    pub weight: i64,
}

/// One mirror of a rule: where copies go and how many of the rule's requests.
#[derive(Debug)]
pub struct Mirror {
    pub account: Arc<Account>,
    pub share: Share,
    /// The same one for the same destination, throughout a snapshot.
    pub cluster: Arc<Cluster>,
    /// What a copy's head differs by from the request's.
    pub changes: Option<Arc<Changes>>,
    /// The rule's own `timeout`; a policy's comes before it, AgentConfig's after it.
    pub timeout: Option<Duration>,
    /// What ShadowPolicies say of it.
    pub enforced: Option<Enforced>,
}

/// The endpoints a destination (host, subset, port) resolves to, and how they are spoken to.
#[derive(Debug)]
pub struct Cluster {
    /// Istio's name of it: `outbound|80|v2|my-app.default.svc.cluster.local`. With the settings the key of
    /// connections, limits and ejections.
    pub name: String,
    pub endpoints: Vec<Endpoint>,
    pub settings: Settings,
    pub workloads: Workloads,
}

/// What a captured port's rules say of a request.
#[derive(Debug)]
pub enum Decision<'a> {
    /// The first matching rule. Its mirrors may be none.
    Rule(&'a Arc<Rule>),
    /// No rule matched: Envoy would answer 404; nothing is mirrored.
    NoRule,
    /// Several services own the endpoint and this authority names none of them, or more than one.
    NoHost,
}

/// What to hand to the kernel: connections to this address (any local one when None) and port are captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CapturedPort {
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// `10.0.0.1:8080`, `*:8080`
impl fmt::Display for CapturedPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => SocketAddr::new(address, self.port).fmt(f),
            None => write!(f, "*:{}", self.port),
        }
    }
}

impl CapturedPort {
    fn of(socket: SocketAddr) -> Self {
        Self { address: Some(socket.ip()).filter(|ip| !ip.is_unspecified()), port: socket.port() }
    }
}

impl Unmirrored {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "the rule answers by itself",
            Self::Aborted => "the rule aborts every request",
            Self::NoPrimary => "none of the rule's destinations is known",
            Self::Elsewhere => "the rule sends its requests to other endpoints",
            Self::Preflight => "the rule's corsPolicy answers preflight requests",
        }
    }
}

impl Action {
    /// The field of the rule.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Redirect => "redirect",
            Self::DirectResponse => "directResponse",
        }
    }
}

impl Cluster {
    /// One without a policy.
    pub fn plain(name: &str, endpoints: impl IntoIterator<Item = SocketAddr>) -> Self {
        let endpoints = endpoints.into_iter().map(Endpoint::from).collect();
        let workloads = Workloads::default();
        Self { name: name.to_owned(), endpoints, settings: Settings::default(), workloads }
    }

    /// Host of its destination, in full.
    pub fn host(&self) -> &str {
        self.name.splitn(4, '|').nth(3).unwrap_or(&self.name)
    }

    /// What a copy is sent to: the workload at an address, or that of all endpoints while none is chosen. None when they
    /// differ and the address is none of theirs.
    pub fn served(&self, at: Option<SocketAddr>) -> Option<&Arc<Serving>> {
        self.workloads.served(self.host(), &self.endpoints, at)
    }
}

impl Destination {
    fn of(place: clusters::Place<'_>, weight: i64) -> Self {
        let subset = place.subset.map(|(name, _)| Arc::clone(name));
        Self { host: Arc::clone(place.host), subset, port: place.port, weight }
    }
}

impl Snapshot {
    /// Compiles resources. With errors in the report the snapshot must not be put in force.
    ///
    /// An account is opened for each mirror in force; a caller that discards the snapshot calls
    /// [`Accounts::forget_unused`].
    pub fn compile(resources: &Resources, accounts: &Accounts, report: &mut Report) -> Self {
        compilation::once(resources, accounts, report, compile::Keep::Captured)
    }

    /// The same with services for which nothing is mirrored, for a dry run.
    pub fn compile_everything(resources: &Resources, accounts: &Accounts, report: &mut Report) -> Self {
        compilation::once(resources, accounts, report, compile::Keep::Everything)
    }

    /// Every cluster that some mirror sends copies to, in the order of their names.
    pub fn clusters(&self) -> &[Arc<Cluster>] {
        &self.clusters
    }

    /// The rules of a dialled address; None when nothing there is mirrored.
    pub fn inbound(&self, destination: SocketAddr) -> Option<&Arc<PortRules>> {
        self.at(destination).filter(|rules| rules.mirrors())
    }

    /// The rules of a dialled address, as far as they were kept.
    pub fn at(&self, destination: SocketAddr) -> Option<&Arc<PortRules>> {
        self.exact
            .get(&(destination.ip().to_canonical(), destination.port()))
            .or_else(|| self.any.get(&destination.port()))
    }

    /// What to hand to the kernel: every captured port with the share of its connections that is needed at this moment.
    pub fn captures(&self) -> Vec<(CapturedPort, Share)> {
        self.ports().map(|(port, rules)| (port, rules.connections())).collect()
    }

    /// The workload at an address, where the configuration knows it.
    pub fn workload(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.sources.get(address).map(|source| &source.workload)
    }

    /// The rules of exactly this.
    fn rules_at(&self, at: CapturedPort) -> Option<&Arc<PortRules>> {
        match at.address {
            Some(address) => self.exact.get(&(address, at.port)),
            None => self.any.get(&at.port),
        }
    }

    /// Every address and port for which some rule mirrors, in order.
    pub fn captured_ports(&self) -> Vec<CapturedPort> {
        let mut ports: Vec<_> = self.ports().map(|(port, _)| port).collect();
        ports.sort_unstable();
        ports
    }

    /// The markers of all ShadowPolicies: another agent's copies may carry one that no mirror here has.
    pub fn markers(&self) -> &[HeaderName] {
        &self.markers
    }

    /// Every captured port with its rules, in no order.
    pub fn ports(&self) -> impl Iterator<Item = (CapturedPort, &Arc<PortRules>)> {
        self.all_ports().filter(|(_, rules)| rules.mirrors())
    }

    /// The same with those kept for a dry run.
    pub fn all_ports(&self) -> impl Iterator<Item = (CapturedPort, &Arc<PortRules>)> {
        let exact = self
            .exact
            .iter()
            .map(|(&(address, port), rules)| (CapturedPort { address: Some(address), port }, rules));
        let any = self.any.iter().map(|(&port, rules)| (CapturedPort { address: None, port }, rules));
        exact.chain(any)
    }
}
