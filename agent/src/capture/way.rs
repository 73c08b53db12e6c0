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
    /// The same, of an app that hears and answers through the device of this number only.
    Device(u32),
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
/// The kernel is asked just as by the client: it refuses, or another program of the namespace leads to somebody.
const NOBODY: Choice = Choice { way: Way::Own, why: "nobody listens" };

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
        // Not remembered: an app may start at any moment.
        let Some(choice) = choice(destination.ip(), &listeners) else { return Ok(NOBODY) };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(destination, (choice, Instant::now()));
        Ok(choice)
    }
}

fn choice(destination: IpAddr, listeners: &[Listener]) -> Option<Choice> {
    let there = |listener: &&Listener| listener.address == destination;
    let everywhere = |listener: &&Listener| {
        listener.address.is_unspecified()
            && (listener.address.is_ipv4() == destination.is_ipv4()
                || destination.is_ipv4() && !listener.v6_only)
    };
    let any_device = |listener: &&Listener| listener.device == 0;
    // A listener that the kernel prefers for its device is preferred here only where there is no other.
    if listeners.iter().filter(there).any(|listener| any_device(&listener)) {
        Some(THERE)
    } else if let Some(Listener { device, .. }) = listeners.iter().find(there) {
        Some(by(*device))
    } else if listeners.iter().filter(everywhere).any(|listener| any_device(&listener)) {
        Some(EVERYWHERE)
    } else {
        // The reserved address is met on the loopback device, which one bound to another device does not see.
        listeners.iter().find(everywhere).map(|listener| by(listener.device))
    }
}

fn by(device: u32) -> Choice {
    Choice { way: Way::Device(device), why: "the app listens on one device only" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(address: &str) -> Listener {
        Listener { address: address.parse().unwrap(), v6_only: false, device: 0 }
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
    }

    #[test]
    fn an_app_on_one_device_is_met_through_it() {
        for address in ["0.0.0.0", "10.0.0.1"] {
            let on_device = Listener { device: 2, ..listener(address) };
            assert_eq!(way_to("10.0.0.1", &[on_device]), Some(Way::Device(2)));
            assert_ne!(way_to("10.0.0.1", &[on_device, listener(address)]), Some(Way::Device(2)));
        }
    }

    #[test]
    fn an_app_on_loopback_only_is_not_exposed() {
        assert_eq!(way_to("10.0.0.1", &[listener("127.0.0.1")]), None);
        assert_eq!(way_to("127.0.0.1", &[listener("127.0.0.1")]), Some(Way::Own));
    }
}
