//! One enrolled namespace: from preparing it to leaving it as it was found. Nothing is captured before
//! [`Enrolment::capture`] names endpoints and [`Enrolment::beat`] says that somebody listens.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use tokio::net::TcpStream;
use umbra_common::{Seed, Verdict};

use super::{
    canonical,
    inside::{Attached, Inside},
    listener::{self, WorkerListeners},
    loader::LoadError,
    maps::{Captured, Maps},
    neighbours::Neighbours,
    netns::Netns,
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
    netns: Arc<Netns>,
    pub(super) maps: Arc<Maps>,
    upstream: Upstream,
    notes: Vec<String>,
    neighbours: Neighbours,
    attached: Mutex<Option<Attached>>,
}

impl Enrolment {
    /// Joins the namespace: listeners per worker, program, and the way back to the app. Blocks for some
    /// milliseconds.
    pub fn enrol(
        netns: &NetnsRef,
        options: &Options,
    ) -> Result<(Arc<Self>, Vec<WorkerListeners>), EnrolError> {
        let unreachable = |reason| EnrolError::Netns { name: netns.to_string(), reason };
        let netns = Arc::new(Netns::open(netns).map_err(unreachable)?);
        let inside = netns.on_thread(|| Inside::make(&netns, options)).map_err(unreachable)??;

        let maps = Arc::new(inside.maps);
        let [v4, v6] = inside.allowed;
        let upstream = Upstream {
            netns: Arc::clone(&netns),
            maps: Arc::clone(&maps),
            ways: inside.ways,
            v4,
            v6,
            ephemeral: inside.ephemeral,
        };
        let neighbours = Neighbours::meet(&netns, inside.attached.link.program, &maps);
        let attached = Mutex::new(Some(inside.attached));
        let listeners = listener::deal([inside.v4, inside.v6], options.workers);
        let notes = inside.notes;
        Ok((Arc::new(Self { netns, maps, upstream, notes, neighbours, attached }), listeners))
    }

    /// `host`, or the namespace as it was configured.
    pub fn name(&self) -> &str {
        self.netns.name()
    }

    /// What this namespace does not allow, each with the reason.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Addresses of the namespace's interfaces, loopback included.
    pub fn local_addresses(&self) -> io::Result<Vec<IpAddr>> {
        let interfaces = self.netns.enter(getifaddrs)??;
        let address = |storage: &nix::sys::socket::SockaddrStorage| {
            let v4 = storage.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
            v4.or_else(|| storage.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
        };
        Ok(interfaces.filter_map(|interface| address(interface.address.as_ref()?)).collect())
    }

    /// Makes the captured set equal this one; an endpoint without an address is that port of every address.
    /// At most 1024 endpoints. Of each, that share of new connections is handed over, chosen by
    /// [`Seed::draw`]; connections there are stay where they are.
    pub fn capture(&self, endpoints: &[(Captured, Share)]) -> io::Result<()> {
        self.maps.capture(endpoints).map_err(io::Error::other)
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
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Attached { link, passage }) = attached else { return Ok(()) };
        self.maps.hand_back();
        let program = link.program;
        drop(link);
        self.netns.on_thread(|| passage.lift(&self.netns, program))?
    }
}

#[cfg(test)]
impl Enrolment {
    /// What the kernel does to an agent that is killed: the link goes, the rest stays.
    pub(super) fn lose_link(&self) {
        if let Some(attached) = self.attached.lock().unwrap().take() {
            drop(attached.link);
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
