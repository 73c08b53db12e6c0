//! The way back: one connection from the agent to the app for each one captured, with the client's address
//! where the namespace allows it. Sockets are made inside the namespace; connecting never blocks a worker.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use socket2::Socket;
use tokio::net::{TcpSocket, TcpStream};
use umbra_common::{RESERVED_V4, RESERVED_V6};

use super::{
    maps::Maps,
    netlink::Family,
    netns::Netns,
    source::{self, Source},
    way::{Way, Ways},
};

/// How long the app may take to accept. Beyond it the client is cut off, as by an app that answers nobody.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no connection to the app.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens. The client should be told the same way: reset, and the endpoint released.
    #[error("the app refused the connection")]
    Refused,
    #[error("the app cannot be reached: {0}")]
    Unreachable(#[from] io::Error),
}

/// What a namespace allows for one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Allowed {
    /// The client's address, and none but it.
    Kept,
    /// The client's address; a local one when its ports are used up.
    Preferred,
    /// A local address.
    Local,
}

/// The ways back into one namespace.
pub(super) struct Upstream {
    pub(super) netns: Arc<Netns>,
    pub(super) maps: Arc<Maps>,
    pub(super) ways: Ways,
    pub(super) v4: Allowed,
    pub(super) v6: Allowed,
    /// `net.ipv4.ip_local_port_range`, for both families: ports the namespace's own connections leave from.
    pub(super) ephemeral: (u16, u16),
}

impl Upstream {
    /// Connects to the app a client dialled at `destination`.
    pub(super) async fn connect(
        &self,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<TcpStream, ConnectError> {
        // Where the kernel does not tell who listens, the usual way is tried, then the other one.
        let way = self.ways.to(destination).unwrap_or(Way::Reserved);
        match self.by(way, client, destination).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                match self.ways.look(destination).unwrap_or(Way::Own) {
                    again if again == way => Err(ConnectError::Refused),
                    other => self.by(other, client, destination).await.map_err(ConnectError::from_io),
                }
            }
            connected => connected.map_err(ConnectError::from_io),
        }
    }

    async fn by(&self, way: Way, client: SocketAddr, destination: SocketAddr) -> io::Result<TcpStream> {
        let target = match way {
            Way::Reserved => SocketAddr::new(reserved(destination.ip()), destination.port()),
            Way::Own => destination,
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for &source in self.sources(way, client.ip()) {
            match self.from(source, client, target).await {
                // This source has no port left for this target.
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable) =>
                {
                    last = error;
                }
                connected => return connected,
            }
        }
        Err(last)
    }

    /// Sources to try, the best first.
    fn sources(&self, way: Way, client: IpAddr) -> &'static [Source] {
        let allowed = if client.is_ipv4() { self.v4 } else { self.v6 };
        // A link-local client exists on one device, the app is met on another.
        let link_local = matches!(client, IpAddr::V6(client) if client.is_unicast_link_local());
        match (allowed, way) {
            _ if link_local => &[Source::Local],
            (Allowed::Local, _) => &[Source::Local],
            (Allowed::Preferred, Way::Reserved) => &[Source::SamePort, Source::AnyPort, Source::Local],
            (Allowed::Preferred, Way::Own) => &[Source::Announced, Source::Local],
            (Allowed::Kept, Way::Reserved) => &[Source::SamePort, Source::AnyPort],
            (Allowed::Kept, Way::Own) => &[Source::Announced],
        }
    }

    async fn from(&self, source: Source, client: SocketAddr, target: SocketAddr) -> io::Result<TcpStream> {
        let socket = self.socket(target)?;
        let bypassed = match source {
            Source::Local => {
                source::bind_local(&socket, reserved(target.ip()))?;
                None
            }
            Source::SamePort => {
                source::bind_same_port(&socket, client, self.ephemeral)?;
                None
            }
            Source::AnyPort => {
                source::bind_any_port(&socket, client.ip())?;
                None
            }
            Source::Announced => {
                let address = source::bind_announced(&socket, client.ip())?;
                Some(self.maps.bypass(address).map_err(io::Error::other)?)
            }
        };
        let socket = TcpSocket::from_std_stream(socket.into());
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(target)).await;
        drop(bypassed);
        connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    /// A socket of the namespace: it stays there, wherever it is used from.
    fn socket(&self, target: SocketAddr) -> io::Result<Socket> {
        let socket = self.netns.enter(|| source::socket(Family::of(target.ip())))??;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }
}

impl ConnectError {
    pub(super) fn from_io(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionRefused {
            Self::Refused
        } else {
            Self::Unreachable(error)
        }
    }
}

fn reserved(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { RESERVED_V4.into() } else { RESERVED_V6.into() }
}
