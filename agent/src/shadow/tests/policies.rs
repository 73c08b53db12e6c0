//! What ShadowPolicies do to copies on their way, against real sockets.

mod amounts;
mod bodies;

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
