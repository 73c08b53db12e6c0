//! One enrolled namespace: from preparing it to leaving it as it was found. Nothing is captured before [`Enrolment::capture`]
//! names endpoints and [`Enrolment::beat`] says that somebody listens.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
};

use aya::{maps::MapError, programs::sk_lookup::SkLookupLink};
use ipnet::IpNet;
use nix::ifaddrs::getifaddrs;
use tokio::net::TcpStream;
use umbra_common::Verdict;

use super::{
    canonical,
    listener::{self, WorkerListeners},
    loader::{self, LoadError},
    maps::{Captured, Maps},
    netlink::{Family, Netlink},
    netns::Netns,
    passage::{self, Passage},
    sockdiag::SockDiag,
    sysctl::Sysctl,
    upstream::{Allowed, ConnectError, Upstream},
    way::Ways,
};
use crate::config::umbra::{ClientAddress, NetnsRef};

/// Linux's default for `ip_local_port_range`.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// How to enrol.
#[derive(Clone, Debug)]
pub struct Options {
    /// Listeners per family.
    pub workers: usize,
    /// Sources whose connections are never captured.
    pub exempt: Vec<IpNet>,
    pub client_address: ClientAddress,
}

/// Why a namespace cannot be enrolled.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "network namespace {name} cannot be entered ({source}); it must exist, and entering takes CAP_SYS_ADMIN"
    )]
    Netns { name: String, source: io::Error },
    #[error("network namespace {name}: {source}")]
    Load { name: String, source: LoadError },
    #[error("network namespace {name}: no listener can be made inside: {source}")]
    Listen { name: String, source: io::Error },
    #[error("network namespace {name}: the reserved address cannot be made local: {source}")]
    Reserve { name: String, source: io::Error },
    #[error(
        "network namespace {name}: clientAddress is `keep`, but the client's address cannot be kept over {family}: {source}; \
         `auto` enrols with a local address then"
    )]
    Keep { name: String, family: &'static str, source: io::Error },
}

/// An enrolled namespace. Dropping it withdraws it.
pub struct Enrolment {
    netns: Arc<Netns>,
    pub(super) maps: Arc<Maps>,
    upstream: Upstream,
    notes: Vec<String>,
    attached: Mutex<Option<Attached>>,
}

/// What withdrawing takes back.
struct Attached {
    link: SkLookupLink,
    passage: Passage,
}

/// What a thread inside the namespace made.
struct Inside {
    v4: Vec<TcpListener>,
    v6: Vec<TcpListener>,
    maps: Maps,
    attached: Attached,
    ways: Ways,
    allowed: [Allowed; 2],
    ephemeral: (u16, u16),
    notes: Vec<String>,
}

impl Enrolment {
    /// Joins the namespace: listeners per worker, program, and the way back to the app. Blocks for some milliseconds.
    pub fn enrol(
        netns: &NetnsRef,
        options: &Options,
    ) -> Result<(Arc<Self>, Vec<WorkerListeners>), EnrolError> {
        let named = |source| EnrolError::Netns { name: format!("{netns:?}"), source };
        let netns = Arc::new(Netns::open(netns).map_err(named)?);
        let inside = netns
            .on_thread(|| Inside::make(&netns, options))
            .map_err(|source| EnrolError::Netns { name: netns.name().into(), source })??;

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
        let attached = Mutex::new(Some(inside.attached));
        let listeners = listener::deal([inside.v4, inside.v6], options.workers);
        Ok((Arc::new(Self { netns, maps, upstream, notes: inside.notes, attached }), listeners))
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

    /// Makes the captured set equal this one; an endpoint without an address is that port of every address. At most
    /// 1024 endpoints.
    pub fn capture(&self, endpoints: &[Captured]) -> Result<(), MapError> {
        self.maps.capture(endpoints)
    }

    /// Says that the agent is alive; to be called every 100 ms. One second of silence and nothing is captured.
    pub fn beat(&self) -> Result<(), MapError> {
        self.maps.beat()
    }

    /// How often each verdict was given, since the enrolment.
    pub fn verdicts(&self) -> Result<Vec<(Verdict, u64)>, MapError> {
        self.maps.verdicts()
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

    /// The first step of stopping: no new connection is assigned, a stacked newer agent or the app gets it. The listeners
    /// keep accepting what is half open; give them 1.5 s before they are closed.
    pub fn hand_back(&self) {
        self.maps.hand_back();
    }

    /// Leaves the namespace as it was found. Connections to the app must have ended: their way back ends with it.
    /// Doing it again does nothing.
    pub fn withdraw(&self) -> io::Result<()> {
        let attached = self.attached.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Attached { link, passage }) = attached else { return Ok(()) };
        self.maps.hand_back();
        drop(link);
        self.netns.on_thread(|| passage.lift(&self.netns))?
    }
}

impl Drop for Enrolment {
    fn drop(&mut self) {
        if let Err(error) = self.withdraw() {
            tracing::warn!(netns = self.name(), %error, "a namespace is not left quite as it was found");
        }
    }
}

impl Inside {
    /// On a thread inside the namespace.
    fn make(netns: &Netns, options: &Options) -> Result<Self, EnrolError> {
        let name = || netns.name().to_owned();
        let listen = |source| EnrolError::Listen { name: name(), source };
        let load = |source| EnrolError::Load { name: name(), source };
        let mut notes = Vec::new();

        let v4 = listener::hidden(false, options.workers).map_err(listen)?;
        let v6 = listener::hidden(true, options.workers).unwrap_or_else(|error| {
            notes.push(format!("connections over IPv6 are not captured: no listener on ::1 ({error})"));
            Vec::new()
        });
        let ways = Ways::new(SockDiag::open().map_err(listen)?);
        let ephemeral = ephemeral_ports();

        let turn = passage::turn(netns).map_err(listen)?;
        // Attached first: from here on an older agent that withdraws leaves the passage to this one.
        let (maps, link) = loader::load().and_then(|loaded| loaded.attach(netns)).map_err(load)?;
        maps.exempt(&options.exempt).and_then(|()| maps.offer(&v4, &v6)).map_err(|e| load(e.into()))?;
        let mut attached = Attached { link, passage: Passage::default() };
        let laid =
            lay(netns.name(), options.client_address, !v6.is_empty(), &mut attached.passage, &mut notes);
        drop(turn);
        match laid {
            Ok(allowed) => Ok(Self { v4, v6, maps, attached, ways, allowed, ephemeral, notes }),
            Err(error) => {
                drop(attached.link);
                if let Err(error) = attached.passage.lift(netns) {
                    tracing::warn!(netns = netns.name(), %error, "a namespace is not left quite as it was found");
                }
                Err(error)
            }
        }
    }
}

fn lay(
    name: &str,
    client_address: ClientAddress,
    v6: bool,
    passage: &mut Passage,
    notes: &mut Vec<String>,
) -> Result<[Allowed; 2], EnrolError> {
    let reserve = |source| EnrolError::Reserve { name: name.into(), source };
    let netlink = Netlink::open().map_err(reserve)?;
    let mut allowed = [Allowed::Local; 2];
    let families = [(Family::V4, "IPv4"), (Family::V6, "IPv6")];
    for (allowed, (family, family_name)) in allowed.iter_mut().zip(families) {
        if family == Family::V6 && !v6 {
            continue;
        }
        passage.reserve(&netlink, family).map_err(reserve)?;
        if client_address == ClientAddress::Local {
            continue;
        }
        match passage.keep_client_address(&netlink, family) {
            Ok(()) if client_address == ClientAddress::Keep => *allowed = Allowed::Kept,
            Ok(()) => *allowed = Allowed::Preferred,
            Err(source) if client_address == ClientAddress::Keep => {
                return Err(EnrolError::Keep { name: name.into(), family: family_name, source });
            }
            Err(source) => notes
                .push(format!("apps see a local address instead of their {family_name} clients': {source}")),
        }
    }
    Ok(allowed)
}

/// `ip_local_port_range` of the namespace the calling thread is in.
fn ephemeral_ports() -> (u16, u16) {
    let parse = |range: String| {
        let mut ports = range.split_whitespace().map(|port| port.parse().ok());
        Some((ports.next()??, ports.next()??))
    };
    Sysctl("net/ipv4/ip_local_port_range").read().ok().and_then(parse).unwrap_or(EPHEMERAL)
}
