//! What ShadowPolicies do to copies on their way, against real sockets.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    BodyLength, DropReason, FailReason, NEVER, NOBODY, Outcome, Scene, config, drawn, push,
    shadows::{Healthy, black_hole},
};
use crate::{
    record::{Pace, Since},
    route::{
        Adaptive, BodyLimit, CopyFaults, Enforced, Marker, Mirror, OnExceed, Policy, Redact, Sampling, Share,
        Ttl,
    },
    shadow::sampler::share_in_force,
};

const OK: Outcome = Outcome::Completed { status: 200 };
const HOST: [(&str, &str); 1] = [("Host", "shop")];

impl Scene {
    /// The same mirror under a policy.
    fn under(mut self, policy: Policy) -> Self {
        let enforced = Enforced { policy: Arc::new(policy), kinds: None };
        let old = &self.mirror;
        self.mirror = Arc::new(Mirror {
            account: Arc::clone(&old.account),
            share: old.share,
            cluster: Arc::clone(&old.cluster),
            changes: None,
            timeout: None,
            enforced: Some(enforced),
        });
        let markers = enforced_marker(&self.mirror).into_iter().collect();
        self.plane.shared.put_in_force(vec![Arc::clone(&self.mirror)], markers);
        self
    }

    async fn is_dropped(&self, reason: DropReason) {
        assert_eq!(self.outcome().await, Outcome::Dropped(reason));
    }
}

fn enforced_marker(mirror: &Mirror) -> Option<HeaderName> {
    mirror.enforced.as_ref()?.policy.marker.as_ref()?.header.clone()
}

fn at_most(max: u64, on_exceed: OnExceed) -> Policy {
    Policy { body: Some(BodyLimit { max, on_exceed }), ..Policy::default() }
}

#[tokio::test]
async fn only_listed_methods_are_copied_whatever_the_share() {
    let shadow = Healthy::start().await;
    let policy = Policy { methods: vec!["GET".into(), "HEAD".into()], ..Policy::default() };
    let scene = Scene::new(shadow.address).under(policy);
    assert!(scene.offer("POST", "/", &HOST, BodyLength::None).is_none());
    scene.is_dropped(DropReason::Method).await;
    scene.get("/");
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn the_handshake_of_another_protocol_is_a_plain_copy_where_a_policy_wants_it() {
    let mut shadow = Healthy::start().await;
    let handshake = [
        ("Host", "shop"),
        ("Connection", "keep-alive, Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
    ];
    let scene = Scene::new(shadow.address).under(Policy { upgrades: Some(true), ..Policy::default() });
    scene.offer("GET", "/chat", &handshake, BodyLength::None).unwrap().end(None);
    assert_eq!(scene.outcome().await, OK);
    let names: Vec<_> =
        shadow.received.recv().await.unwrap().headers.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["host", "sec-websocket-version", "x-umbra-shadow"]);
    assert!(scene.offer("CONNECT", "shop:443", &HOST, BodyLength::None).is_none());
    scene.is_dropped(DropReason::Upgrade).await;

    let scene = scene.under(Policy { upgrades: Some(false), ..Policy::default() });
    assert!(scene.offer("GET", "/chat", &handshake, BodyLength::None).is_none());
    scene.is_dropped(DropReason::Upgrade).await;
    scene.finish();
}

#[tokio::test]
async fn a_request_that_may_go_on_in_http2_is_copied_like_any() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let fields = [
        ("Host", "shop"),
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ];
    scene.offer("GET", "/", &fields, BodyLength::None).unwrap().end(None);
    assert_eq!(scene.outcome().await, OK);
    let copy = shadow.received.recv().await.unwrap();
    assert_eq!(copy.headers.len(), 2, "host and marker: {:?}", copy.headers);
    scene.finish();
}

#[tokio::test]
async fn a_request_with_the_marker_of_any_policy_is_a_copy() {
    let mut shadow = Healthy::start().await;
    let marker = Marker {
        header: Some(HeaderName::from_static("x-env")),
        value: Some(HeaderValue::from_static("test")),
    };
    let scene = Scene::new(shadow.address).under(Policy { marker: Some(marker), ..Policy::default() });
    scene.get("/");
    assert_eq!(scene.outcome().await, OK);
    let copy = shadow.received.recv().await.unwrap().headers;
    assert!(copy.contains(&("x-env".into(), "test".into())), "{copy:?}");

    let plain = Arc::new(Mirror {
        account: Arc::clone(&scene.mirror.account),
        share: Share::ALL,
        cluster: Arc::clone(&scene.mirror.cluster),
        changes: None,
        timeout: None,
        enforced: None,
    });
    for (mirror, marker) in [(&scene.mirror, "X-Umbra-Shadow"), (&scene.mirror, "X-Env"), (&plain, "X-Env")] {
        let headers = [super::Header { name: marker, value: b"anything" }];
        let (version, body) = (super::Version::Http11, BodyLength::None);
        let head = super::RequestHead {
            method: "GET",
            target: "/",
            version,
            headers: &headers,
            body,
            encrypted: false,
        };
        scene.offers.fetch_add(1, Ordering::Relaxed);
        assert!(scene.plane.offer(mirror, &head, drawn(0), NOBODY.into()).is_none(), "{marker}");
        scene.is_dropped(DropReason::Marked).await;
    }
    scene.finish();
}

#[tokio::test]
async fn a_mirror_ends_when_its_time_is_over() {
    let since = Arc::new(Since::default());
    let ttl = Ttl { lasts: Duration::from_secs(3600), since: Arc::clone(&since), created: None };
    let shadow = Healthy::start().await;
    // Put in force an hour ago, by an earlier snapshot.
    since.start(std::time::Instant::now(), Duration::from_secs(3600));
    let scene = Scene::new(shadow.address).under(Policy { ttl: Some(ttl), ..Policy::default() });
    scene.get("/");
    scene.is_dropped(DropReason::Expired).await;
    let ttl = Ttl { lasts: Duration::from_secs(7200), since, created: None };
    let scene = scene.under(Policy { ttl: Some(ttl), ..Policy::default() });
    scene.get("/");
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn a_ttl_counts_from_the_creation_of_its_policy() {
    let since = Arc::new(Since::default());
    let ttl = Ttl { lasts: Duration::from_secs(3600), since, created: Some(1_700_000_000) };
    let scene = Scene::new(black_hole().await).under(Policy { ttl: Some(ttl), ..Policy::default() });
    scene.get("/");
    scene.is_dropped(DropReason::Expired).await;
    scene.finish();
}

#[tokio::test]
async fn a_body_known_to_be_too_large_is_dropped_with_its_head() {
    let scene = Scene::new(black_hole().await).under(at_most(10, OnExceed::Drop));
    let length = [("Host", "shop"), ("Content-Length", "11")];
    assert!(scene.offer("POST", "/", &length, BodyLength::Known(11)).is_none());
    scene.is_dropped(DropReason::BodyTooLarge).await;
    scene.finish();
}

#[tokio::test]
async fn a_body_that_becomes_too_large_is_dropped_there() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(10, OnExceed::Drop));
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"0123456789"));
    feed.end(None);
    assert_eq!(scene.outcome().await, OK);
    assert_eq!(shadow.received.recv().await.unwrap().body, "0123456789");

    let scene = Scene::new(black_hole().await).under(at_most(10, OnExceed::Drop));
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"01234567"));
    push(&mut feed, &Bytes::from_static(b"890"));
    scene.is_dropped(DropReason::BodyTooLarge).await;
    feed.end(None);
    scene.finish();
}

#[tokio::test]
async fn a_truncated_copy_is_a_whole_request() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(10, OnExceed::Truncate));
    let body = Bytes::from_static(b"0123456789abcdef");
    for (length, pieces, expected) in [
        (BodyLength::Known(16), [3, 16], "0123456789"),
        (BodyLength::Known(16), [10, 16], "0123456789"),
        (BodyLength::Known(8), [5, 8], "01234567"),
        (BodyLength::Streamed, [3, 16], "0123456789"),
        (BodyLength::Streamed, [4, 10], "0123456789"),
    ] {
        let mut feed = scene.offer("POST", "/", &HOST, length).unwrap();
        feed.data(super::Slice::new(&body, 0, pieces[0]));
        feed.data(super::Slice::new(&body, pieces[0], pieces[1]));
        feed.end(Some(HeaderMap::new()));
        assert_eq!(scene.outcome().await, OK);
        let received = shadow.received.recv().await.unwrap();
        assert_eq!(received.body, expected);
        let framing = received.headers.iter().find(|(name, _)| name == "content-length");
        let expected = matches!(length, BodyLength::Known(_)).then(|| expected.len().to_string());
        assert_eq!(framing.map(|(_, value)| value.clone()), expected);
    }
    scene.finish();
}

#[tokio::test]
async fn nothing_of_a_body_is_a_whole_request_too() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(0, OnExceed::Truncate));
    for length in [BodyLength::Known(3), BodyLength::Streamed] {
        let mut feed = scene.offer("POST", "/", &HOST, length).unwrap();
        push(&mut feed, &Bytes::from_static(b"abc"));
        feed.end(None);
        assert_eq!(scene.outcome().await, OK);
        assert_eq!(shadow.received.recv().await.unwrap().body, "");
    }
    scene.finish();
}

#[tokio::test]
async fn trailers_are_redacted_like_headers() {
    let mut shadow = Healthy::start().await;
    let redact = Redact { headers: vec![HeaderName::from_static("x-sum")], ..Redact::default() };
    let scene = Scene::new(shadow.address).under(Policy { redact: Some(redact), ..Policy::default() });
    let fields = [("Host", "shop"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, X-End")];
    let mut feed = scene.offer("POST", "/", &fields, BodyLength::Streamed).unwrap();
    push(&mut feed, &Bytes::from_static(b"body"));
    let trailers =
        ["x-sum", "x-end"].map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
    feed.end(Some(HeaderMap::from_iter(trailers)));
    assert_eq!(scene.outcome().await, OK);
    let trailers = shadow.received.recv().await.unwrap().trailers.unwrap();
    assert!(trailers.contains_key("x-end") && !trailers.contains_key("x-sum"), "{trailers:?}");
    scene.finish();
}

#[tokio::test]
async fn no_more_copies_are_under_way_than_allowed() {
    let policy = Policy { concurrency: Some(2), ..Policy::default() };
    let scene = Scene::new(black_hole().await).under(policy.clone());
    let mut feeds: Vec<_> = (0..2).map(|_| scene.upload().unwrap()).collect();
    assert!(scene.upload().is_none());
    scene.is_dropped(DropReason::Concurrency).await;
    // A reload changes nothing for copies under way.
    let scene = scene.under(policy);
    assert!(scene.upload().is_none());
    scene.is_dropped(DropReason::Concurrency).await;

    drop(feeds.pop());
    scene.is_dropped(DropReason::Cancelled).await;
    feeds.push(scene.upload().unwrap());
    drop(feeds);
    for _ in 0..2 {
        scene.is_dropped(DropReason::Cancelled).await;
    }
    scene.finish();
}

#[tokio::test]
async fn copies_keep_to_their_rate_over_a_reload() {
    let policy = || Policy { rate: Some(Pace::new(0.001, Some(3))), ..Policy::default() };
    let shadow = Healthy::start().await;
    let mut scene = Scene::new(shadow.address).under(policy());
    for _ in 0..3 {
        scene.get("/");
        assert_eq!(scene.outcome().await, OK);
        scene = scene.under(policy());
    }
    for _ in 0..5 {
        scene.get("/");
        scene.is_dropped(DropReason::RateLimited).await;
    }
    scene.finish();
}

#[tokio::test]
async fn copies_that_find_no_room_use_up_no_rate() {
    let mut config = config();
    config.queue.requests = 1;
    let policy = Policy { rate: Some(Pace::new(0.001, Some(2))), ..Policy::default() };
    let scene = Scene::with(config, vec![black_hole().await]).under(policy);
    let first = scene.upload().unwrap();
    for _ in 0..5 {
        assert!(scene.upload().is_none());
        scene.is_dropped(DropReason::QueueFull).await;
    }
    drop(first);
    scene.is_dropped(DropReason::Cancelled).await;
    drop(scene.upload().unwrap());
    scene.is_dropped(DropReason::Cancelled).await;
    assert!(scene.upload().is_none());
    scene.is_dropped(DropReason::RateLimited).await;
    scene.finish();
}

#[tokio::test]
async fn copies_are_aborted_and_delayed_for_their_share() {
    let shadow = Healthy::start().await;
    let faults = CopyFaults { abort: Some(Share(250_000)), delay: None };
    let scene = Scene::new(shadow.address).under(Policy { faults: Some(faults), ..Policy::default() });
    for draw in 0..400 {
        let head = super::RequestHead {
            method: "GET",
            target: "/",
            version: super::Version::Http11,
            headers: &[],
            body: BodyLength::None,
            encrypted: false,
        };
        scene.offers.fetch_add(1, Ordering::Relaxed);
        drop(scene.plane.offer(&scene.mirror, &head, drawn(draw), NOBODY.into()));
        scene.outcome().await;
    }
    let aborted = scene.mirror.account.read().dropped[DropReason::Fault as usize];
    assert!((57..=143).contains(&aborted), "{aborted} of 400 at a quarter");
    scene.finish();
}

#[tokio::test]
async fn a_delayed_copy_holds_up_no_other_and_its_time_runs_after_the_delay() {
    let delay = Duration::from_millis(300);
    let faults = CopyFaults { delay: Some((Share::ALL, delay)), abort: None };
    let mut shadow = Healthy::start().await;
    let (timeout, faults) = (Some(Duration::from_secs(20)), Some(faults));
    let scene = Scene::new(shadow.address).under(Policy { timeout, faults, ..Policy::default() });
    for _ in 0..50 {
        scene.get("/");
    }
    let offered = std::time::Instant::now();
    for _ in 0..50 {
        let ended = scene.ended().await;
        assert!(ended.outcome == OK && ended.duration >= delay, "{ended:?}");
        shadow.received.recv().await.unwrap();
    }
    assert!(offered.elapsed() < 25 * delay, "one after the other");

    // A cancelled one ends at once.
    let scene = scene.under(Policy {
        faults: Some(CopyFaults { delay: Some((Share::ALL, NEVER * 10)), abort: None }),
        ..Policy::default()
    });
    drop(scene.upload().unwrap());
    scene.is_dropped(DropReason::Cancelled).await;
    scene.finish();
}

#[tokio::test]
async fn the_policy_s_timeout_comes_before_the_rule_s_and_that_before_the_agent_s() {
    let soon = Some(Duration::from_millis(50));
    let scene = Scene::new(black_hole().await).under(Policy { timeout: soon, ..Policy::default() });
    scene.get("/");
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    let mut scene = scene.under(Policy::default());
    scene.plane.shared.put_in_force(Vec::new(), Vec::new());
    Arc::get_mut(&mut scene.mirror).unwrap().timeout = soon;
    scene.get("/");
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    scene.finish();
}

#[tokio::test]
async fn a_failing_shadow_gets_fewer_copies_until_it_is_well() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let adaptive = Adaptive {
        floor: 0.1,
        ceiling: 1.0,
        max_latency: None,
        max_errors: Some(0.5),
        max_cpu_pressure: Some(50.0),
    };
    let sampling = Sampling { adaptive: Some(adaptive), ..Sampling::default() };
    let scene = Scene::new(address).under(Policy { sampling: Some(sampling), ..Policy::default() });
    scene.plane.steer(|| None);
    assert_eq!(share_in_force(&scene.mirror), Share::ALL);
    for _ in 0..20 {
        scene.get("/");
        assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Connect));
    }
    scene.plane.steer(|| None);
    assert_eq!(share_in_force(&scene.mirror), Share(700_000));
    scene.plane.steer(|| Some(99.0));
    assert_eq!(share_in_force(&scene.mirror), Share(700_000), "it rests a while");
    scene.finish();
}
