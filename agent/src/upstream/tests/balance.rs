//! Balancing, with fixed seeds.

use std::{collections::BTreeMap, net::SocketAddr};

use fastrand::Rng;

use crate::{
    route::Balance,
    upstream::balance::{Hosts, Listed},
};

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

fn listed(port: u16, weight: u32, level: u8) -> Listed {
    Listed { address: address(port), weight, level }
}

/// Endpoints by their ports, each with a weight.
fn hosts(balance: Balance, weights: &[(u16, u32)]) -> Hosts {
    let mut hosts = Hosts::new(balance, Rng::with_seed(7));
    hosts.set(weights.iter().map(|&(port, weight)| listed(port, weight, 0)).collect());
    hosts.choose_from(|_| true);
    hosts
}

/// How often each of them got one of so many copies that end at once.
fn shares(hosts: &mut Hosts, copies: u32) -> BTreeMap<u16, u32> {
    let mut shares = BTreeMap::new();
    for _ in 0..copies {
        let picked = hosts.pick().unwrap();
        hosts.done(picked);
        *shares.entry(picked.port()).or_default() += 1;
    }
    shares
}

/// Within five standard deviations of the share that the weights promise.
fn assert_near(shares: &BTreeMap<u16, u32>, port: u16, share: f64) {
    let copies = f64::from(shares.values().sum::<u32>());
    let (expected, spread) = (copies * share, (copies * share * (1.0 - share)).sqrt());
    let seen = f64::from(shares.get(&port).copied().unwrap_or(0));
    assert!((seen - expected).abs() < 5.0 * spread, "{port} had {seen} of {copies}, not {expected}");
}

#[test]
fn round_robin_gives_each_its_turn() {
    let mut hosts = hosts(Balance::RoundRobin, &[(1, 1), (2, 1), (3, 1)]);
    let picked: Vec<_> = (0..7).map(|_| hosts.pick().unwrap().port()).collect();
    assert_eq!(picked, [1, 2, 3, 1, 2, 3, 1]);
}

#[test]
fn round_robin_keeps_to_weights_exactly_and_spreads_them() {
    let mut hosts = hosts(Balance::RoundRobin, &[(1, 5), (2, 1), (3, 1)]);
    let picked: Vec<_> = (0..7).map(|_| hosts.pick().unwrap().port()).collect();
    assert_eq!(picked, [1, 1, 2, 1, 3, 1, 1]);
    assert_eq!(shares(&mut hosts, 700), BTreeMap::from([(1, 500), (2, 100), (3, 100)]));
}

#[test]
fn random_draws_by_weight() {
    let shares = shares(&mut hosts(Balance::Random, &[(1, 1), (2, 2), (3, 7)]), 100_000);
    for (port, share) in [(1, 0.1), (2, 0.2), (3, 0.7)] {
        assert_near(&shares, port, share);
    }
}

#[test]
fn least_request_draws_by_weight_while_nobody_is_busy() {
    let shares = shares(&mut hosts(Balance::LeastRequest, &[(1, 1), (2, 3)]), 100_000);
    assert_near(&shares, 1, 0.25);
}

#[test]
fn least_request_takes_the_less_busy_of_two() {
    let mut hosts = hosts(Balance::LeastRequest, &[(1, 1), (2, 1)]);
    // One of them never finishes what it gets.
    let mut stuck = 0;
    let mut idle = 0;
    for _ in 0..10_000 {
        match hosts.pick().unwrap() {
            picked if picked.port() == 1 => stuck += 1,
            picked => {
                hosts.done(picked);
                idle += 1;
            }
        }
    }
    // It is taken when both draws fall on it: one time in four.
    assert_near(&BTreeMap::from([(1, stuck), (2, idle)]), 1, 0.25);
}

#[test]
fn least_request_measures_how_busy_one_is_by_its_weight() {
    let mut hosts = hosts(Balance::LeastRequest, &[(1, 1), (2, 3)]);
    let mut under_way = BTreeMap::<u16, u32>::new();
    for _ in 0..4_000 {
        *under_way.entry(hosts.pick().unwrap().port()).or_default() += 1;
    }
    let (light, heavy) = (under_way[&1], under_way[&2]);
    assert!((950..=1050).contains(&light), "{light} and {heavy} copies are under way, not one to three");
}

#[test]
fn only_those_in_force_take_part() {
    for balance in [Balance::LeastRequest, Balance::RoundRobin, Balance::Random] {
        let mut hosts = hosts(balance, &[(1, 1), (2, 1), (3, 1)]);
        hosts.choose_from(|address| address.port() != 2);
        let shares = shares(&mut hosts, 1_000);
        assert!(shares[&1] > 0 && shares[&3] > 0 && !shares.contains_key(&2), "{balance:?}: {shares:?}");
        hosts.choose_from(|_| false);
        assert_eq!(hosts.pick(), None);
        assert!(!hosts.is_empty());
    }
}

#[test]
fn those_that_stay_keep_what_is_known_of_them() {
    let mut hosts = hosts(Balance::RoundRobin, &[(1, 1), (2, 1)]);
    assert_eq!(hosts.pick(), Some(address(1)));
    hosts.set([3, 2, 1, 1].map(|port| listed(port, 1, 0)).into());
    hosts.choose_from(|_| true);
    assert_eq!(hosts.pick(), Some(address(2)), "the second one's turn was next");
    // Those that went are no longer counted, even if a copy to them ends now.
    hosts.done(address(9));
}

/// Two near, two further away, one far, by their ports: 11, 12, 21, 22, 31.
fn in_levels(balance: Balance) -> Hosts {
    let mut hosts = Hosts::new(balance, Rng::with_seed(7));
    hosts.set(
        [(11, 0), (12, 0), (21, 1), (22, 1), (31, 2)].map(|(port, level)| listed(port, 1, level)).into(),
    );
    hosts.choose_from(|_| true);
    hosts
}

#[test]
fn the_nearest_get_every_copy_while_they_are_in_force() {
    for balance in [Balance::LeastRequest, Balance::RoundRobin, Balance::Random] {
        let shares = shares(&mut in_levels(balance), 1_000);
        assert_eq!(shares.keys().copied().collect::<Vec<_>>(), [11, 12], "{balance:?}");
    }
}

#[test]
fn those_further_away_get_what_the_nearest_cannot_take() {
    let mut hosts = in_levels(Balance::Random);
    hosts.choose_from(|address| address.port() != 12);
    // Of two one is left, and carries 70 % of what both had.
    let some_gone = shares(&mut hosts, 100_000);
    assert_near(&some_gone, 11, 0.7);
    assert_near(&some_gone, 21, 0.15);
    assert!(!some_gone.contains_key(&31), "{some_gone:?}");

    hosts.choose_from(|address| address.port() > 12);
    assert_eq!(shares(&mut hosts, 1_000).keys().copied().collect::<Vec<_>>(), [21, 22]);
    hosts.choose_from(|address| address.port() == 31);
    assert_eq!(shares(&mut hosts, 1_000), BTreeMap::from([(31, 1_000)]));
}

#[test]
fn where_too_few_are_left_everywhere_they_share_it_all() {
    let mut hosts = Hosts::new(Balance::Random, Rng::with_seed(7));
    let far = (20..30).map(|port| listed(port, 1, 1));
    hosts.set((10..20).map(|port| listed(port, 1, 0)).chain(far).collect());
    // One of ten near (14 %), and two of ten further away (28 %).
    hosts.choose_from(|address| [10, 20, 21].contains(&address.port()));
    assert_near(&shares(&mut hosts, 100_000), 10, 1.0 / 3.0);
}
