//! One enrolled namespace: from preparing it to leaving it as it was found. Nothing is captured before
//! [`Enrolment::capture`] names endpoints and [`Enrolment::beat`] says that somebody listens.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use ipnet::IpNet;
use tokio::net::TcpStream;
use umbra_common::{Seed, Verdict};

use super::{
    addresses::Addresses,
    allowed::AllowedNow,
    canonical,
    endpoints::{Endpoints, MOST_CAPTURED},
    find::Pods,
    inside::Inside,
    listener::{self, WorkerListeners},
    loader::{Link, LoadError},
    maps::{Captured, Maps},
    neighbours::Neighbours,
    netns::{Netns, Place},
    passage,
    upstream::{ConnectError, Upstream},
};
use crate::{
    config::umbra::{ClientAddress, NetnsRef},
    route::Share,
};

/// How to enrol.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listeners per family.
    pub workers: usize,
    /// Sources whose connections are never captured.
    pub exempt: Vec<IpNet>,
    pub client_address: ClientAddress,
    /// Of the draws of connections.
    pub seed: Seed,
}

/// Why a namespace cannot be enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "network namespace {name} cannot be entered ({reason}); it must exist, and it takes CAP_SYS_ADMIN"
    )]
    Netns { name: String, reason: io::Error },
    #[error(
        "network namespace {name}: {who} redirects its connections, and two in one path would follow each other's; it is \
         enrolled when the mesh has left"
    )]
    Mesh { name: String, who: &'static str },
    #[error("network namespace {name}: {reason}")]
    Load { name: String, reason: Box<LoadError> },
    #[error("network namespace {name}: no listener can be made inside: {reason}")]
    Listen { name: String, reason: io::Error },
    #[error("network namespace {name}: the reserved address cannot be made local: {reason}")]
    Reserve { name: String, reason: io::Error },
    #[error(
        "network namespace {name}: clientAddress is `keep`, but the client's address cannot be kept over \
         {family}: {reason}; `auto` enrols with a local address then"
    )]
    Keep { name: String, family: &'static str, reason: io::Error },
}

/// An enrolled namespace. Dropping it withdraws it.
pub struct Enrolment {
    pub(super) netns: Arc<Netns>,
    pub(super) maps: Arc<Maps>,
    pub(super) upstream: Upstream,
    pub(super) client_address: ClientAddress,
    notes: Vec<String>,
    neighbours: Neighbours,
    since: Instant,
    pub(super) addresses: Addresses,
    /// What the program was told to capture. Locked while it is told.
    pub(super) captured: Mutex<Vec<(Captured, Share)>>,
    /// How many endpoints more are local than can be captured.
    beyond: AtomicUsize,
    link: Mutex<Option<Link>>,
}

impl Enrolment {
    /// Joins the namespace: listeners per worker, program, and the way back to the app. Blocks for some
    /// milliseconds.
    pub fn enrol(
        netns: &NetnsRef,
        options: &Options,
    ) -> Result<(Arc<Self>, Vec<WorkerListeners>), EnrolError> {
        let unreachable = |reason| EnrolError::Netns { name: netns.to_string(), reason };
        Self::enrol_at(netns, Place::of(netns, &mut Pods::default()).map_err(unreachable)?, options)
    }

    /// The same where the namespace was found.
    pub fn enrol_at(
        netns: &NetnsRef,
        place: Place,
        options: &Options,
    ) -> Result<(Arc<Self>, Vec<WorkerListeners>), EnrolError> {
        let unreachable = |reason| EnrolError::Netns { name: netns.to_string(), reason };
        let netns = Arc::new(Netns::at(netns, place).map_err(unreachable)?);
        let inside = netns.on_thread(|| Inside::make(&netns, options)).map_err(unreachable)??;

        let maps = Arc::new(inside.maps);
        let upstream = Upstream {
            netns: Arc::clone(&netns),
            maps: Arc::clone(&maps),
            ways: inside.ways,
            allowed: AllowedNow::new(inside.allowed),
            devices: Mutex::default(),
            ephemeral: inside.ephemeral,
        };
        let neighbours = Neighbours::meet(&netns, inside.link.program, &maps);
        let listeners = listener::deal([inside.v4, inside.v6], options.workers);
        let enrolment = Self {
            netns,
            maps,
            upstream,
            client_address: options.client_address,
            notes: inside.notes,
            neighbours,
            since: Instant::now(),
            addresses: inside.addresses,
            captured: Mutex::default(),
            beyond: AtomicUsize::new(0),
            link: Mutex::new(Some(inside.link)),
        };
        Ok((Arc::new(enrolment), listeners))
    }

    /// `host`, or the namespace as it was configured.
    pub fn name(&self) -> &str {
        self.netns.name()
    }

    /// What this namespace does not allow, each with the reason.
    pub fn notes(&self) -> Vec<String> {
        let beyond = self.beyond.load(Ordering::Relaxed);
        let beyond = (beyond > 0).then(|| too_many(beyond + MOST_CAPTURED));
        let found = self.place().note().map(str::to_owned);
        let notes = found.into_iter().chain(self.notes.iter().cloned());
        notes.chain(beyond).chain(self.upstream.allowed.notes()).collect()
    }

    /// Which namespace it is, and through which file it was found.
    pub fn place(&self) -> &Place {
        self.netns.place()
    }

    /// How long ago it was enrolled.
    pub fn age(&self) -> Duration {
        self.since.elapsed()
    }

    /// Addresses of the namespace's interfaces, loopback included, as last read.
    pub fn local_addresses(&self) -> Arc<[IpAddr]> {
        self.addresses.known()
    }

    /// Whether the addresses may have changed; then they are read again, and [`Self::capture`] should follow. Where routing
    /// rules have changed, it is seen to it that ours and those of others go together.
    pub fn has_new_addresses(&self) -> io::Result<bool> {
        let changed = self.addresses.have_changed();
        if changed.rules {
            self.upstream.look_at_rules()?;
        }
        if changed.addresses {
            self.netns.on_thread(|| self.addresses.read_again())??;
        }
        Ok(changed.addresses)
    }

    /// Why the namespace would not be enrolled now: a mesh has come since.
    pub fn mesh(&self) -> Option<EnrolError> {
        let who = self.upstream.ways.mesh().ok().flatten()?;
        Some(EnrolError::Mesh { name: self.name().to_owned(), who })
    }

    /// Captures those of the endpoints that are local here, and no others; one without an address is that port of every
    /// address. Of each, that share of new connections is handed over, chosen by [`Seed::draw`]; connections there are
    /// stay where they are.
    ///
    /// # Errors
    /// When the map cannot be written, or more than [`MOST_CAPTURED`] are local: then the first of them are captured.
    pub fn capture(&self, endpoints: &Endpoints) -> io::Result<()> {
        let mut captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner);
        let mut local = endpoints.at(&self.addresses.known());
        let count = local.len();
        self.beyond.store(count.saturating_sub(MOST_CAPTURED), Ordering::Relaxed);
        local.truncate(MOST_CAPTURED);
        self.maps.capture(&local).map_err(io::Error::other)?;
        *captured = local;
        if count > MOST_CAPTURED { Err(io::Error::other(too_many(count))) } else { Ok(()) }
    }

    /// Makes the sources whose connections are never captured equal these.
    pub fn exempt(&self, sources: &[IpNet]) -> io::Result<()> {
        self.maps.exempt(sources).map_err(io::Error::other)
    }

    /// Says that the agent is alive; to be called every 100 ms. One second of silence and nothing is
    /// captured.
    pub fn beat(&self) -> io::Result<()> {
        self.neighbours.look(&self.netns, &self.maps);
        self.maps.beat().map_err(io::Error::other)
    }

    /// Says that the agent hangs: nothing is captured until the next beat.
    pub fn silence(&self) -> io::Result<()> {
        self.maps.silence().map_err(io::Error::other)
    }

    /// In the place of a beat: the agent is alive and has no room for more. Nothing is captured until the next beat.
    pub fn shed(&self) -> io::Result<()> {
        self.maps.shed().map_err(io::Error::other)
    }

    /// Whether some endpoint here is left to the kernel because ports to reach its app from ran out.
    pub fn lacks_ports(&self) -> bool {
        self.maps.lacks_ports()
    }

    /// How often each verdict was given, since the enrolment.
    pub fn verdicts(&self) -> io::Result<Vec<(Verdict, u64)>> {
        self.maps.verdicts().map_err(io::Error::other)
    }

    /// Connects to the app that `client` dialled at `destination`. Waits for the app at most ten seconds.
    pub async fn connect(
        &self,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<TcpStream, ConnectError> {
        self.upstream.connect(canonical(client), canonical(destination)).await
    }

    /// The app does not listen: the kernel answers for one second, natively. Then it is captured again.
    pub fn release(&self, destination: SocketAddr) {
        if let Err(error) = self.maps.release(destination) {
            tracing::warn!(%destination, netns = self.name(), %error, "an endpoint cannot be released");
        }
    }

    /// The first step of stopping: no new connection is assigned, a stacked newer agent or the app gets it.
    /// The listeners keep accepting what is half open; give them 1.5 s before they are closed.
    pub fn hand_back(&self) {
        self.maps.hand_back();
    }

    /// Leaves the namespace as it was found. Connections to the app must have ended: their way back ends with
    /// it. Doing it again does nothing.
    pub fn withdraw(&self) -> io::Result<()> {
        // Whoever else withdraws it meanwhile waits until it is done.
        let mut attached = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(link) = attached.take() else { return Ok(()) };
        self.maps.hand_back();
        let program = link.program;
        drop(link);
        self.netns.on_thread(|| passage::lift(&self.netns, program))?
    }
}

#[cfg(test)]
impl Enrolment {
    /// What the kernel does to an agent that is killed: the link goes, the rest stays.
    pub(super) fn lose_link(&self) {
        drop(self.link.lock().unwrap().take());
    }
}

fn too_many(count: usize) -> String {
    format!(
        "{count} mirrored endpoints are local here, and the kernel's program holds {MOST_CAPTURED}: the first by address are \
         captured; mirror fewer, or run the services in namespaces of their own"
    )
}

impl EnrolError {
    /// Whether it is the agent or the kernel that fails, and so would in any other namespace.
    pub fn is_everywhere(&self) -> bool {
        match self {
            Self::Load { .. } => true,
            Self::Netns { reason, .. } => reason.kind() == io::ErrorKind::PermissionDenied,
            _ => false,
        }
    }
}

impl Drop for Enrolment {
    fn drop(&mut self) {
        if let Err(error) = self.withdraw() {
            tracing::warn!(netns = self.name(), %error, "a namespace is not left quite as it was found");
        }
    }
}
