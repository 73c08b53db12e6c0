//! Several mirrors share one plane: one that is dead takes its part of it, never everybody's.

use std::{iter::from_fn, net::SocketAddr, sync::Arc};

use bytes::Bytes;

use super::{
    Account, BodyLength, DropReason, Feed, Header, Load, Mirror, MirrorKey, RequestHead, RuleKey, Scene,
    Version, config, drawn, push,
    shadows::{Healthy, black_hole},
};
use crate::{
    config::umbra::Shadow,
    route::{Cluster, Share},
};

/// A plane whose own mirror is healthy, and so many others that lead into a black hole.
struct Beside {
    scene: Scene,
    healthy: Healthy,
    dead: Vec<Arc<Mirror>>,
}

impl Beside {
    async fn the_dead(config: Shadow, dead: usize) -> Self {
        let (healthy, hole) = (Healthy::start().await, black_hole().await);
        let scene = Scene::with(config, vec![healthy.address]);
        let dead: Vec<_> = (0..dead).map(|index| mirror_to(hole, &format!("dead-{index}"))).collect();
        let all = dead.iter().chain([&scene.mirror]).cloned().collect();
        scene.plane.shared.put_in_force(all, Vec::new());
        Self { scene, healthy, dead }
    }

    /// An upload that one of the dead gets, its body still to come.
    fn upload(&self, mirror: &Arc<Mirror>, cookie: usize) -> Option<Feed> {
        let cookie = "x".repeat(cookie);
        let head = RequestHead {
            method: "POST",
            target: "/upload",
            version: Version::Http11,
            headers: &[Header { name: "Cookie", value: cookie.as_bytes() }],
            body: BodyLength::Streamed,
            encrypted: false,
        };
        self.scene.plane.offer(
            mirror,
            &head,
            drawn(fastrand::u64(..)),
            SocketAddr::from(([127, 0, 0, 1], 1)).into(),
        )
    }

    /// The healthy mirror completes; then every copy is at its end and nothing is held.
    async fn completes(mut self, held: Vec<Feed>) {
        let mut feed = self.scene.upload().expect("there should be a place for a healthy mirror's copy");
        let piece = Bytes::from_static(&[b'y'; 8 << 10]);
        (0..4).for_each(|_| push(&mut feed, &piece));
        assert!(feed.end(None).is_none());
        assert_eq!(self.healthy.received.recv().await.unwrap().body.len(), 32 << 10);
        drop(held);
        let under_way = |mirror: &Arc<Mirror>| mirror.account.read().in_flight() > 0;
        while self.dead.iter().chain([&self.scene.mirror]).any(under_way) {
            self.scene.outcome().await;
        }
        assert_eq!(self.scene.mirror.account.read().completed, 1);
        assert_eq!(self.scene.plane.load(), Load::default());
    }
}

/// The mirror of another rule.
fn mirror_to(shadow: SocketAddr, name: &str) -> Arc<Mirror> {
    let rule = RuleKey { virtual_service: "default/other".into(), rule: name.to_owned() }.into();
    Arc::new(Mirror {
        account: Arc::new(Account::new(MirrorKey { rule, mirror: name.into() })),
        share: Share(1_000_000),
        cluster: Arc::new(Cluster::plain(name, vec![shadow])),
        changes: None,
        timeout: None,
        enforced: None,
    })
}

#[tokio::test]
async fn dead_mirrors_leave_bytes_for_a_healthy_one() {
    for dead in [1, 3] {
        let mut config = config();
        config.queue.bytes = 1 << 20;
        let beside = Beside::the_dead(config, dead).await;
        // Heads stay in memory until their copies end: down to the last byte a mirror may have.
        let mut held = Vec::new();
        for mirror in &beside.dead {
            for cookie in [40 << 10, 0] {
                held.extend(from_fn(|| beside.upload(mirror, cookie)));
            }
        }
        let refused = |mirror: &Arc<Mirror>| mirror.account.read().dropped[DropReason::BytesBudget as usize];
        assert!(beside.dead.iter().all(|mirror| refused(mirror) == 2));
        beside.completes(held).await;
    }
}

#[tokio::test]
async fn a_dead_mirror_leaves_places_for_a_healthy_one() {
    let mut config = config();
    config.queue.requests = 8;
    let beside = Beside::the_dead(config, 1).await;
    let held: Vec<_> = from_fn(|| beside.upload(&beside.dead[0], 0)).collect();
    assert_eq!(beside.dead[0].account.read().dropped[DropReason::QueueFull as usize], 1);
    assert_eq!(held.len(), 4, "as many as are left to others");
    beside.completes(held).await;
}
