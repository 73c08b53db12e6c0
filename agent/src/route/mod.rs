//! From what was written to what it means: an immutable [`Snapshot`], compiled off the request path. Pure: no
//! runtime, no clock. Read `compile.rs` first.
//!
//! ```text
//! ServiceEntry ────▶ services ───┐                       ┌─▶ conditions ─▶ matcher ─┐
//! DestinationRule ─▶ subsets ────┼─▶ tables ─▶ rules ────┤                          ├─▶ table ─▶ ports ─▶ Snapshot
//! VirtualService ──▶ precedence ─┘      └─▶ idle         └─▶ mirrors ──▶ clusters ──┘
//! ```

mod clusters;
mod compile;
mod conditions;
mod exports;
mod findings;
mod hosts;
mod idle;
mod matcher;
mod mirrors;
mod ports;
mod precedence;
mod re2;
mod rules;
mod services;
mod share;
mod subsets;
mod table;
mod tables;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

pub use ports::{Owner, PortRules};
pub use share::Share;

use crate::{
    config::{Report, Resources},
    record::{Account, Accounts, RuleKey},
};

/// Everything the request path asks about, compiled once.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Every endpoint some rule mirrors, and its neighbours that would otherwise fall to `any`.
    exact: HashMap<(IpAddr, u16), Arc<PortRules>>,
    /// Endpoints at `0.0.0.0` or `::`, which stand for every local address.
    any: HashMap<u16, Arc<PortRules>>,
}

/// One rule of the winning VirtualService.
#[derive(Debug)]
pub struct Rule {
    pub key: Arc<RuleKey>,
    /// `mirror` first, then `mirrors` in order; those of a share of zero left out.
    pub mirrors: Vec<Arc<Mirror>>,
}

/// One mirror of a rule: where copies go and how many of the rule's requests.
#[derive(Debug)]
pub struct Mirror {
    pub account: Arc<Account>,
    pub share: Share,
    /// The same one for the same destination, throughout a snapshot.
    pub cluster: Arc<Cluster>,
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
    /// Several services own the endpoint and this authority names none of them, or more than one.
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
    ///
    /// An account is opened for each mirror in force; a caller that discards the snapshot calls
    /// [`Accounts::forget_unused`].
    pub fn compile(resources: &Resources, accounts: &Accounts, report: &mut Report) -> Self {
        compile::compile(resources, accounts, report)
    }

    /// The rules of a dialled address; None when nothing there is mirrored.
    pub fn inbound(&self, destination: SocketAddr) -> Option<&Arc<PortRules>> {
        self.exact
            .get(&(destination.ip().to_canonical(), destination.port()))
            .or_else(|| self.any.get(&destination.port()))
            .filter(|rules| rules.mirrors())
    }

    /// Every address and port for which some rule mirrors, in order.
    pub fn captured_ports(&self) -> Vec<CapturedPort> {
        let mut ports: Vec<_> = self.ports().map(|(port, _)| port).collect();
        ports.sort_unstable();
        ports
    }

    /// Every captured port with its rules, in no order.
    pub fn ports(&self) -> impl Iterator<Item = (CapturedPort, &Arc<PortRules>)> {
        let exact = self
            .exact
            .iter()
            .map(|(&(address, port), rules)| (CapturedPort { address: Some(address), port }, rules));
        let any = self.any.iter().map(|(&port, rules)| (CapturedPort { address: None, port }, rules));
        exact.chain(any).filter(|(_, rules)| rules.mirrors())
    }
}
