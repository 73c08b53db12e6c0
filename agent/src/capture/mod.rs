//! Connections in: the eBPF program that hands new connections of a network namespace to the agent, the
//! listeners it hands them to, and the way back to the application. eBPF names live in this folder only.

mod addresses;
mod allowed;
mod direct;
mod endpoints;
mod enrol;
mod find;
mod inside;
mod listener;
mod loader;
mod maps;
mod mesh;
mod neighbours;
mod netlink;
mod netns;
mod passage;
pub mod probe;
mod query;
mod rule;
mod seed;
mod sockdiag;
mod source;
mod standing;
mod sysctl;
mod upstream;
mod way;

#[cfg(test)]
mod tests;

use std::{io, net::SocketAddr, sync::Arc};

pub use addresses::node_addresses;
pub use direct::Direct;
pub use endpoints::{Endpoints, MOST_CAPTURED};
pub use enrol::{EnrolError, Enrolment, Options};
pub use find::{Pods, Runtime};
pub use listener::WorkerListeners;
pub use loader::LoadError;
pub use maps::{Captured, RELEASE};
pub use netlink::MARK;
pub use netns::{Identity, Place};
pub use seed::seed_of_this_boot;
use socket2::SockRef;
pub use standing::{PORTS_SHOWN, Port};
use tokio::net::TcpStream;
pub use umbra_common::{Seed, Verdict};
pub use upstream::ConnectError;

/// Where connections come from.
#[derive(Clone)]
pub enum Inbound {
    /// A namespace whose connections the kernel hands over.
    Enrolled(Arc<Enrolment>),
    /// A listener of our own in front of one app.
    Direct(Arc<Direct>),
}

impl Inbound {
    pub fn name(&self) -> &str {
        match self {
            Self::Enrolled(enrolment) => enrolment.name(),
            Self::Direct(direct) => direct.name(),
        }
    }

    /// The address the client of an accepted connection dialled: the app's own, also behind a plain listener.
    /// IPv4 is IPv4, also on an IPv6 socket.
    ///
    /// Fails for a connection the agent itself made: it came back by a fault, and relaying it would go on for
    /// ever.
    pub fn original_destination(&self, accepted: &TcpStream) -> io::Result<SocketAddr> {
        match self {
            Self::Enrolled(_) => {
                if SockRef::from(accepted).mark()? == MARK {
                    return Err(io::Error::other("a connection of the agent's own came back to it"));
                }
                accepted.local_addr().map(canonical)
            }
            Self::Direct(direct) => Ok(direct.upstream()),
        }
    }

    /// Connects to the app that `client` dialled at `destination`.
    pub async fn connect(
        &self,
        client: SocketAddr,
        destination: SocketAddr,
    ) -> Result<TcpStream, ConnectError> {
        match self {
            Self::Enrolled(enrolment) => enrolment.connect(client, destination).await,
            Self::Direct(direct) => direct.connect().await,
        }
    }

    /// There is no room for more: where a kernel hands connections over, it stops now. The next beat decides anew.
    pub fn shed(&self) {
        if let Self::Enrolled(enrolment) = self
            && let Err(error) = enrolment.shed()
        {
            tracing::warn!(netns = enrolment.name(), %error, "connections cannot be left to the apps");
        }
    }

    /// The app does not listen. A kernel answers for it then; a plain listener goes on trying.
    pub fn release(&self, destination: SocketAddr) {
        if let Self::Enrolled(enrolment) = self {
            enrolment.release(destination);
        }
    }
}

/// IPv4 as IPv4, whichever socket it came through.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip @ std::net::IpAddr::V4(_) => SocketAddr::new(ip, address.port()),
        // The scope of a link-local address stays.
        std::net::IpAddr::V6(_) => address,
    }
}
