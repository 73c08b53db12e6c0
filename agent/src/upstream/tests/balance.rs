//! Balancing, with fixed seeds.

use std::{collections::BTreeMap, net::SocketAddr};

use fastrand::Rng;

use crate::{route::Balance, upstream::balance::Hosts};

fn address(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}

/// Endpoints by their ports, each with a weight.
fn hosts(balance: Balance, weights: &[(u16, u32)]) -> Hosts {
    let mut hosts = Hosts::new(balance, Rng::with_seed(7));
    hosts.set(weights.iter().map(|&(port, weight)| (address(port), weight)).collect());
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
    hosts.set(vec![(address(3), 1), (address(2), 1), (address(1), 1), (address(1), 1)]);
    hosts.choose_from(|_| true);
    assert_eq!(hosts.pick(), Some(address(2)), "the second one's turn was next");
    // Those that went are no longer counted, even if a copy to them ends now.
    hosts.done(address(9));
}
