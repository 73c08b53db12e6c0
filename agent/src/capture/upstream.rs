//! The way back: one connection from the agent to the app for each one captured, with the client's address
//! where the namespace allows it. Sockets are made inside the namespace; connecting never blocks a worker.

use std::{
    collections::HashSet,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use socket2::Socket;
use tokio::net::{TcpSocket, TcpStream};
use umbra_common::{RESERVED_V4, RESERVED_V6};

use super::{
    allowed::{Allowed, AllowedNow},
    maps::{Bypassed, Maps},
    netlink::Family,
    netns::Netns,
    passage,
    source::{self, Bound, Source},
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

/// The ways back into one namespace.
pub(super) struct Upstream {
    pub(super) netns: Arc<Netns>,
    pub(super) maps: Arc<Maps>,
    pub(super) ways: Ways,
    pub(super) allowed: AllowedNow,
    /// Devices by which apps can answer, with whether over IPv4: see [`Way::Device`].
    pub(super) devices: Mutex<HashSet<(u32, bool)>>,
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
            Way::Device(device) => {
                self.answer_by(device, destination)?;
                destination
            }
        };
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for &source in self.sources(way, client.ip()) {
            let socket = self.socket(target)?;
            let tried = match self.bind(source, &socket, client, target) {
                Ok(Ready { bypassed, scarce }) => {
                    if scarce {
                        self.spare_ports(destination);
                    }
                    let connected = connect(socket, target).await;
                    drop(bypassed);
                    connected
                }
                // A port below 1024 takes CAP_NET_BIND_SERVICE; a foreign address, CAP_NET_ADMIN.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                    last = error;
                    continue;
                }
                Err(error) => Err(error),
            };
            match tried {
                Err(error) if is_taken(&error) => {
                    // One port may be taken for many reasons; none that is left, for one.
                    if source != Source::SamePort {
                        self.spare_ports(destination);
                    }
                    last = error;
                }
                connected => return connected,
            }
        }
        Err(last)
    }

    /// Somebody has changed the rules: clients' addresses are kept where that is still possible, or is again. Connections that
    /// are open keep their way.
    pub(super) fn look_at_rules(&self) -> io::Result<()> {
        for family in [Family::V4, Family::V6].into_iter().filter(|family| self.allowed.was_kept(*family)) {
            let found = self.netns.on_thread(|| passage::look_again(&self.netns, family))??;
            let told = found.clone();
            if self.allowed.obstruct(family, found) {
                let netns = self.netns.name();
                match told {
                    Some(rule) => tracing::warn!(netns, "clients' addresses cannot be kept any more: {rule}"),
                    None => tracing::info!(netns, "clients' addresses are kept again"),
                }
            }
        }
        Ok(())
    }

    /// Makes answers through one device find back to the agent. Takes a millisecond, once for each device and family.
    fn answer_by(&self, device: u32, app: SocketAddr) -> io::Result<()> {
        let mut devices = self.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let family = Family::of(app.ip());
        if !devices.contains(&(device, app.is_ipv4())) {
            self.netns.on_thread(|| passage::keep_client_address_by(device, family))??;
            devices.insert((device, app.is_ipv4()));
        }
        Ok(())
    }

    /// Ports to reach this app from run out: whoever comes next meets it directly.
    fn spare_ports(&self, destination: SocketAddr) {
        if let Err(error) = self.maps.release_for_ports(destination) {
            tracing::warn!(%destination, netns = self.netns.name(), %error, "an endpoint cannot be released");
        }
    }

    /// Sources to try, the best first.
    fn sources(&self, way: Way, client: IpAddr) -> &'static [Source] {
        use Source::{Announced, AnyPort, Local, LocalSpare, SamePort, SparePort};
        let allowed = self.allowed.at(client);
        // A link-local client exists on one device, the app is met on another.
        let link_local = matches!(client, IpAddr::V6(client) if client.is_unicast_link_local());
        match (allowed, way) {
            // Only what is marked finds back through a device, and the reserved address is not met on it.
            (Allowed::Preferred | Allowed::Kept, Way::Device(_)) if !link_local => &[Announced],
            (_, Way::Device(_)) => &[],
            _ if link_local => &[Local, LocalSpare],
            (Allowed::Local, _) => &[Local, LocalSpare],
            (Allowed::Preferred, Way::Reserved) => &[SamePort, AnyPort, Local, LocalSpare],
            (Allowed::Preferred, Way::Own) => &[Announced, Local, LocalSpare],
            (Allowed::Kept, Way::Reserved) => &[SamePort, AnyPort, SparePort],
            (Allowed::Kept, Way::Own) => &[Announced],
        }
    }

    fn bind(
        &self,
        source: Source,
        socket: &Socket,
        client: SocketAddr,
        target: SocketAddr,
    ) -> io::Result<Ready<'_>> {
        let local = reserved(target.ip());
        match source {
            Source::SamePort => source::bind_same_port(socket, client, self.ephemeral)?,
            Source::AnyPort => source::bind_any_port(socket, client.ip())?,
            Source::SparePort => source::bind_spare_port(socket, client.ip(), self.ephemeral)?,
            Source::Local => source::bind_local(socket, local)?,
            Source::LocalSpare => source::bind_local_spare(socket, local, self.ephemeral)?,
            Source::Announced => {
                let Bound { address, scarce } = source::bind_announced(socket, client.ip())?;
                let bypassed = self.maps.bypass(address).map_err(io::Error::other)?;
                return Ok(Ready { bypassed: Some(bypassed), scarce });
            }
        }
        Ok(Ready { bypassed: None, scarce: false })
    }

    /// A socket of the namespace: it stays there, wherever it is used from.
    fn socket(&self, target: SocketAddr) -> io::Result<Socket> {
        let socket = self.netns.enter(|| source::socket(Family::of(target.ip())))??;
        socket.set_tcp_nodelay(true)?;
        Ok(socket)
    }
}

/// A socket that knows where it leaves from.
struct Ready<'a> {
    /// Held until it is connected.
    bypassed: Option<Bypassed<'a>>,
    /// Most ports it could leave from are taken.
    scarce: bool,
}

async fn connect(socket: Socket, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(socket.into());
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, socket.connect(target)).await;
    connected.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// This source has no port left for this target.
fn is_taken(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable)
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
