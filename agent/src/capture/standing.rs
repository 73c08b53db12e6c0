//! How an enrolled namespace stands, for a person who asks: what is captured, and by which way the app is reached.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::PoisonError,
};

use super::{
    Captured, Enrolment,
    allowed::Allowed,
    netlink::Family,
    way::{Choice, Way},
};
use crate::{config::umbra::ClientAddress, route::Share};

/// Captured ports of one namespace that are shown; all are counted.
pub const PORTS_SHOWN: usize = 64;

/// One captured endpoint.
#[derive(Clone, Debug)]
pub struct Port {
    pub at: Captured,
    /// Of its new connections.
    pub share: Share,
    /// `V4 reserved`, `V2 own` or `V5 local`: through the reserved address, to the address the client dialled, or from a
    /// local address. None where the kernel does not tell who listens.
    pub way: Option<&'static str>,
    /// What decided for the way.
    pub reason: String,
}

impl Enrolment {
    /// What apps see of their clients: `kept` or `local`, by family where they differ.
    pub fn client_address(&self) -> &'static str {
        match [Family::V4, Family::V6].map(|family| self.upstream.allowed.of(family) != Allowed::Local) {
            [true, true] => "kept",
            [true, false] => "kept over IPv4",
            [false, true] => "kept over IPv6",
            [false, false] => "local",
        }
    }

    /// How many endpoints are captured, and the first [`PORTS_SHOWN`] of them. May ask the kernel who listens.
    pub fn ports(&self) -> (usize, Vec<Port>) {
        let captured = self.captured.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let ports = captured.iter().take(PORTS_SHOWN).map(|&(at, share)| self.port(at, share)).collect();
        (captured.len(), ports)
    }

    fn port(&self, at: Captured, share: Share) -> Port {
        // A port of every address is shown as clients from elsewhere meet it.
        let anywhere = || {
            let addresses = self.local_addresses();
            let outer = addresses.iter().find(|address| !address.is_loopback()).copied();
            outer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
        };
        let destination = SocketAddr::new(at.0.unwrap_or_else(anywhere), at.1);
        let allowed = self.upstream.allowed.at(destination.ip());
        match self.upstream.ways.choice(destination) {
            Ok(Choice { way, why }) if allowed != Allowed::Local => {
                let way = if way == Way::Reserved { "V4 reserved" } else { "V2 own" };
                Port { at, share, way: Some(way), reason: why.to_owned() }
            }
            Ok(Choice { why, .. }) => {
                let local = match self.client_address {
                    ClientAddress::Local => "clientAddress is `local`",
                    _ => "the client's address cannot be kept here",
                };
                Port { at, share, way: Some("V5 local"), reason: format!("{local}; {why}") }
            }
            Err(error) => Port { at, share, way: None, reason: format!("who listens is not known: {error}") },
        }
    }
}
