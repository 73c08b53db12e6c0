//! Which requests are copied: statistics with fixed seeds, and values that must never change.

use std::{net::SocketAddr, sync::Arc};

use super::*;
use crate::{
    message::{BodyLength, Header, Version},
    record::{Account, MirrorKey, RuleKey},
    route::{Cluster, Enforced, Policy, Sampling},
};

const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)), 4711);

fn mirror(share: u32, sampling: Option<Sampling>) -> Mirror {
    let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
    let account = Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80/v2".into() }));
    let coverage = sampling.as_ref().and_then(|sampling| sampling.coverage);
    let kinds = coverage.map(|coverage| account.standing.kinds(coverage.kinds));
    let enforced = sampling.map(|sampling| {
        let policy = Policy { sampling: Some(sampling), ..Policy::default() };
        Enforced { policy: Arc::new(policy), kinds }
    });
    let cluster = Arc::new(Cluster::plain("outbound|80|v2|my-app", Vec::new()));
    Mirror { account, share: Share(share), cluster, changes: None, timeout: None, enforced }
}

fn drawn(request: u64) -> Draws {
    Draws { request, connection: 0 }
}

fn sticky(key: StickyKey) -> Sampling {
    Sampling { drawn_for: DrawnFor::Key(key), ..Sampling::default() }
}

fn with<R>(target: &str, fields: &[(&str, &str)], read: impl FnOnce(&RequestHead<'_>) -> R) -> R {
    let headers: Vec<_> =
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
    let (version, body) = (Version::Http11, BodyLength::None);
    read(&RequestHead { method: "GET", target, version, headers: &headers, body, encrypted: false })
}

fn admitted(mirror: &Mirror, target: &str, fields: &[(&str, &str)], draw: u64) -> bool {
    with(target, fields, |head| admits(mirror, head, drawn(draw), CLIENT, || 0))
}

/// Within five standard deviations of a binomial distribution; the seeds are fixed, so this holds or it does not.
fn is_share(hits: u32, of: u32, share: f64) -> bool {
    let (hits, of) = (f64::from(hits), f64::from(of));
    (hits - of * share).abs() <= 5.0 * (of * share * (1.0 - share)).sqrt()
}

fn count(of: u32, hit: impl FnMut(u32) -> bool) -> u32 {
    u32::try_from(
        (0..of)
            .filter({
                let mut hit = hit;
                move |&n| hit(n)
            })
            .count(),
    )
    .unwrap()
}

#[test]
fn each_request_is_drawn_for_by_itself() {
    let mut rng = fastrand::Rng::with_seed(7);
    for (share, part) in [(1_000, 0.001), (50_000, 0.05), (500_000, 0.5), (999_000, 0.999)] {
        let mirror = mirror(share, None);
        let hits = count(200_000, |_| admitted(&mirror, "/", &[], rng.u64(..)));
        assert!(is_share(hits, 200_000, part), "{hits} of 200000 at {part}");
    }
}

#[test]
fn what_is_sticky_keeps_its_share_of_keys_and_the_same_ones() {
    let mut rng = fastrand::Rng::with_seed(8);
    let mirror = mirror(100_000, Some(sticky(StickyKey::Cookie("session".into()))));
    let hits = count(50_000, |session| {
        let cookie = format!("a=b; session={session:x}");
        let first = admitted(&mirror, "/", &[("Cookie", &cookie)], rng.u64(..));
        let again = admitted(&mirror, "/other", &[("cookie", &cookie)], rng.u64(..));
        assert_eq!(first, again);
        first
    });
    assert!(is_share(hits, 50_000, 0.1), "{hits}");
}

#[test]
fn a_smaller_share_has_some_of_the_keys_of_a_larger_one_and_no_others() {
    let key = || Some(sticky(StickyKey::Header("x-user".into())));
    let (small, large) = (mirror(50_000, key()), mirror(200_000, key()));
    for user in 0..10_000 {
        let user = user.to_string();
        let fields = [("X-User", user.as_str())];
        assert!(!admitted(&small, "/", &fields, 0) || admitted(&large, "/", &fields, 0));
    }
}

#[test]
fn a_request_without_the_key_is_drawn_for_by_itself() {
    let mut rng = fastrand::Rng::with_seed(9);
    let mirror = mirror(300_000, Some(sticky(StickyKey::Header("x-user".into()))));
    for fields in [&[][..], &[("X-User", "")]] {
        let hits = count(50_000, |_| admitted(&mirror, "/", fields, rng.u64(..)));
        assert!(is_share(hits, 50_000, 0.3), "{hits}");
    }
}

/// Changing any of these would move every session of every user at an upgrade, and differ between nodes meanwhile.
#[test]
fn a_key_has_the_same_draw_for_ever() {
    let draw =
        |key: &StickyKey, target, fields: &[_]| with(target, fields, |head| sticky_draw(key, head, CLIENT));
    let alice = Some(hash::of(b"alice"));
    assert_eq!(alice, Some(ALICE));
    let fields = [("X-User", "alice"), ("Cookie", "x=1; user=alice"), ("Cookie", "user=bob")];
    assert_eq!(draw(&StickyKey::Header("x-user".into()), "/", &fields), alice);
    assert_eq!(draw(&StickyKey::Cookie("user".into()), "/", &fields), alice);
    assert_eq!(draw(&StickyKey::Cookie("use".into()), "/", &fields), None);
    assert_eq!(draw(&StickyKey::QueryParam("u v".into()), "/?a=1&u%20v=alice&u+v=b", &[]), alice);
    assert_eq!(draw(&StickyKey::QueryParam("u".into()), "/?u", &[]), None);
    assert_eq!(draw(&StickyKey::SourceAddress, "/", &[]), Some(hash::of(&[192, 0, 2, 1])));
    assert_eq!(hash::of(&[192, 0, 2, 1]), SOURCE);
    let mapped: SocketAddr = "[::ffff:192.0.2.1]:9".parse().unwrap();
    let of_mapped = with("/", &[], |head| sticky_draw(&StickyKey::SourceAddress, head, mapped));
    assert_eq!(of_mapped, Some(SOURCE));
}

const ALICE: u64 = 0x3507_d047_a67c_08f4;
const SOURCE: u64 = 0x8039_3182_6a22_88ea;

#[test]
fn all_requests_of_a_connection_are_copied_or_none() {
    let mut rng = fastrand::Rng::with_seed(12);
    let whole =
        |share| mirror(share, Some(Sampling { drawn_for: DrawnFor::Connection, ..Sampling::default() }));
    let (small, large) = (whole(100_000), whole(400_000));
    let of_connection = |mirror: &Mirror, rng: &mut fastrand::Rng, connection| {
        let mut admitted = || {
            let draws = Draws { request: rng.u64(..), connection };
            with("/", &[], |head| admits(mirror, head, draws, CLIENT, || 0))
        };
        let first = admitted();
        assert!((0..5).all(|_| admitted() == first));
        first
    };
    let (mut captured, mut copied) = (0, 0);
    for _ in 0..50_000 {
        let connection = rng.u64(..);
        let in_large = of_connection(&large, &mut rng, connection);
        let in_small = of_connection(&small, &mut rng, connection);
        assert!(in_large || !in_small, "what is within a smaller share is within every larger one");
        captured += u32::from(in_large);
        copied += u32::from(in_small);
    }
    assert!(is_share(captured, 50_000, 0.4) && is_share(copied, 50_000, 0.1));
    assert!(
        is_share(copied, captured, 0.25),
        "of those captured for the larger share: {copied} of {captured}"
    );
}

#[test]
fn the_share_in_force_is_a_part_of_the_rules() {
    let adaptive = crate::route::Adaptive {
        floor: 0.0,
        ceiling: 1.0,
        max_latency: None,
        max_errors: None,
        max_cpu_pressure: None,
    };
    let mirror = mirror(400_000, Some(Sampling { adaptive: Some(adaptive), ..Sampling::default() }));
    mirror.account.standing.put_in_force(250_000);
    assert_eq!(share_in_force(&mirror), Share(100_000));
    let mut rng = fastrand::Rng::with_seed(10);
    let hits = count(50_000, |_| admitted(&mirror, "/", &[], rng.u64(..)));
    assert!(is_share(hits, 50_000, 0.1), "{hits}");
}

/// A thousand requests a second of which two are rare, for a minute, with a budget of twenty copies.
#[test]
fn coverage_spends_its_budget_on_rare_kinds_first() {
    const SECOND: u64 = 1_000_000_000;
    let coverage = Coverage { copies_per_second: 20.0, kinds: 1024 };
    let mirror = mirror(1_000_000, Some(Sampling { coverage: Some(coverage), ..Sampling::default() }));
    let kinds = mirror.enforced.as_ref().and_then(|enforced| enforced.kinds.clone()).unwrap();
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut rare, mut common, mut rare_seen) = (0, 0, 0);
    for second in 0..60 {
        for request in 0..1000 {
            let is_rare = request % 500 == 250;
            let target = if is_rare { "/checkout/refund" } else { "/catalogue" };
            let now = second * SECOND + request * SECOND / 1000;
            let copied = with(target, &[], |head| admits(&mirror, head, drawn(rng.u64(..)), CLIENT, || now));
            rare_seen += u32::from(is_rare);
            rare += u32::from(is_rare && copied);
            common += u32::from(!is_rare && copied);
        }
        kinds.tick(coverage.copies_per_second);
    }
    assert_eq!((rare, rare_seen), (120, 120), "every rare request is copied");
    assert!((900..=1220 - rare).contains(&common), "{common} common ones in a minute");
    assert_eq!(kinds.covered().covered, 2);
}
