//! How many copies, how fast, how late, and how long.

use super::{
    super::{RequestHead, Version},
    *,
};

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
        let head = RequestHead {
            method: "GET",
            target: "/",
            version: Version::Http11,
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
