//! Pools against real listeners, TLS against real servers, names against a real name server.

mod balance;
mod connections;
mod ejections;
mod names;
mod outlier;
mod secured;

use std::{
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Request;
use http_body_util::{BodyExt, Empty};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpListener,
    task::{LocalSet, yield_now},
    time::timeout,
};

use super::{Client, Lease, Limits, Names, Pool, SendError, UpstreamError, Upstreams};
use crate::route::{Cluster, Settings};

type Body = Empty<bytes::Bytes>;

/// Longer than any test should take.
const NEVER: Duration = Duration::from_secs(30);

const LIMITS: Limits = Limits {
    connections_per_endpoint: 2,
    connect_timeout: NEVER,
    wait_timeout: NEVER,
    idle_timeout: Duration::from_secs(60),
};

/// A listener that answers every request.
struct Endpoint {
    address: SocketAddr,
    open: Arc<AtomicUsize>,
    accepted: Arc<AtomicUsize>,
}

async fn endpoint() -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (open, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counters = (Arc::clone(&open), Arc::clone(&accepted));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let open = Arc::clone(&counters.0);
            open.fetch_add(1, Ordering::SeqCst);
            counters.1.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                answer(stream).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    Endpoint { address, open, accepted }
}

/// Answers until the other side closes.
async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
    while stream.read(&mut [0; 1024]).await.is_ok_and(|count| count > 0) {
        if stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.is_err() {
            return;
        }
    }
}

impl Endpoint {
    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    async fn open(&self, count: usize) {
        let reached = async {
            while self.open.load(Ordering::SeqCst) != count {
                yield_now().await;
            }
        };
        timeout(NEVER, reached).await.expect("the endpoint should see so many connections open");
    }
}

fn cluster(endpoints: impl IntoIterator<Item = SocketAddr>, settings: Settings) -> Arc<Cluster> {
    Arc::new(Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", endpoints) })
}

fn no_names() -> Arc<Names> {
    Names::new(Default::default(), Default::default())
}

fn client() -> Client<Body> {
    Client::new(Upstreams::new(LIMITS, 1, no_names()), 0)
}

async fn exchange(lease: &mut Lease<Body>) {
    let response = lease.send(Request::new(Empty::new())).await.ok().expect("the endpoint answers");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "ok");
}

/// One request to where the pool sends it.
async fn request(pool: &Rc<Pool<Body>>, cluster: &Arc<Cluster>) -> Result<SocketAddr, UpstreamError> {
    let turn = pool.turn(cluster).await.expect("an endpoint is in force");
    let mut lease = pool.lease(turn.address).await?;
    let response = lease.send(Request::new(Empty::new())).await.map_err(|error| match error {
        SendError::Failed(error) => error,
        SendError::Stale(_) => panic!("the endpoint closed a connection it kept"),
    })?;
    let body = response.into_body().collect().await.map_err(|error| lease.broke(error))?;
    assert_eq!(body.to_bytes(), "ok");
    lease.keep();
    Ok(turn.address)
}

async fn local<R>(test: impl Future<Output = R>) -> R {
    LocalSet::new().run_until(test).await
}

async fn advance(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}
