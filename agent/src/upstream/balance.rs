//! Whose turn it is: `loadBalancer.simple` over the endpoints in force, each with its weight. Pure: callers bring the
//! random numbers.

use std::net::SocketAddr;

use fastrand::Rng;

use crate::route::Balance;

#[derive(Debug)]
pub(super) struct Hosts {
    balance: Balance,
    random: Rng,
    /// In the order of their addresses.
    hosts: Vec<Host>,
    /// Those in force, by index, and their weights together.
    in_force: Vec<usize>,
    weight: u64,
}

#[derive(Debug)]
struct Host {
    address: SocketAddr,
    weight: u32,
    /// Copies under way, of all workers.
    under_way: u32,
    /// How far behind its share it is, in turns times weight.
    behind: i64,
}

impl Hosts {
    pub(super) fn new(balance: Balance, random: Rng) -> Self {
        Self { balance, random, hosts: Vec::new(), in_force: Vec::new(), weight: 0 }
    }

    /// The endpoints there are, by address; what is known of those that stay is kept. Nobody is in force afterwards.
    pub(super) fn set(&mut self, mut wanted: Vec<(SocketAddr, u32)>) {
        wanted.sort_unstable();
        wanted.dedup_by_key(|(address, _)| *address);
        let host = |(address, weight)| {
            let known = self.find(address).map(|index| &self.hosts[index]);
            let (under_way, behind) = known.map_or((0, 0), |host| (host.under_way, host.behind));
            Host { address, weight, under_way, behind }
        };
        self.hosts = wanted.into_iter().map(host).collect();
        self.in_force.clear();
    }

    /// Who takes part.
    pub(super) fn choose_from(&mut self, in_force: impl Fn(SocketAddr) -> bool) {
        self.in_force.clear();
        self.in_force.extend((0..self.hosts.len()).filter(|&index| in_force(self.hosts[index].address)));
        self.weight = self.in_force.iter().map(|&index| u64::from(self.hosts[index].weight)).sum();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The next endpoint; None when none is in force. It has one more copy under way until `done`.
    pub(super) fn pick(&mut self) -> Option<SocketAddr> {
        let index = match (self.in_force.as_slice(), self.balance) {
            ([], _) => return None,
            (&[only], _) => only,
            (_, Balance::RoundRobin) => self.in_turn(),
            (_, Balance::Random) => self.drawn(),
            (_, Balance::LeastRequest) => self.less_busy(),
        };
        let host = &mut self.hosts[index];
        host.under_way += 1;
        Some(host.address)
    }

    /// A copy that `pick` gave to this endpoint has ended.
    pub(super) fn done(&mut self, address: SocketAddr) {
        if let Some(index) = self.find(address) {
            let host = &mut self.hosts[index];
            host.under_way = host.under_way.saturating_sub(1);
        }
    }

    /// Smooth weighted round robin: the one furthest behind, the first of several.
    fn in_turn(&mut self) -> usize {
        let mut first = self.in_force[0];
        for &index in &self.in_force {
            let host = &mut self.hosts[index];
            host.behind += i64::from(host.weight);
            if host.behind > self.hosts[first].behind {
                first = index;
            }
        }
        self.hosts[first].behind -= i64::try_from(self.weight).unwrap_or(i64::MAX);
        first
    }

    /// One at random, by weight.
    fn drawn(&mut self) -> usize {
        let mut draw = self.random.u64(..self.weight.max(1));
        for &index in &self.in_force {
            let weight = u64::from(self.hosts[index].weight);
            if draw < weight {
                return index;
            }
            draw -= weight;
        }
        self.in_force[0]
    }

    /// Power of two choices: the one with fewer copies under way for its weight, the first drawn of two alike.
    fn less_busy(&mut self) -> usize {
        let (one, other) = (self.drawn(), self.drawn());
        let [a, b] = [one, other].map(|index| &self.hosts[index]);
        let busier =
            u64::from(a.under_way) * u64::from(b.weight) > u64::from(b.under_way) * u64::from(a.weight);
        if busier { other } else { one }
    }

    fn find(&self, address: SocketAddr) -> Option<usize> {
        self.hosts.binary_search_by_key(&address, |host| host.address).ok()
    }
}
