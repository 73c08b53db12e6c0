//! Starting, stopping, and what becomes of copies meanwhile.

use std::{fs, sync::Arc, sync::atomic::Ordering, time::Duration};

use tokio::{io::AsyncWriteExt, sync::mpsc, task::spawn_blocking};

use super::{
    DropReason, FailReason, NEVER, Outcome, Scene, config,
    shadows::{Healthy, black_hole, read_head, scripted},
};
use crate::config::umbra::Shadow;

#[tokio::test]
async fn a_draining_plane_lets_copies_under_way_end_and_takes_no_more() {
    let (asked_tx, mut asked) = mpsc::unbounded_channel();
    let address = scripted(move |mut stream| {
        let (answer_tx, mut answer) = mpsc::unbounded_channel::<()>();
        let asked_tx = asked_tx.clone();
        async move {
            read_head(&mut stream).await;
            asked_tx.send(answer_tx).unwrap();
            answer.recv().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let scene = Scene::new(address);
    scene.get("/");
    let answer = asked.recv().await.unwrap();

    let plane = Arc::clone(&scene.plane);
    let drained = spawn_blocking(move || plane.drain(NEVER));
    while !scene.plane.shared.stopping.load(Ordering::Relaxed) {
        tokio::task::yield_now().await;
    }
    scene.get("/too-late");
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Draining));
    answer.send(()).unwrap();
    assert_eq!(scene.outcome().await, Outcome::Completed { status: 200 });
    assert_eq!(drained.await.unwrap(), 0);
    scene.finish();
}

#[tokio::test]
async fn what_has_not_ended_by_the_deadline_is_dropped() {
    let scene = Scene::new(black_hole().await);
    scene.get("/");
    let feed = scene.upload().unwrap();
    let plane = Arc::clone(&scene.plane);
    let dropped = spawn_blocking(move || plane.drain(Duration::from_millis(10))).await.unwrap();
    assert_eq!(dropped, 2);
    for _ in 0..2 {
        assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Draining));
    }
    feed.end(None);
    assert_eq!(scene.plane.drain(Duration::ZERO), 0, "draining twice is harmless");
    scene.finish();
}

#[tokio::test]
async fn a_worker_that_died_costs_its_copies_and_nothing_else() {
    let scene = Scene::new(black_hole().await);
    scene.plane.drain(Duration::ZERO);
    scene.plane.shared.stopping.store(false, Ordering::Relaxed);
    scene.get("/");
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Internal));
    scene.finish();
}

#[tokio::test]
async fn many_workers_share_the_copies() {
    let shadow = Healthy::start().await;
    let scene = Scene::with(Shadow { workers: 3, ..config() }, vec![shadow.address]);
    for _ in 0..200 {
        scene.get("/");
    }
    for _ in 0..200 {
        assert_eq!(scene.outcome().await, Outcome::Completed { status: 200 });
    }
    assert!(shadow.connections() >= 3);
    scene.finish();
}

#[tokio::test]
async fn shadow_threads_give_way_to_others() {
    let shadow = Healthy::start().await;
    let scene = Scene::with(Shadow { nice: 7, ..config() }, vec![shadow.address]);
    scene.get("/");
    scene.outcome().await;
    let niceness =
        |stat: &str| stat.rsplit_once(')').unwrap().1.split_whitespace().nth(16).unwrap().to_owned();
    let of_shadow_threads: Vec<_> = fs::read_dir("/proc/self/task")
        .unwrap()
        .filter_map(|task| fs::read_to_string(task.unwrap().path().join("stat")).ok())
        .filter(|stat| stat.contains("(shadow-0)"))
        .map(|stat| niceness(&stat))
        .collect();
    assert!(of_shadow_threads.contains(&"7".to_owned()), "{of_shadow_threads:?}");
    scene.finish();
}

#[test]
fn a_marker_that_is_no_header_name_is_refused() {
    let config = Shadow { marker_header: "not a header".into(), ..config() };
    let error = super::Plane::start(&config, Arc::new(Silent)).err().unwrap();
    assert!(error.to_string().contains("not a header"), "{error}");
}

struct Silent;

impl super::Observer for Silent {
    fn connection(&self, _: &crate::record::Connection<'_>) {}
    fn unread(&self, _: &'static str) {}
    fn unread_request(&self, _: &'static str) {}
    fn exchange(&self, _: &super::Exchange) {}
    fn shadow(&self, _: &super::ShadowOutcome) {}
}
