//! The pool against a real listener.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::{LocalSet, yield_now},
    time::timeout,
};

use super::{Lease, Limits, Pool};

type Body = Empty<bytes::Bytes>;

const LIMITS: Limits = Limits {
    connections_per_endpoint: 2,
    connect_timeout: Duration::from_secs(30),
    wait_timeout: Duration::from_secs(30),
    idle_timeout: Duration::from_secs(60),
};

/// Answers every request; tells how many of its connections are open, and how many it had.
async fn endpoint() -> (SocketAddr, Arc<AtomicUsize>, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&open), Arc::clone(&accepted));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let open = Arc::clone(&counters.0);
            open.fetch_add(1, Ordering::SeqCst);
            counters.1.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
                }
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (address, open, accepted)
}

async fn all_closed(open: &AtomicUsize) {
    let closed = async {
        while open.load(Ordering::SeqCst) > 0 {
            yield_now().await;
        }
    };
    timeout(LIMITS.wait_timeout, closed).await.expect("the endpoint should see its connections closed");
}

async fn exchange(lease: &mut Lease<Body>) {
    let response = lease.send(Request::new(Empty::new())).await.ok().expect("the endpoint answers");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

#[tokio::test]
async fn connections_unused_for_too_long_are_closed() {
    LocalSet::new()
        .run_until(async {
            let (address, open, accepted) = endpoint().await;
            let pool = Pool::new(LIMITS);
            for _ in 0..3 {
                let mut lease = pool.lease(address).await.unwrap();
                exchange(&mut lease).await;
                lease.keep();
            }
            assert_eq!(accepted.load(Ordering::SeqCst), 1);
            pool.sweep();
            assert_eq!(pool.endpoints(), 1);

            tokio::time::pause();
            tokio::time::advance(LIMITS.idle_timeout).await;
            tokio::time::resume();
            pool.sweep();
            assert_eq!(pool.endpoints(), 0, "an endpoint nobody uses must be forgotten");
            all_closed(&open).await;
        })
        .await;
}

#[tokio::test]
async fn a_lease_that_is_dropped_closes_its_connection_and_frees_its_slot() {
    LocalSet::new()
        .run_until(async {
            let (address, open, accepted) = endpoint().await;
            let pool = Pool::new(LIMITS);
            for _ in 0..5 {
                exchange(&mut pool.lease(address).await.unwrap()).await;
            }
            assert_eq!(accepted.load(Ordering::SeqCst), 5);
            all_closed(&open).await;
        })
        .await;
}
