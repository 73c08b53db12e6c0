//! The plane against real sockets. Every test ends in [`Scene::finish`], which holds the plane to promise 5.

mod copies;
mod destinations;
mod feeds;
mod grpc;
mod heads;
mod hostile;
mod http2;
mod lifecycle;
mod limits;
mod pauses;
mod policies;
mod records;
mod shadows;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};

use super::{Call, Draws, Feed, Load, Plane};
use crate::{
    config::umbra::Shadow,
    message::{BodyLength, Header, RequestHead, Slice, Version},
    record::{
        Account, Connection, DropReason, Exchange, FailReason, MirrorKey, Observer, Outcome, RuleKey,
        ShadowOutcome,
    },
    route::{Cluster, Mirror, Share},
};

const NOBODY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

/// Longer than any test should take: what is waited for did not happen.
const NEVER: Duration = Duration::from_secs(30);

type Fields<'a> = &'a [(&'a str, &'a str)];

/// A plane with one mirror, and everything that came of it.
struct Scene {
    plane: Arc<Plane>,
    mirror: Arc<Mirror>,
    seen: Arc<Seen>,
    outcomes: Mutex<mpsc::UnboundedReceiver<ShadowOutcome>>,
    offers: AtomicU64,
    config: Shadow,
}

struct Seen {
    account: Arc<Account>,
    outcomes: mpsc::UnboundedSender<ShadowOutcome>,
    completed: AtomicU64,
    failed: [AtomicU64; FailReason::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
    balanced: AtomicBool,
    /// The primary's status and the copy's outcome.
    pairs: std::sync::Mutex<Vec<(u16, Outcome)>>,
}

impl Seen {
    /// More ends than offers would be a copy accounted for twice.
    fn check(&self) {
        let balance = self.account.read();
        let ended = balance.sampled_out
            + balance.completed
            + balance.failed.iter().chain(&balance.dropped).sum::<u64>();
        self.balanced.fetch_and(ended <= balance.offered, Ordering::Relaxed);
    }
}

impl Observer for Seen {
    fn connection(&self, _: &Connection<'_>) {}
    fn unread(&self, _: &'static str) {}
    fn unread_request(&self, _: &'static str) {}
    fn exchange(&self, _: &Exchange) {}

    fn shadow(&self, outcome: &ShadowOutcome) {
        self.check();
        let cell = match outcome.outcome {
            Outcome::Completed { .. } => &self.completed,
            Outcome::Failed(reason) => &self.failed[reason as usize],
            Outcome::Dropped(reason) => &self.dropped[reason as usize],
        };
        cell.fetch_add(1, Ordering::Relaxed);
        let _ = self.outcomes.send(outcome.clone());
    }

    fn pair(&self, primary: &Arc<Exchange>, copy: ShadowOutcome) {
        self.pairs.lock().unwrap().push((primary.status, copy.outcome));
    }
}

fn config() -> Shadow {
    Shadow { nice: 0, timeout: NEVER, connect_timeout: NEVER, ..Shadow::default() }
}

fn drawn(request: u64) -> Draws {
    Draws { request, connection: 0 }
}

impl Scene {
    fn new(shadow: SocketAddr) -> Self {
        Self::with(config(), vec![shadow])
    }

    fn with(config: Shadow, endpoints: Vec<SocketAddr>) -> Self {
        Self::to(config, Cluster::plain("outbound|80|v2|my-app", endpoints))
    }

    fn to(config: Shadow, cluster: Cluster) -> Self {
        let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
        let account = Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80/v2".into() }));
        let (outcomes_tx, outcomes) = mpsc::unbounded_channel();
        let seen = Arc::new(Seen {
            account: Arc::clone(&account),
            outcomes: outcomes_tx,
            completed: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; _],
            dropped: [const { AtomicU64::new(0) }; _],
            balanced: AtomicBool::new(true),
            pairs: std::sync::Mutex::default(),
        });
        let cluster = Arc::new(cluster);
        let mirror = Arc::new(Mirror {
            account,
            share: Share(1_000_000),
            cluster,
            changes: None,
            timeout: None,
            enforced: None,
        });
        let plane = Plane::start(&config, Arc::<Seen>::clone(&seen)).unwrap();
        Self { plane, mirror, seen, outcomes: Mutex::new(outcomes), offers: AtomicU64::new(0), config }
    }

    /// A second mirror of the same rule, with a share of its own; its account is the caller's to check.
    fn mirror_of(&self, share: Share) -> Arc<Mirror> {
        let account = Arc::new(Account::new((*self.mirror.account.key).clone()));
        Arc::new(Mirror {
            account,
            share,
            cluster: Arc::clone(&self.mirror.cluster),
            changes: None,
            timeout: None,
            enforced: None,
        })
    }

    fn offer(&self, method: &str, target: &str, fields: Fields<'_>, body: BodyLength) -> Option<Feed> {
        self.offer_as(Version::Http11, (method, target), fields, body)
    }

    /// A POST whose body is still to come.
    fn offer_http2(&self, target: &str, fields: Fields<'_>) -> Option<Feed> {
        self.offer_as(Version::Http2, ("POST", target), fields, BodyLength::Streamed)
    }

    fn offer_as(
        &self,
        version: Version,
        (method, target): (&str, &str),
        fields: Fields<'_>,
        body: BodyLength,
    ) -> Option<Feed> {
        let headers: Vec<_> =
            fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        let head = RequestHead { method, target, version, headers: &headers, body, encrypted: false };
        self.offers.fetch_add(1, Ordering::Relaxed);
        let feed = self.plane.offer(&self.mirror, &head, drawn(fastrand::u64(..)), NOBODY.into());
        self.seen.check();
        let Load { waiting, in_flight, bytes } = self.plane.load();
        assert!(waiting + in_flight <= self.config.queue.requests && bytes <= self.config.queue.bytes);
        feed
    }

    /// A whole request without a body.
    fn get(&self, target: &str) {
        if let Some(feed) = self.offer("GET", target, &[("Host", "shop")], BodyLength::None) {
            assert!(feed.end(None).is_none());
        }
    }

    /// A request whose chunked body is still to come.
    fn upload(&self) -> Option<Feed> {
        let fields = [("Host", "shop"), ("Transfer-Encoding", "chunked")];
        self.offer("POST", "/upload", &fields, BodyLength::Streamed)
    }

    /// The next copy that ended.
    async fn ended(&self) -> ShadowOutcome {
        let next = async { self.outcomes.lock().await.recv().await };
        tokio::time::timeout(NEVER, next).await.expect("a copy should have ended").unwrap()
    }

    async fn outcome(&self) -> Outcome {
        self.ended().await.outcome
    }

    /// Every request is accounted for, exactly once, and nothing is held any more.
    fn finish(self) {
        let balance = self.mirror.account.read();
        assert_eq!(balance.in_flight(), 0, "{balance:?}");
        assert_eq!(balance.offered, self.offers.load(Ordering::Relaxed));
        assert_eq!(self.plane.load(), Load::default());
        assert!(self.seen.balanced.load(Ordering::Relaxed), "more copies ended than were offered");
        let seen = &self.seen;
        let read =
            |cells: &[AtomicU64]| -> Vec<_> { cells.iter().map(|it| it.load(Ordering::Relaxed)).collect() };
        assert_eq!(seen.completed.load(Ordering::Relaxed), balance.completed);
        assert_eq!(read(&seen.failed), balance.failed);
        assert_eq!(read(&seen.dropped), balance.dropped);
    }
}

fn push(feed: &mut Feed, bytes: &Bytes) {
    feed.data(Slice::new(bytes, 0, bytes.len()));
}
