//! What enrolling makes inside the namespace, on a thread that goes in and never comes back: listeners, the
//! program that leads to them, and the passage to the app.

use std::net::TcpListener;

use super::{
    addresses::Addresses,
    allowed::{self, Allowed},
    enrol::{EnrolError, Options},
    listener,
    loader::{self, Link},
    maps::Maps,
    mesh,
    netlink::{Family, Netlink},
    netns::Netns,
    passage,
    sockdiag::SockDiag,
    sysctl::Sysctl,
    way::Ways,
};
use crate::config::umbra::ClientAddress;

/// Linux's default for `ip_local_port_range`.
const EPHEMERAL: (u16, u16) = (32768, 60999);

/// What a thread inside the namespace made.
pub(super) struct Inside {
    pub(super) v4: Vec<TcpListener>,
    pub(super) v6: Vec<TcpListener>,
    pub(super) maps: Maps,
    pub(super) link: Link,
    pub(super) ways: Ways,
    pub(super) addresses: Addresses,
    pub(super) allowed: [Allowed; 2],
    pub(super) ephemeral: (u16, u16),
    pub(super) notes: Vec<String>,
}

impl Inside {
    /// On a thread inside the namespace.
    pub(super) fn make(netns: &Netns, options: &Options) -> Result<Self, EnrolError> {
        let name = || netns.name().to_owned();
        let listen = |reason| EnrolError::Listen { name: name(), reason };
        let load = |reason| EnrolError::Load { name: name(), reason: Box::new(reason) };
        let mut notes = Vec::new();

        let v4 = listener::hidden(false, options.workers).map_err(listen)?;
        let v6 = listener::hidden(true, options.workers).unwrap_or_else(|error| {
            notes.push(format!("connections over IPv6 are not captured: no listener on ::1 ({error})"));
            Vec::new()
        });
        let diag = SockDiag::open().map_err(listen)?;
        if let Some(who) = mesh::in_charge(&diag).map_err(listen)? {
            return Err(EnrolError::Mesh { name: name(), who });
        }
        let ways = Ways::new(diag);
        let addresses = Addresses::watch().map_err(listen)?;
        let ephemeral = ephemeral_ports();

        let turn = passage::turn(netns).map_err(listen)?;
        // Attached first: from here on an older agent that withdraws leaves the passage to this one.
        let (maps, link) =
            loader::load(options.seed).and_then(|loaded| loaded.attach(netns)).map_err(load)?;
        maps.exempt(&options.exempt).and_then(|()| maps.offer(&v4, &v6)).map_err(|e| load(e.into()))?;
        let laid = lay(netns.name(), options.client_address, !v6.is_empty(), &mut notes);
        drop(turn);
        match laid {
            Ok(allowed) => Ok(Self { v4, v6, maps, link, ways, addresses, allowed, ephemeral, notes }),
            Err(error) => {
                if let Err(error) = passage::lift(netns, link.program) {
                    tracing::warn!(netns = name(), %error, "a namespace is not left quite as it was found");
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
    notes: &mut Vec<String>,
) -> Result<[Allowed; 2], EnrolError> {
    let reserve = |reason| EnrolError::Reserve { name: name.into(), reason };
    let netlink = Netlink::open().map_err(reserve)?;
    let mut allowed = [Allowed::Local; 2];
    let families = [(Family::V4, "IPv4"), (Family::V6, "IPv6")];
    for (allowed, (family, family_name)) in allowed.iter_mut().zip(families) {
        if family == Family::V6 && !v6 {
            continue;
        }
        passage::reserve(&netlink, family).map_err(reserve)?;
        if client_address == ClientAddress::Local {
            continue;
        }
        match passage::keep_client_address(&netlink, family) {
            Ok(()) if client_address == ClientAddress::Keep => *allowed = Allowed::Kept,
            Ok(()) => *allowed = Allowed::Preferred,
            Err(reason) if client_address == ClientAddress::Keep => {
                return Err(EnrolError::Keep { name: name.into(), family: family_name, reason });
            }
            Err(reason) => notes.push(allowed::note(family_name, &reason)),
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
