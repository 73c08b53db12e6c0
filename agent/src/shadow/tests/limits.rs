//! What is dropped, and why, before or instead of being sent.

use bytes::Bytes;

use super::{
    BodyLength, DropReason, Fields, Header, NEVER, NOBODY, Outcome, RequestHead, Scene, Share, Version,
    config, drawn, push,
    shadows::{Healthy, black_hole},
};

#[tokio::test]
async fn what_cannot_be_copied_is_dropped_with_its_reason() {
    let scene = Scene::new(black_hole().await);
    let none = BodyLength::None;
    let cases: [(&str, &str, Fields, DropReason); 8] = [
        ("GET", "/", &[("X-Umbra-Shadow", "1")], DropReason::Marked),
        ("GET", "/chat", &[("Connection", "upgrade"), ("Upgrade", "websocket")], DropReason::Upgrade),
        ("CONNECT", "shop:443", &[], DropReason::Upgrade),
        ("GET", "/a#b", &[], DropReason::Unsendable),
        ("G T", "/", &[], DropReason::Unsendable),
        ("GET", "/", &[("X-Bell", "\u{7}")], DropReason::Unsendable),
        ("POST", "/", &[("content-type", "application/grpc")], DropReason::Unsendable),
        ("POST", "/", &[("content-type", "application/grpc+proto")], DropReason::Unsendable),
    ];
    for (method, target, fields, reason) in cases {
        drop(scene.offer(method, target, fields, none));
        assert_eq!(scene.outcome().await, Outcome::Dropped(reason), "{method} {target}");
    }
    scene.finish();
}

#[tokio::test]
async fn a_destination_without_endpoints_is_a_reason_too() {
    let scene = Scene::with(config(), Vec::new());
    scene.get("/");
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::NoEndpoint));
    scene.finish();
}

#[tokio::test]
async fn one_draw_decides_every_mirror_of_a_request() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let mirrors = [1_000, 500_000, 1_000_000].map(|share| scene.mirror_of(Share(share)));
    let head = RequestHead {
        method: "GET",
        target: "/",
        version: Version::Http11,
        headers: &[],
        body: BodyLength::None,
        encrypted: false,
    };
    let mut copies = 0;
    for draw in (0..2_000_000u64).step_by(997) {
        let sent = mirrors
            .each_ref()
            .map(|mirror| scene.plane.offer(mirror, &head, drawn(draw), NOBODY.into()).is_some());
        assert!(sent.is_sorted(), "a smaller share must lie within a larger one: {sent:?}");
        copies += sent.iter().filter(|&&it| it).count();
    }
    for _ in 0..copies {
        assert_eq!(scene.outcome().await, Outcome::Completed { status: 200 });
    }
    let sampled_out = mirrors.each_ref().map(|mirror| mirror.account.read().sampled_out);
    let offered = mirrors[0].account.read().offered;
    assert_eq!(sampled_out[2], 0);
    assert_eq!(sampled_out.iter().sum::<u64>() + copies as u64, 3 * offered);
    assert!(sampled_out[1].abs_diff(offered / 2) <= 1 && sampled_out[0] > offered * 99 / 100);
    assert!(mirrors.iter().all(|mirror| mirror.account.read().in_flight() == 0));
}

#[tokio::test]
async fn a_copy_is_dropped_as_such_whatever_the_share() {
    let scene = Scene::new(black_hole().await);
    let mirror = scene.mirror_of(Share(0));
    let headers = [Header { name: "x-umbra-shadow", value: b"1" }];
    let head = RequestHead {
        method: "GET",
        target: "/",
        version: Version::Http11,
        headers: &headers,
        body: BodyLength::None,
        encrypted: false,
    };
    assert!(scene.plane.offer(&mirror, &head, drawn(5), NOBODY.into()).is_none());
    assert_eq!(mirror.account.read().dropped[DropReason::Marked as usize], 1);
    assert_eq!(mirror.account.read().in_flight(), 0);
}

#[tokio::test]
async fn no_more_copies_are_accepted_than_configured() {
    let mut config = config();
    config.queue.requests = 3;
    let scene = Scene::with(config, vec![black_hole().await]);
    let mut feeds: Vec<_> = (0..3).map(|_| scene.upload().unwrap()).collect();
    assert!(scene.upload().is_none());
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::QueueFull));

    // An ended copy makes room for the next.
    drop(feeds.pop());
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    feeds.push(scene.upload().unwrap());
    drop(feeds);
    for _ in 0..3 {
        assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    }
    scene.finish();
}

#[tokio::test]
async fn all_bodies_together_stay_within_their_budget() {
    let mut config = config();
    config.queue.bytes = 1 << 20;
    let scene = Scene::with(config, vec![black_hole().await]);
    let chunk = Bytes::from_static(&[b'x'; 64 << 10]);
    let mut feeds: Vec<_> = (0..8).map(|_| scene.upload().unwrap()).collect();
    for _ in 0..1024 {
        for feed in &mut feeds {
            push(feed, &chunk);
            assert!(scene.plane.load().bytes <= 1 << 20);
        }
    }
    for _ in 0..8 {
        assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::BytesBudget));
    }
    drop(feeds);
    scene.finish();
}

#[tokio::test]
async fn heads_count_in_the_budget_until_their_copies_end() {
    let mut config = config();
    config.queue.bytes = 256 << 10;
    let scene = Scene::with(config, vec![black_hole().await]);
    let large = "x".repeat(48 << 10);
    let fields = [("Host", "shop"), ("Cookie", large.as_str())];
    let offer = || scene.offer("POST", "/upload", &fields, BodyLength::Streamed);
    let feeds: Vec<_> = (0..5).map(|_| offer().unwrap()).collect();
    assert!(scene.plane.load().bytes > 5 * large.len());

    assert!(offer().is_none());
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::BytesBudget));

    drop(feeds);
    for _ in 0..5 {
        assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    }
    assert_eq!(scene.plane.load().bytes, 0);
    scene.finish();
}

#[tokio::test]
async fn a_body_larger_than_every_budget_passes_when_the_shadow_keeps_up() {
    let mut shadow = Healthy::start().await;
    let mut config = config();
    config.queue.bytes = 256 << 10;
    let scene = Scene::with(config, vec![shadow.address]);
    let mut feed = scene.upload().unwrap();
    let chunk = Bytes::from_static(&[b'x'; 64 << 10]);
    for _ in 0..64 {
        push(&mut feed, &chunk);
        let written = async {
            while scene.plane.load().bytes > 128 << 10 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(NEVER, written).await.expect("written bytes should be given back");
    }
    feed.end(None);
    assert_eq!(shadow.received.recv().await.unwrap().body.len(), 4 << 20);
    assert_eq!(scene.outcome().await, Outcome::Completed { status: 200 });
    scene.finish();
}
