//! Everything that is to be captured on this machine, ordered so that each namespace finds what is its own: an agent of
//! a large configuration has a hundred thousand endpoints, and a pod one.

use std::{collections::HashMap, net::IpAddr};

use super::Captured;
use crate::route::Share;

/// How many one namespace can have: the size of the map CAPTURED of its program.
pub const MOST_CAPTURED: usize = 1024;

/// What is to be captured, and of what share of connections.
#[derive(Clone, Debug, Default)]
pub struct Endpoints {
    /// Ports of every address.
    everywhere: Vec<(u16, Share)>,
    /// The whole of 127.0.0.0/8 is local, whatever the interface lists.
    loopback: Vec<(IpAddr, u16, Share)>,
    elsewhere: HashMap<IpAddr, Vec<(u16, Share)>>,
}

impl FromIterator<(Captured, Share)> for Endpoints {
    fn from_iter<T: IntoIterator<Item = (Captured, Share)>>(endpoints: T) -> Self {
        let mut sorted = Self::default();
        for ((address, port), share) in endpoints {
            match address.map(|address| address.to_canonical()) {
                None => sorted.everywhere.push((port, share)),
                Some(address) if address.is_loopback() => sorted.loopback.push((address, port, share)),
                Some(address) => sorted.elsewhere.entry(address).or_default().push((port, share)),
            }
        }
        sorted
    }
}

impl Endpoints {
    /// Those of a namespace with these addresses: ports of every address first, then by address and port.
    pub(super) fn at(&self, addresses: &[IpAddr]) -> Vec<(Captured, Share)> {
        let everywhere = self.everywhere.iter().map(|&(port, share)| ((None, port), share));
        let loopback = self.loopback.iter().map(|&(address, port, share)| ((Some(address), port), share));
        let elsewhere = addresses.iter().flat_map(|address| {
            let ports = self.elsewhere.get(address).into_iter().flatten();
            ports.map(|&(port, share)| ((Some(*address), port), share))
        });
        let mut found: Vec<_> = everywhere.chain(loopback).chain(elsewhere).collect();
        found.sort_unstable();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_told_of_its_own_endpoints_only() {
        let at = |address: &str, port| ((Some(address.parse().unwrap()), port), Share::ALL);
        let everywhere = ((None, 9), Share::of_percent(1.0));
        let all = [
            at("10.0.0.2", 80),
            at("10.0.0.3", 80),
            at("::ffff:10.0.0.2", 8),
            at("127.0.0.9", 1),
            everywhere,
        ];
        let endpoints = Endpoints::from_iter(all);
        let addresses = ["10.0.0.2".parse().unwrap(), "127.0.0.1".parse().unwrap()];

        let found = endpoints.at(&addresses);

        assert_eq!(found, [everywhere, at("10.0.0.2", 8), at("10.0.0.2", 80), at("127.0.0.9", 1)]);
        assert_eq!(endpoints.at(&[]), [everywhere, at("127.0.0.9", 1)]);
    }
}
