//! Which address leads to the app, out of who listens on the port. It follows the kernel, for which a
//! listener on the very address wins over one on every address, and never leads where the client's own
//! connection would not have gone.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::sockdiag::{Listener, SockDiag};

/// How long an answer of the kernel is believed. A refusal ends it at once.
const BELIEVED: Duration = Duration::from_secs(5);

/// Destinations remembered: local endpoints, so a few per app. More than that and all are asked for again.
const REMEMBERED: usize = 1024;

/// How to reach the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Through the reserved address: no client can hold the same pair of endpoints.
    Reserved,
    /// At the address the client dialled.
    Own,
}

/// The ways of one namespace.
#[derive(Debug)]
pub(super) struct Ways {
    diag: SockDiag,
    known: Mutex<HashMap<SocketAddr, (Way, Instant)>>,
}

impl Ways {
    pub(super) fn new(diag: SockDiag) -> Self {
        Self { diag, known: Mutex::default() }
    }

    /// The way to this destination, as far as known.
    pub(super) fn to(&self, destination: SocketAddr) -> io::Result<Way> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&destination).copied();
        match known {
            Some((way, since)) if since.elapsed() < BELIEVED => Ok(way),
            _ => self.look(destination),
        }
    }

    /// The way to this destination, asking the kernel now.
    pub(super) fn look(&self, destination: SocketAddr) -> io::Result<Way> {
        let listeners = self.diag.listeners(destination.port())?;
        // Nobody: let the kernel refuse, it is the one to know.
        let way = way(destination.ip(), &listeners).unwrap_or(Way::Reserved);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(destination, (way, Instant::now()));
        Ok(way)
    }
}

fn way(destination: IpAddr, listeners: &[Listener]) -> Option<Way> {
    if listeners.iter().any(|listener| listener.address == destination) {
        return Some(Way::Own);
    }
    let everywhere = |listener: &&Listener| {
        listener.address.is_unspecified()
            && (listener.address.is_ipv4() == destination.is_ipv4()
                || destination.is_ipv4() && !listener.v6_only)
    };
    // The reserved address is met on the loopback device, which one bound to another device does not see.
    let wildcards: Vec<_> = listeners.iter().filter(everywhere).collect();
    if wildcards.iter().any(|listener| !listener.on_device) {
        Some(Way::Reserved)
    } else if wildcards.is_empty() {
        None
    } else {
        Some(Way::Own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), v6_only: false, on_device: false }
    }

    fn way_to(destination: &str, listeners: &[Listener]) -> Option<Way> {
        way(destination.parse().unwrap(), listeners)
    }

    #[test]
    fn an_app_on_every_address_is_met_at_the_reserved_one() {
        assert_eq!(way_to("10.0.0.1", &[listener("0.0.0.0")]), Some(Way::Reserved));
        assert_eq!(way_to("10.0.0.1", &[listener("::")]), Some(Way::Reserved));
        assert_eq!(way_to("fd00::1", &[listener("::")]), Some(Way::Reserved));
        assert_eq!(way_to("fd00::1", &[listener("0.0.0.0")]), None);
        assert_eq!(way_to("10.0.0.1", &[Listener { v6_only: true, ..listener("::") }]), None);
    }

    #[test]
    fn an_app_on_the_very_address_is_met_there() {
        assert_eq!(way_to("10.0.0.1", &[listener("10.0.0.1")]), Some(Way::Own));
        assert_eq!(way_to("10.0.0.1", &[listener("0.0.0.0"), listener("10.0.0.1")]), Some(Way::Own));
        let on_device = Listener { on_device: true, ..listener("0.0.0.0") };
        assert_eq!(way_to("10.0.0.1", &[on_device]), Some(Way::Own));
    }

    #[test]
    fn an_app_on_loopback_only_is_not_exposed() {
        assert_eq!(way_to("10.0.0.1", &[listener("127.0.0.1")]), None);
        assert_eq!(way_to("127.0.0.1", &[listener("127.0.0.1")]), Some(Way::Own));
    }
}
