//! What all workers of the plane know of a cluster: its endpoints, how busy and how healthy each is, and its limits.
//! Kept by name and settings, so that it outlives a reload that changes neither.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use fastrand::Rng;
use tokio::time::Instant;

use super::{
    balance::{Hosts, Listed},
    limit::Limit,
    names::{Names, State},
    outlier::{Detector, Sign},
    pool::Limits,
    tls::TlsClient,
};
use crate::{
    record::{DropReason, FailReason, Outcome},
    route::{Answers, At, Cluster, Security, Settings},
};

/// A cluster that no snapshot has any more is forgotten after this time without a copy. A reload takes much less.
const KEPT: Duration = Duration::from_secs(60);

/// Every cluster that copies went to. Bounded by the configurations of the last minute.
pub struct Upstreams {
    pub(super) limits: Limits,
    pub(super) workers: usize,
    pub(super) names: Arc<Names>,
    by_name: Mutex<HashMap<String, Vec<Arc<Upstream>>>>,
}

pub(super) struct Upstream {
    pub(super) settings: Settings,
    /// Copies that wait for a connection.
    pub(super) pending: Limit,
    /// Copies that have one.
    pub(super) requests: Limit,
    /// None: unencrypted.
    pub(super) tls: Option<TlsClient>,
    members: Mutex<Members>,
}

struct Members {
    /// Whose endpoints these are.
    cluster: Weak<Cluster>,
    /// Of the names among them, when they were last looked up.
    changes: u64,
    hosts: Hosts,
    detector: Option<Detector>,
    used: Instant,
}

/// Why no endpoint was picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unpicked {
    NoEndpoint,
    /// Each is ejected.
    Ejected,
    /// A name is being resolved for the first time.
    Resolving,
    /// No name resolves.
    Unresolved,
}

/// The turn of one endpoint to get a copy; it is less busy by one when this is dropped.
pub struct Turn {
    upstream: Arc<Upstream>,
    pub address: SocketAddr,
}

impl Upstreams {
    /// `limits` hold for what a cluster does not limit itself; `workers` have clients of their own.
    pub fn new(limits: Limits, workers: usize, names: Arc<Names>) -> Arc<Self> {
        Arc::new(Self { limits, workers: workers.max(1), names, by_name: Mutex::default() })
    }

    pub(super) fn of(&self, cluster: &Arc<Cluster>) -> Arc<Upstream> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let of_name = by_name.entry(cluster.name.clone()).or_default();
        if let Some(known) = of_name.iter().find(|upstream| upstream.settings == cluster.settings) {
            return Arc::clone(known);
        }
        let upstream = Arc::new(Upstream::new(cluster.settings.clone()));
        of_name.push(Arc::clone(&upstream));
        upstream
    }

    /// Forgets what is no longer used. To be called now and then.
    pub(super) fn sweep(&self, now: Instant) {
        self.names.sweep(now);
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|_, of_name| {
            of_name.retain(|upstream| !upstream.is_over(now));
            !of_name.is_empty()
        });
    }
}

impl Upstream {
    fn new(settings: Settings) -> Self {
        let tls = match &settings.security {
            Security::Tls(tls) => Some(TlsClient::new((**tls).clone())),
            Security::Plain | Security::Impossible(_) => None,
        };
        let now = Instant::now();
        let members = Members {
            cluster: Weak::new(),
            changes: 0,
            hosts: Hosts::new(settings.balance, Rng::new()),
            detector: settings.outliers.clone().map(|outliers| Detector::new(outliers, now)),
            used: now,
        };
        let connections = &settings.connections;
        Self {
            pending: Limit::new(connections.max_pending),
            requests: Limit::new(connections.max_requests),
            tls,
            members: Mutex::new(members),
            settings,
        }
    }

    /// The next endpoint of the cluster.
    pub(super) fn pick(
        self: &Arc<Self>,
        cluster: &Arc<Cluster>,
        names: &Arc<Names>,
    ) -> Result<Turn, Unpicked> {
        let now = Instant::now();
        let mut members = self.lock();
        members.used = now;
        // Read before the addresses: a change in between is seen next time.
        let changes = names.changes();
        let named = resolve(cluster, names, now);
        if !std::ptr::eq(members.cluster.as_ptr(), Arc::as_ptr(cluster)) || members.changes != changes {
            (members.cluster, members.changes) = (Arc::downgrade(cluster), changes);
            members.set(named.addresses(cluster));
        }
        let back = members.detector.as_mut().is_some_and(|detector| detector.check(now));
        if back {
            members.choose();
        }
        match members.hosts.pick() {
            Some(address) => Ok(Turn { upstream: Arc::clone(self), address }),
            None if !members.hosts.is_empty() => Err(Unpicked::Ejected),
            None => Err(named.missing()),
        }
    }

    /// No snapshot has the cluster, and no copy went there for a while.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let members = self.lock();
        members.cluster.strong_count() == 0 && now.duration_since(members.used) >= KEPT
    }

    /// Resolves names that are due before a copy needs them.
    pub(super) fn refresh(&self, names: &Arc<Names>, now: Instant) {
        let cluster = self.lock().cluster.upgrade();
        if let Some(cluster) = cluster {
            resolve(&cluster, names, now);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Members {
    fn set(&mut self, addresses: Vec<Listed>) {
        if let Some(detector) = &mut self.detector {
            detector.set_hosts(addresses.iter().map(|listed| listed.address));
        }
        self.hosts.set(addresses);
        self.choose();
    }

    fn choose(&mut self) {
        match self.detector.as_ref().filter(|detector| !detector.is_panicking()) {
            Some(detector) => self.hosts.choose_from(|address| !detector.is_ejected(address)),
            None => self.hosts.choose_from(|_| true),
        }
    }
}

/// What became of a cluster's names.
#[derive(Default)]
struct Named {
    /// Of each endpoint with a name, in their order.
    addresses: Vec<Arc<[std::net::IpAddr]>>,
    resolving: bool,
    failed: bool,
}

/// Asks for every name of a cluster.
fn resolve(cluster: &Cluster, names: &Arc<Names>, now: Instant) -> Named {
    let mut named = Named::default();
    for endpoint in &cluster.endpoints {
        if let At::Name { name, .. } = &endpoint.at {
            let (addresses, state) = names.addresses(name, now);
            named.resolving |= state == State::New;
            named.failed |= state == State::Failed;
            named.addresses.push(addresses);
        }
    }
    named
}

impl Named {
    /// Every endpoint of the cluster by its addresses.
    fn addresses(&self, cluster: &Cluster) -> Vec<Listed> {
        let mut named = self.addresses.iter();
        let mut found = Vec::with_capacity(cluster.endpoints.len());
        for endpoint in &cluster.endpoints {
            let listed = |address| Listed { address, weight: endpoint.weight, level: endpoint.level };
            match &endpoint.at {
                At::Address(address) => found.push(listed(*address)),
                At::Name { port, answers, .. } => {
                    let of_name = named.next().map_or(&[][..], |addresses| &**addresses);
                    let many = if *answers == Answers::First { 1 } else { of_name.len() };
                    let sockets = of_name.iter().take(many).map(|address| SocketAddr::new(*address, *port));
                    found.extend(sockets.map(listed));
                }
            }
        }
        found
    }

    fn missing(&self) -> Unpicked {
        match (self.resolving, self.failed) {
            (true, _) => Unpicked::Resolving,
            (false, true) => Unpicked::Unresolved,
            (false, false) => Unpicked::NoEndpoint,
        }
    }
}

impl Unpicked {
    pub fn outcome(self) -> Outcome {
        match self {
            Self::NoEndpoint => Outcome::Dropped(DropReason::NoEndpoint),
            Self::Ejected => Outcome::Dropped(DropReason::Ejected),
            Self::Resolving | Self::Unresolved => Outcome::Failed(FailReason::Dns),
        }
    }
}

impl Turn {
    /// Tells what came of the copy, for outlier detection.
    pub fn report(&self, sign: Sign) {
        let mut members = self.upstream.lock();
        let Some(detector) = &mut members.detector else { return };
        if detector.observe(self.address, sign, Instant::now()) {
            tracing::info!(address = %self.address, ?sign, "a shadow's endpoint is ejected");
            members.choose();
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.upstream.lock().hosts.done(self.address);
    }
}
