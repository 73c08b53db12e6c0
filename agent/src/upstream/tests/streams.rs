//! HTTP/2 connections, against peers whose every frame the test decides.

use std::{future::poll_fn, sync::Mutex};

use bytes::Bytes;
use futures_util::{future::join_all, poll};
use h2::{Reason, server};
use http::Response;
use tokio::net::TcpStream;

use super::*;
use crate::{
    record::{DropReason, FailReason, Outcome},
    route::{Connections, Pings, Protocol},
};

fn over_http2(connections: Connections) -> Settings {
    Settings { protocol: Protocol::Http2, connections, ..Settings::default() }
}

/// A peer that takes so many streams at once and answers each when it is told to.
struct Peer {
    address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    /// Streams not yet answered.
    waiting: Arc<Mutex<Vec<server::SendResponse<Bytes>>>>,
}

impl Peer {
    async fn taking(most: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (accepted, waiting) = (Arc::new(AtomicUsize::new(0)), Arc::<Mutex<Vec<_>>>::default());
        let shared = (Arc::clone(&accepted), Arc::clone(&waiting));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.0.fetch_add(1, Ordering::SeqCst);
                let waiting = Arc::clone(&shared.1);
                tokio::spawn(async move {
                    let mut http = server::Builder::new();
                    let mut connection =
                        http.max_concurrent_streams(most).handshake::<_, Bytes>(stream).await.unwrap();
                    while let Some(Ok((_, respond))) = connection.accept().await {
                        waiting.lock().unwrap().push(respond);
                    }
                });
            }
        });
        Self { address, accepted, waiting }
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Waits for so many streams and answers them.
    async fn answer(&self, streams: usize) {
        for mut respond in self.streams(streams).await {
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data(Bytes::from_static(b"ok"), true).unwrap();
        }
    }

    async fn streams(&self, streams: usize) -> Vec<server::SendResponse<Bytes>> {
        let arrived = async {
            while self.waiting.lock().unwrap().len() < streams {
                yield_now().await;
            }
        };
        timeout(NEVER, arrived).await.expect("the streams should have come");
        self.waiting.lock().unwrap().drain(..).collect()
    }
}

#[tokio::test]
async fn copies_share_one_connection() {
    local(async {
        let peer = Peer::taking(100).await;
        let cluster = cluster([peer.address], over_http2(Connections::default()));
        let pool = client().pool(&cluster);
        // The first ones wait for the same connection to be made, the others find it.
        for copies in [30, 20] {
            let requests = join_all((0..copies).map(|_| request(&pool, &cluster)));
            let (sent, ()) = tokio::join!(requests, peer.answer(copies));
            assert!(sent.iter().all(Result::is_ok));
        }
        assert_eq!(peer.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn where_the_peer_takes_no_more_there_is_another_connection_and_then_a_wait() {
    local(async {
        let peer = Peer::taking(1).await;
        let cluster = cluster([peer.address], over_http2(Connections::default()));
        let pool = client().pool(&cluster);
        let (first, ()) = tokio::join!(request(&pool, &cluster), peer.answer(1));
        first.unwrap();
        // As many connections as LIMITS has for an endpoint; the second one takes what it gets until it has said otherwise.
        let held = pool.lease(peer.address, Version::HTTP_2).await.unwrap();
        let (second, ()) = tokio::join!(request(&pool, &cluster), peer.answer(1));
        second.unwrap();
        assert_eq!(peer.accepted(), 2);
        let other = pool.lease(peer.address, Version::HTTP_2).await.unwrap();
        let mut third = Box::pin(request(&pool, &cluster));
        assert!(poll!(&mut third).is_pending());
        drop((held, other));
        let (third, ()) = tokio::join!(third, peer.answer(1));
        third.unwrap();
        assert_eq!(peer.accepted(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_cluster_limits_streams_and_what_a_connection_serves() {
    local(async {
        let peer = Peer::taking(100).await;
        let settings = Connections {
            max_streams: Some(1),
            requests_per_connection: Some(2),
            max_age: Some(Duration::from_secs(9)),
            ..Connections::default()
        };
        let cluster = cluster([peer.address], over_http2(settings));
        let pool = client().pool(&cluster);
        let held = [
            pool.lease(peer.address, Version::HTTP_2).await.unwrap(),
            pool.lease(peer.address, Version::HTTP_2).await.unwrap(),
        ];
        assert_eq!(pool.open(), 2, "one stream on each");
        drop(held);
        let one = async || tokio::join!(request(&pool, &cluster), peer.answer(1)).0.unwrap();
        one().await;
        one().await;
        one().await;
        assert_eq!(peer.accepted(), 3, "both had served their two");
        advance(Duration::from_secs(9)).await;
        one().await;
        assert_eq!(peer.accepted(), 4, "the third had one request left, but was too old");
    })
    .await;
}

#[tokio::test]
async fn a_connection_unused_for_too_long_is_closed() {
    local(async {
        let peer = Peer::taking(100).await;
        let cluster = cluster([peer.address], over_http2(Connections::default()));
        let client = client();
        let pool = client.pool(&cluster);
        let turn = pool.turn(&cluster).await.unwrap();
        let lease = pool.lease(turn.address, Version::HTTP_2).await.unwrap();
        advance(LIMITS.idle_timeout).await;
        client.sweep();
        assert_eq!(pool.open(), 1, "it is in use");
        drop(lease);
        client.sweep();
        assert_eq!(pool.open(), 1);
        advance(LIMITS.idle_timeout).await;
        client.sweep();
        assert_eq!((pool.open(), pool.endpoints()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_copy_given_up_resets_its_stream_and_nothing_else() {
    local(async {
        let peer = Peer::taking(100).await;
        let cluster = cluster([peer.address], over_http2(Connections::default()));
        let pool = client().pool(&cluster);
        let mut given_up = Box::pin(request(&pool, &cluster));
        let mut streams = tokio::select! {
            _ = &mut given_up => panic!("nobody answered"),
            streams = peer.streams(1) => streams,
        };
        drop(given_up);
        let reason = poll_fn(|cx| streams[0].poll_reset(cx)).await.unwrap();
        assert_eq!(reason, Reason::CANCEL);
        tokio::join!(request(&pool, &cluster), peer.answer(1)).0.unwrap();
        assert_eq!(peer.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_never_answers_gets_a_new_connection_now_and_then() {
    local(async {
        let peer = Peer::taking(1000).await;
        let cluster = cluster([peer.address], over_http2(Connections::default()));
        let pool = client().pool(&cluster);
        for _ in 0..17 {
            let mut given_up = Box::pin(request(&pool, &cluster));
            tokio::select! {
                _ = &mut given_up => panic!("nobody answered"),
                _ = peer.streams(1) => {}
            }
        }
        assert_eq!((peer.accepted(), pool.open()), (2, 1));
    })
    .await;
}

/// Runs the script for every connection, one after the other, and counts them.
async fn scripted<F: Future<Output = ()> + Send>(
    script: impl Fn(server::Connection<TcpStream, Bytes>) -> F + Send + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, Ordering::SeqCst);
            if let Ok(connection) = server::handshake(stream).await {
                script(connection).await;
            }
        }
    });
    (address, accepted)
}

#[tokio::test]
async fn a_peer_that_says_goodbye_gets_the_next_copy_on_a_new_connection() {
    local(async {
        let (address, accepted) = scripted(|mut connection| async move {
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut body = respond.send_response(Response::new(()), false).unwrap();
            body.send_data("ok".into(), true).unwrap();
            connection.graceful_shutdown();
            while connection.accept().await.is_some() {}
        })
        .await;
        let cluster = cluster([address], over_http2(Connections::default()));
        let pool = client().pool(&cluster);
        for copies in 1..4 {
            request(&pool, &cluster).await.unwrap();
            assert_eq!(accepted.load(Ordering::SeqCst), copies);
        }
    })
    .await;
}

#[tokio::test]
async fn what_breaks_is_told_apart() {
    local(async {
        let failure = async |address| {
            let cluster = cluster([address], over_http2(Connections::default()));
            request(&client().pool(&cluster), &cluster).await.unwrap_err().outcome()
        };
        let (resets, _) = scripted(|mut connection| async move {
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            respond.send_reset(Reason::INTERNAL_ERROR);
            while connection.accept().await.is_some() {}
        })
        .await;
        assert_eq!(failure(resets).await, Outcome::Failed(FailReason::Reset));
        let (closes, _) = scripted(|mut connection| async move {
            let _ = connection.accept().await;
        })
        .await;
        assert_eq!(failure(closes).await, Outcome::Failed(FailReason::Reset));
        // It answers in HTTP/1.1.
        assert_eq!(failure(endpoint().await.address).await, Outcome::Failed(FailReason::Protocol));
    })
    .await;
}

#[tokio::test]
async fn copies_that_wait_for_a_connection_fail_with_it() {
    local(async {
        let refusing = tokio::net::TcpSocket::new_v4().unwrap();
        refusing.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let settings = Connections { max_pending: Some(3), ..Connections::default() };
        let cluster = cluster([refusing.local_addr().unwrap()], over_http2(settings));
        let pool = client().pool(&cluster);
        let sent = join_all((0..4).map(|_| request(&pool, &cluster))).await;
        let outcomes: Vec<_> = sent.into_iter().map(|sent| sent.unwrap_err().outcome()).collect();
        let failed = Outcome::Failed(FailReason::Connect);
        assert_eq!(outcomes, [failed, failed, failed, Outcome::Dropped(DropReason::Pending)]);
    })
    .await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_left() {
    local(async {
        let address = silent().await;
        let short = Duration::from_millis(5);
        let pings = Some(Pings { interval: short, timeout: short });
        let cluster = cluster([address], over_http2(Connections { pings, ..Connections::default() }));
        let error = request(&client().pool(&cluster), &cluster).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::Failed(FailReason::Reset));
    })
    .await;
}

/// Accepts and never says anything.
async fn silent() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let _open = listener.accept().await;
        std::future::pending::<()>().await;
    });
    address
}
