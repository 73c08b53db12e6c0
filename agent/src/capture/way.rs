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

use super::{
    mesh,
    sockdiag::{Listener, SockDiag},
};

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
    known: Mutex<HashMap<SocketAddr, (Choice, Instant)>>,
}

/// A way, and what decided for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) way: Way,
    pub(super) why: &'static str,
}

const THERE: Choice = Choice { way: Way::Own, why: "the app listens on this very address" };
const EVERYWHERE: Choice = Choice { way: Way::Reserved, why: "the app listens on every address" };
const ON_DEVICE: Choice =
    Choice { way: Way::Own, why: "the app listens on every address of one device only" };
/// The kernel is left to refuse: it is the one to know.
const NOBODY: Choice = Choice { way: Way::Reserved, why: "nobody listens" };

impl Ways {
    pub(super) fn new(diag: SockDiag) -> Self {
        Self { diag, known: Mutex::default() }
    }

    /// The way to this destination, as far as known.
    pub(super) fn to(&self, destination: SocketAddr) -> io::Result<Way> {
        Ok(self.choice(destination)?.way)
    }

    /// The way to this destination, asking the kernel now.
    pub(super) fn look(&self, destination: SocketAddr) -> io::Result<Way> {
        Ok(self.choose(destination)?.way)
    }

    /// The way to this destination and the reason, as far as known.
    pub(super) fn choice(&self, destination: SocketAddr) -> io::Result<Choice> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&destination).copied();
        match known {
            Some((choice, since)) if since.elapsed() < BELIEVED => Ok(choice),
            _ => self.choose(destination),
        }
    }

    /// See [`mesh::in_charge`].
    pub(super) fn mesh(&self) -> io::Result<Option<&'static str>> {
        mesh::in_charge(&self.diag)
    }

    fn choose(&self, destination: SocketAddr) -> io::Result<Choice> {
        let listeners = self.diag.listeners(destination.port())?;
        let choice = choice(destination.ip(), &listeners).unwrap_or(NOBODY);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(destination, (choice, Instant::now()));
        Ok(choice)
    }
}

fn choice(destination: IpAddr, listeners: &[Listener]) -> Option<Choice> {
    if listeners.iter().any(|listener| listener.address == destination) {
        return Some(THERE);
    }
    let everywhere = |listener: &&Listener| {
        listener.address.is_unspecified()
            && (listener.address.is_ipv4() == destination.is_ipv4()
                || destination.is_ipv4() && !listener.v6_only)
    };
    // The reserved address is met on the loopback device, which one bound to another device does not see.
    let wildcards: Vec<_> = listeners.iter().filter(everywhere).collect();
    if wildcards.iter().any(|listener| !listener.on_device) {
        Some(EVERYWHERE)
    } else if wildcards.is_empty() {
        None
    } else {
        Some(ON_DEVICE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), v6_only: false, on_device: false }
    }

    fn way_to(destination: &str, listeners: &[Listener]) -> Option<Way> {
        choice(destination.parse().unwrap(), listeners).map(|choice| choice.way)
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
