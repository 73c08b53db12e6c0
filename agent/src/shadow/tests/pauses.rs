//! The kill switch: of one mirror and of all.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{DropReason, Outcome, Scene, shadows::Healthy};

#[tokio::test]
async fn either_switch_stops_the_copies_and_both_must_be_off_for_them_to_go_on() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let (one, all) = (&scene.mirror.account, &scene.plane);
    let paused = Outcome::Dropped(DropReason::Paused);
    let sent = Outcome::Completed { status: 200 };
    scene.get("/");
    assert_eq!(scene.outcome().await, sent);

    assert!(one.pause() && !one.pause());
    scene.get("/");
    assert_eq!(scene.outcome().await, paused);
    assert!(all.pause() && !all.pause());
    assert!(one.resume() && !one.resume());
    scene.get("/");
    assert_eq!(scene.outcome().await, paused);
    assert!(all.resume() && !all.resume());

    scene.get("/");
    assert_eq!(scene.outcome().await, sent);
    assert!(one.trouble().is_none(), "what was asked for is no trouble");
    scene.finish();
}

#[tokio::test]
async fn a_copy_under_way_ends_as_it_would() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let upload = scene.upload().unwrap();
    scene.plane.pause();
    upload.end(None);
    assert_eq!(scene.outcome().await, Outcome::Completed { status: 200 });
    scene.finish();
}

#[tokio::test]
async fn switching_under_load_loses_no_entry_of_the_books() {
    let shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let (threads, requests) = (4, 500);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = || (0..requests).for_each(|_| scene.get("/"));
        let load: Vec<_> = (0..threads).map(|_| scope.spawn(load)).collect();
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                scene.plane.pause();
                scene.mirror.account.pause();
                scene.plane.resume();
                scene.mirror.account.resume();
            }
        });
        load.into_iter().for_each(|load| load.join().unwrap());
        done.store(true, Ordering::Relaxed);
    });
    let (mut sent, mut paused) = (0, 0);
    for _ in 0..threads * requests {
        match scene.outcome().await {
            Outcome::Completed { status: 200 } => sent += 1,
            Outcome::Dropped(DropReason::Paused) => paused += 1,
            other => panic!("{other:?}"),
        }
    }
    let balance = scene.mirror.account.read();
    assert_eq!((balance.completed, balance.dropped[DropReason::Paused as usize]), (sent, paused));
    scene.finish();
}

#[tokio::test]
async fn the_last_failure_is_kept_with_its_endpoint_and_its_words() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let scene = Scene::new(nobody);
    scene.get("/");
    let failed = scene.outcome().await;
    let trouble = scene.mirror.account.trouble().unwrap();
    assert_eq!((trouble.outcome, trouble.endpoint), (failed, Some(nobody)));
    assert!(trouble.message.unwrap().contains("refused"));
    scene.finish();
}
