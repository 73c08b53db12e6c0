//! Whose turn it is: `loadBalancer.simple` over the endpoints in force, each with its weight, the nearest first. Pure:
//! callers bring the random numbers.

use std::net::SocketAddr;

use fastrand::Rng;

use crate::route::Balance;

/// Of a level whose endpoints are not all in force, the share that it takes is this many times as large as theirs: those
/// left carry somewhat more before others are asked (Envoy's `overprovisioning_factor`, in percent; Istio leaves it there).
const CARRIES: usize = 140;

#[derive(Debug)]
pub(super) struct Hosts {
    balance: Balance,
    random: Rng,
    /// In the order of their addresses.
    hosts: Vec<Host>,
    /// The nearest first, those that get copies now.
    levels: Vec<Level>,
}

/// An endpoint there is, as its cluster has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listed {
    pub(super) address: SocketAddr,
    pub(super) weight: u32,
    /// As [`Endpoint::level`](crate::route::Endpoint::level).
    pub(super) level: u8,
}

#[derive(Debug)]
struct Host {
    listed: Listed,
    /// Copies under way, of all workers.
    under_way: u32,
    /// How far behind its share it is, in turns times weight.
    behind: i64,
}

/// Endpoints that are equally near.
#[derive(Debug)]
struct Level {
    /// Of the cluster's copies, in percent.
    share: usize,
    /// Those in force, by index, and their weights together.
    in_force: Vec<usize>,
    weight: u64,
}

impl Hosts {
    pub(super) fn new(balance: Balance, random: Rng) -> Self {
        Self { balance, random, hosts: Vec::new(), levels: Vec::new() }
    }

    /// The endpoints there are, by address; what is known of those that stay is kept. Nobody is in force afterwards.
    pub(super) fn set(&mut self, mut wanted: Vec<Listed>) {
        wanted.sort_unstable();
        wanted.dedup_by_key(|listed| listed.address);
        let host = |listed: Listed| {
            let known = self.find(listed.address).map(|index| &self.hosts[index]);
            let (under_way, behind) = known.map_or((0, 0), |host| (host.under_way, host.behind));
            Host { listed, under_way, behind }
        };
        self.hosts = wanted.into_iter().map(host).collect();
        self.levels.clear();
    }

    /// Who takes part: of the nearest those in force, and of the next as far as these are too few (Envoy's priority levels).
    pub(super) fn choose_from(&mut self, in_force: impl Fn(SocketAddr) -> bool) {
        let last = self.hosts.iter().map(|host| host.listed.level).max();
        let levels = last.map_or(0..0, |last| 0..usize::from(last) + 1);
        let mut levels: Vec<_> =
            levels.map(|_| (Level { share: 0, in_force: Vec::new(), weight: 0 }, 0)).collect();
        for (index, Host { listed, .. }) in self.hosts.iter().enumerate() {
            let (level, all) = &mut levels[usize::from(listed.level)];
            *all += 1;
            if in_force(listed.address) {
                level.in_force.push(index);
                level.weight += u64::from(listed.weight);
            }
        }
        let mut left = 100;
        for (level, all) in &mut levels {
            level.share = (CARRIES * level.in_force.len()).div_ceil((*all).max(1)).min(left);
            left -= level.share;
        }
        self.levels = levels.into_iter().map(|(level, _)| level).filter(|level| level.share > 0).collect();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The next endpoint; None when none is in force. It has one more copy under way until `done`.
    pub(super) fn pick(&mut self) -> Option<SocketAddr> {
        let Self { balance, random, hosts, levels } = self;
        let level = match levels.as_slice() {
            [only] => only,
            levels => drawn_level(levels, random)?,
        };
        let index = match (level.in_force.as_slice(), balance) {
            (&[only], _) => only,
            (_, Balance::RoundRobin) => level.in_turn(hosts),
            (_, Balance::Random) => level.drawn(hosts, random),
            (_, Balance::LeastRequest) => level.less_busy(hosts, random),
        };
        let host = &mut hosts[index];
        host.under_way += 1;
        Some(host.listed.address)
    }

    /// A copy that `pick` gave to this endpoint has ended.
    pub(super) fn done(&mut self, address: SocketAddr) {
        if let Some(index) = self.find(address) {
            let host = &mut self.hosts[index];
            host.under_way = host.under_way.saturating_sub(1);
        }
    }

    fn find(&self, address: SocketAddr) -> Option<usize> {
        self.hosts.binary_search_by_key(&address, |host| host.listed.address).ok()
    }
}

/// One at random, by their shares; these may be less than the whole together, where too few are in force anywhere.
fn drawn_level<'l>(levels: &'l [Level], random: &mut Rng) -> Option<&'l Level> {
    let whole: usize = levels.iter().map(|level| level.share).sum();
    let mut draw = random.usize(..whole.max(1));
    levels.iter().find(|level| {
        let found = draw < level.share;
        draw = draw.saturating_sub(level.share);
        found
    })
}

/// Each has one endpoint in force at least.
impl Level {
    /// Smooth weighted round robin: the one furthest behind, the first of several.
    fn in_turn(&self, hosts: &mut [Host]) -> usize {
        let mut first = self.in_force[0];
        for &index in &self.in_force {
            let host = &mut hosts[index];
            host.behind += i64::from(host.listed.weight);
            if host.behind > hosts[first].behind {
                first = index;
            }
        }
        hosts[first].behind -= i64::try_from(self.weight).unwrap_or(i64::MAX);
        first
    }

    /// One at random, by weight.
    fn drawn(&self, hosts: &[Host], random: &mut Rng) -> usize {
        let mut draw = random.u64(..self.weight.max(1));
        for &index in &self.in_force {
            let weight = u64::from(hosts[index].listed.weight);
            if draw < weight {
                return index;
            }
            draw -= weight;
        }
        self.in_force[0]
    }

    /// Power of two choices: the one with fewer copies under way for its weight, the first drawn of two alike.
    fn less_busy(&self, hosts: &[Host], random: &mut Rng) -> usize {
        let (one, other) = (self.drawn(hosts, random), self.drawn(hosts, random));
        let [a, b] = [one, other].map(|index| &hosts[index]);
        let (a_weight, b_weight) = (u64::from(a.listed.weight), u64::from(b.listed.weight));
        let busier = u64::from(a.under_way) * b_weight > u64::from(b.under_way) * a_weight;
        if busier { other } else { one }
    }
}
