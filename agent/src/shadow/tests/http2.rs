//! Shadows that speak HTTP/2, and primaries that do.

use std::future::poll_fn;

use bytes::Bytes;
use h2::{Reason, server};
use http::{HeaderMap, HeaderValue, Response};

use super::{shadows::*, *};
use crate::route::{Protocol, Settings};

const OK: Outcome = Outcome::Completed { status: 200 };

/// A scene whose shadow is spoken to in this way.
fn scene(shadow: SocketAddr, protocol: Protocol) -> Scene {
    let settings = Settings { protocol, ..Settings::default() };
    Scene::to(config(), Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", [shadow]) })
}

/// The fields, the marker left away.
fn fields(copy: &Received) -> Vec<String> {
    let fields = copy.headers.iter().filter(|(name, _)| name != "x-umbra-shadow");
    fields.map(|(name, value)| format!("{name}: {value}")).collect()
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))])
}

const GRPC: Fields<'_> = &[
    ("host", "shop"),
    ("te", "trailers"),
    ("content-type", "application/grpc+proto"),
    ("grpc-timeout", "20S"),
];

#[tokio::test]
async fn a_primary_of_http1_is_copied_to_a_shadow_of_http2() {
    let mut shadow = Healthy::speaking(http::Version::HTTP_2).await;
    let scene = scene(shadow.address, Protocol::Http2);
    let sent = [
        ("Host", "shop:81"),
        ("Connection", "X-One"),
        ("X-One", "1"),
        ("X-Two", "2"),
        ("Content-Length", "5"),
    ];
    let mut feed = scene.offer("PUT", "/a?b", &sent, BodyLength::Known(5)).unwrap();
    push(&mut feed, &Bytes::from_static(b"hello"));
    feed.end(None);
    assert_eq!(scene.outcome().await, OK);
    let copy = shadow.received.recv().await.unwrap();
    assert_eq!((copy.method.as_str(), &*copy.target), ("PUT", "http://shop:81/a?b"));
    assert_eq!(fields(&copy), ["x-two: 2", "content-length: 5"]);
    assert_eq!((&*copy.body, copy.trailers), (&b"hello"[..], None));

    // Without a Trailer field, too: HTTP/2 asks for none.
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"streamed"));
    feed.end(Some(trailers()));
    assert_eq!(scene.outcome().await, OK);
    let copy = shadow.received.recv().await.unwrap();
    assert_eq!((fields(&copy), &*copy.body), (vec![], &b"streamed"[..]));
    assert_eq!(copy.trailers, Some(trailers()));

    scene.get("/no-host");
    assert_eq!(scene.outcome().await, OK);
    assert_eq!(shadow.connections(), 1);
    scene.finish();
}

#[tokio::test]
async fn a_primary_without_a_host_is_copied_without_an_authority() {
    let mut shadow = Healthy::speaking(http::Version::HTTP_2).await;
    let scene = scene(shadow.address, Protocol::Http2);
    scene.offer("GET", "/old", &[], BodyLength::None).unwrap().end(None);
    assert_eq!(scene.outcome().await, OK);
    assert!(shadow.received.recv().await.unwrap().target.ends_with("/old"));
    scene.finish();
}

#[tokio::test]
async fn a_grpc_call_is_copied_whole_where_the_shadow_speaks_http2() {
    for protocol in [Protocol::Http2, Protocol::Same] {
        let mut shadow = Healthy::speaking(http::Version::HTTP_2).await;
        let scene = scene(shadow.address, protocol);
        let mut feed = scene.offer_http2("/shop.Cart/Add", GRPC).unwrap();
        push(&mut feed, &Bytes::from_static(b"\0\0\0\0\x02hi"));
        feed.end(Some(trailers())).unwrap().over();
        assert_eq!(scene.outcome().await, OK);
        let copy = shadow.received.recv().await.unwrap();
        assert_eq!((copy.method.as_str(), &*copy.target), ("POST", "http://shop/shop.Cart/Add"));
        assert_eq!(
            fields(&copy),
            ["te: trailers", "content-type: application/grpc+proto", "grpc-timeout: 20S"]
        );
        assert_eq!((&*copy.body, copy.trailers), (&b"\0\0\0\0\x02hi"[..], Some(trailers())));
        scene.finish();
    }
}

#[tokio::test]
async fn a_grpc_call_is_no_copy_for_a_shadow_of_http1() {
    let shadow = Healthy::start().await;
    let scene = scene(shadow.address, Protocol::Http1);
    assert!(scene.offer_http2("/shop.Cart/Add", GRPC).is_none());
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Unsendable));
    scene.finish();
    assert_eq!(shadow.connections(), 0);
}

#[tokio::test]
async fn the_version_of_the_primary_is_kept_where_that_is_asked_for() {
    let mut shadow = Healthy::start().await;
    let scene = scene(shadow.address, Protocol::Same);
    scene.get("/one");
    assert_eq!(scene.outcome().await, OK);
    assert_eq!(shadow.received.recv().await.unwrap().target, "/one");
    // A shadow that does not speak it cannot answer.
    scene.offer_http2("/two", &[("host", "shop")]).unwrap().end(None);
    assert!(matches!(scene.outcome().await, Outcome::Failed(_)));
    scene.finish();
}

/// Both directions of a stream are open: the answer has begun, the request goes on; then the primary breaks off.
#[tokio::test]
async fn the_copy_of_a_stream_lives_and_dies_with_it() {
    let (seen_tx, mut seen) = mpsc::unbounded_channel();
    let shadow = scripted(move |stream| {
        let seen_tx = seen_tx.clone();
        async move {
            let mut connection = server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                let seen_tx = seen_tx.clone();
                tokio::spawn(async move {
                    let mut body = request.into_body();
                    let mut answer = respond.send_response(Response::new(()), false).unwrap();
                    while let Some(Ok(piece)) = body.data().await {
                        let _ = body.flow_control().release_capacity(piece.len());
                        let _ = answer.send_data(piece.clone(), false);
                        let _ = seen_tx.send(Ok(piece));
                    }
                    if body.is_end_stream() {
                        return answer.send_data(Bytes::new(), true).unwrap();
                    }
                    let _ = seen_tx.send(Err(poll_fn(|cx| answer.poll_reset(cx)).await.unwrap()));
                });
            }
        }
    })
    .await;
    let settings = Settings { protocol: Protocol::Http2, ..Settings::default() };
    let cluster = Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", [shadow]) };
    // Its time runs only once its body has ended.
    let scene = Scene::to(Shadow { timeout: Duration::from_secs(2), ..config() }, cluster);
    let mut broken = scene.offer_http2("/broken", GRPC).unwrap();
    let mut whole = scene.offer_http2("/whole", GRPC).unwrap();
    for turn in 0..4 {
        push(if turn % 2 == 0 { &mut broken } else { &mut whole }, &Bytes::from_static(b"ping"));
        assert_eq!(seen.recv().await.unwrap(), Ok(Bytes::from_static(b"ping")));
    }
    drop(broken);
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Cancelled));
    assert_eq!(seen.recv().await.unwrap(), Err(Reason::CANCEL));
    whole.end(None).unwrap().over();
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn a_copy_that_its_shadow_does_not_take_costs_the_others_of_its_connection_nothing() {
    let shadow = scripted(|stream| async move {
        let mut http = server::Builder::new();
        http.initial_window_size(0);
        let mut connection = http.handshake::<_, Bytes>(stream).await.unwrap();
        let mut kept = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            match request.method().as_str() {
                "GET" => drop(respond.send_response(Response::new(()), true).unwrap()),
                _ => kept.push((request, respond.send_response(Response::new(()), false).unwrap())),
            }
        }
    })
    .await;
    let settings = Settings { protocol: Protocol::Http2, ..Settings::default() };
    let cluster = Cluster { settings, ..Cluster::plain("outbound|80|v2|my-app", [shadow]) };
    let mut config = config();
    config.queue.bytes_per_request = 100;
    let scene = Scene::to(config, cluster);
    let mut stuck = scene.upload().unwrap();
    scene.get("/first");
    assert_eq!(scene.outcome().await, OK);
    push(&mut stuck, &Bytes::from(vec![0; 60]));
    push(&mut stuck, &Bytes::from(vec![0; 60]));
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::BodyTooSlow));
    scene.get("/second");
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}
