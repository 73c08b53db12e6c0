//! What the records tell of copies.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    BodyLength, DropReason, Exchange, Header, NEVER, NOBODY, Outcome, RequestHead, Scene, Version, drawn,
    shadows::{Healthy, black_hole},
};
use crate::{
    record::{Ending, Origin, Text, Workload},
    route::{Enforced, Mirror, Policy, Redact, Share},
    shadow::{Sender, text},
};

const GET: RequestHead<'_> = RequestHead {
    method: "GET",
    target: "/a?token=secret&b=1",
    version: Version::Http11,
    headers: &[Header { name: "Host", value: b"shop" }],
    body: BodyLength::None,
    encrypted: false,
};

fn primary(status: u16) -> Exchange {
    Exchange {
        client: NOBODY,
        destination: NOBODY,
        source: None,
        served: None,
        rule: None,
        version: http::Version::HTTP_11,
        encrypted: false,
        is_grpc: false,
        status,
        grpc_status: None,
        ending: Ending::Complete,
        request_bytes: 1,
        response_bytes: 1,
        started: Instant::now(),
        answered: None,
        duration: Duration::ZERO,
        trace: None,
        text: None,
        mirrors: 0,
        copies: 0,
    }
}

#[tokio::test]
async fn a_copy_tells_its_sender_its_sizes_and_its_times() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let workload = Arc::new(Workload { namespace: "shop".into(), ..Workload::default() });
    let sender = Sender { workload: Some(&workload), ..NOBODY.into() };
    let offered = scene.plane.offer(&scene.mirror, &GET, drawn(0), sender);
    scene.offers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    assert!(offered.unwrap().end(None).is_none());

    let ended = scene.ended().await;
    assert!(Arc::ptr_eq(&ended.mirror, &scene.mirror.account) && ended.text.is_none());
    assert_eq!((ended.status, ended.version), (200, Some(http::Version::HTTP_11)));
    assert_eq!(ended.source.unwrap().namespace, "shop".into());
    assert_eq!(ended.served.unwrap().service, "my-app".into());
    let sent = "GET /a?token=secret&b=1 HTTP/1.1\r\nhost: shop\r\nx-umbra-shadow: 1\r\n\r\n";
    assert_eq!(ended.request_bytes, sent.len() as u64);
    assert!(ended.response_bytes > "HTTP/1.1 200 OK\r\n\r\nthank you".len() as u64);
    let times = [Duration::ZERO, ended.sent.unwrap(), ended.answered.unwrap(), ended.duration];
    assert!(times.is_sorted(), "{times:?}");
    scene.finish();
}

#[tokio::test]
async fn primary_and_copy_are_told_together_whichever_ends_last() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let offer = |origin: &Arc<Origin>| {
        scene.offers.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let sender = Sender { origin: Some(origin), ..NOBODY.into() };
        drop(scene.plane.offer(&scene.mirror, &GET, drawn(0), sender));
    };
    let origin = || Origin::new(Text::new("GET", "/", "shop"));
    let told = || scene.seen.pairs.lock().unwrap().clone();
    let completed = Outcome::Completed { status: 200 };

    let first = origin();
    offer(&first);
    assert_eq!(scene.ended().await.text.unwrap().host(), "shop");
    assert_eq!((told(), first.copies()), (vec![], 1));
    // Told on the copy's worker, after its end; or here.
    let told_of = async |count: usize| {
        let deadline = Instant::now() + NEVER;
        while told().len() < count && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
    };
    first.primary_ended(&primary(201), &*scene.seen);
    told_of(1).await;
    assert_eq!(told(), [(201, completed)]);

    let second = origin();
    second.primary_ended(&primary(202), &*scene.seen);
    offer(&second);
    scene.ended().await;
    scene.mirror.account.pause();
    offer(&second);
    let all = [(201, completed), (202, completed), (202, Outcome::Dropped(DropReason::Paused))];
    told_of(all.len()).await;
    let told = told();
    assert!(all.iter().all(|pair| told.contains(pair)), "{told:?}");
    scene.finish();
}

#[tokio::test]
async fn what_a_policy_redacts_is_shown_to_nobody() {
    let scene = Scene::new(black_hole().await);
    let plain = scene.mirror_of(Share::ALL);
    let redact = Redact { query: vec!["token".into()], ..Redact::default() };
    let policy = Policy { redact: Some(redact), ..Policy::default() };
    let redacting = Arc::new(Mirror {
        account: Arc::clone(&plain.account),
        share: plain.share,
        cluster: Arc::clone(&plain.cluster),
        changes: None,
        timeout: None,
        enforced: Some(Enforced { policy: Arc::new(policy), kinds: None }),
    });
    assert_eq!(text(&GET, &[Arc::clone(&plain)]).path(), "/a?token=secret&b=1");
    assert_eq!(text(&GET, &[plain, redacting]).path(), "/a?b=1");
    scene.finish();
}
