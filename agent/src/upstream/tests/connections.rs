//! `connectionPool`: each setting where it strikes and where it does not.

use std::time::Duration;

use super::*;
use crate::{
    record::{DropReason, Outcome},
    route::{Connections, Keepalive},
};

fn with(connections: Connections) -> Settings {
    Settings { connections, ..Settings::default() }
}

#[tokio::test]
async fn connections_unused_for_too_long_are_closed() {
    local(async {
        let endpoint = endpoint().await;
        let (client, cluster) = (client(), cluster([endpoint.address], Settings::default()));
        let pool = client.pool(&cluster);
        for _ in 0..3 {
            request(&pool, &cluster).await.unwrap();
        }
        assert_eq!(endpoint.accepted(), 1);
        client.sweep();
        assert_eq!(pool.endpoints(), 1);
        advance(LIMITS.idle_timeout).await;
        client.sweep();
        assert_eq!(pool.endpoints(), 0, "an endpoint nobody uses must be forgotten");
        endpoint.open(0).await;
    })
    .await;
}

#[tokio::test]
async fn a_lease_that_is_dropped_closes_its_connection_and_frees_its_slot() {
    local(async {
        let endpoint = endpoint().await;
        let cluster = cluster([endpoint.address], Settings::default());
        let pool = client().pool(&cluster);
        for _ in 0..5 {
            exchange(&mut pool.lease(endpoint.address).await.unwrap()).await;
        }
        assert_eq!(endpoint.accepted(), 5);
        endpoint.open(0).await;
    })
    .await;
}

#[tokio::test]
async fn an_idle_timeout_of_the_cluster_replaces_the_agents() {
    local(async {
        let endpoint = endpoint().await;
        for (written, connections) in [(Duration::from_secs(5), 2), (Duration::ZERO, 1)] {
            let before = endpoint.accepted();
            let settings = with(Connections { idle_timeout: Some(written), ..Connections::default() });
            let cluster = cluster([endpoint.address], settings);
            let pool = client().pool(&cluster);
            request(&pool, &cluster).await.unwrap();
            // Nobody swept: what is too old is not used all the same.
            advance(Duration::from_secs(100)).await;
            request(&pool, &cluster).await.unwrap();
            assert_eq!(endpoint.accepted() - before, connections, "{written:?}; zero is for ever");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_serves_as_many_requests_and_as_long_as_it_may() {
    local(async {
        let endpoint = endpoint().await;
        let cluster = cluster(
            [endpoint.address],
            with(Connections {
                requests_per_connection: Some(2),
                max_age: Some(Duration::from_secs(9)),
                ..Connections::default()
            }),
        );
        let pool = client().pool(&cluster);
        for expected in [1, 1, 2, 2, 3] {
            request(&pool, &cluster).await.unwrap();
            assert_eq!(endpoint.accepted(), expected);
        }
        advance(Duration::from_secs(9)).await;
        request(&pool, &cluster).await.unwrap();
        assert_eq!(endpoint.accepted(), 4, "the third had one request left, but was too old");
    })
    .await;
}

#[tokio::test]
async fn who_finds_no_connection_waits_as_far_as_the_cluster_lets_it() {
    local(async {
        let endpoint = endpoint().await;
        let settings = with(Connections { max: Some(1), max_pending: Some(1), ..Connections::default() });
        let cluster = cluster([endpoint.address], settings);
        let pool = client().pool(&cluster);
        let mut first = pool.lease(endpoint.address).await.unwrap();
        exchange(&mut first).await;
        let waiting = pool.lease(endpoint.address);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        let error = pool.lease(endpoint.address).await.err().expect("one waits already");
        assert_eq!(error.outcome(), Outcome::Dropped(DropReason::Pending));
        assert_eq!(error.sign(), None, "the endpoint is not to blame");
        first.keep();
        exchange(&mut waiting.await.unwrap()).await;
        assert_eq!(endpoint.accepted(), 1);
    })
    .await;
}

#[tokio::test]
async fn connections_are_limited_over_all_endpoints_and_unused_ones_give_way() {
    local(async {
        let (one, other) = (endpoint().await, endpoint().await);
        let settings = with(Connections { max: Some(1), ..Connections::default() });
        let cluster = cluster([one.address, other.address], settings);
        let pool = client().pool(&cluster);
        let mut lease = pool.lease(one.address).await.unwrap();
        exchange(&mut lease).await;
        let waiting = pool.lease(other.address);
        tokio::pin!(waiting);
        assert!(futures_util::poll!(waiting.as_mut()).is_pending());
        lease.keep();
        exchange(&mut waiting.await.unwrap()).await;
        one.open(0).await;
        assert_eq!((one.accepted(), other.accepted()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn requests_are_limited_over_all_workers() {
    local(async {
        let endpoint = endpoint().await;
        let settings = with(Connections { max_requests: Some(2), ..Connections::default() });
        let cluster = cluster([endpoint.address], settings);
        let upstreams = Upstreams::new(LIMITS, 2, no_names());
        let clients: [Client<Body>; 2] = [0, 1].map(|worker| Client::new(Arc::clone(&upstreams), worker));
        let [one, other] = clients.each_ref().map(|client| client.pool(&cluster));
        let held = [one.lease(endpoint.address).await.unwrap(), other.lease(endpoint.address).await.unwrap()];
        let error = other.lease(endpoint.address).await.err().expect("two are under way");
        assert_eq!(error.outcome(), Outcome::Dropped(DropReason::Pending));
        drop(held);
        request(&other, &cluster).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_silent_network_costs_the_clusters_connect_timeout() {
    local(async {
        // A listener whose queue is full: its handshakes are never completed.
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let _in_queue = std::net::TcpStream::connect(address).unwrap();
        let within = Some(Duration::from_millis(50));
        let cluster =
            cluster([address], with(Connections { connect_timeout: within, ..Connections::default() }));
        let pool = client().pool(&cluster);
        let error = request(&pool, &cluster).await.unwrap_err();
        assert!(matches!(error, UpstreamError::ConnectTimeout(_, time) if Some(time) == within), "{error}");
    })
    .await;
}

#[tokio::test]
async fn keepalive_is_set_as_written() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let socket = socket2::SockRef::from(&stream);
    crate::upstream::connect::set_up(&stream, None).unwrap();
    assert!(!socket.keepalive().unwrap());
    let seconds = |count| Some(Duration::from_secs(count));
    let keepalive = Keepalive { probes: Some(3), time: seconds(100), interval: seconds(7) };
    crate::upstream::connect::set_up(&stream, Some(&keepalive)).unwrap();
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
    assert_eq!(Some(socket.tcp_keepalive_time().unwrap()), seconds(100));
    assert_eq!(Some(socket.tcp_keepalive_interval().unwrap()), seconds(7));
}
