//! What a healthy shadow receives.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{
    BodyLength, Outcome, Scene, Slice, config, push,
    shadows::{Healthy, read_head, scripted},
};
use crate::route::{Balance, Cluster, Settings};

const OK: Outcome = Outcome::Completed { status: 200 };

#[tokio::test]
async fn a_copy_says_what_the_primary_said() {
    let (heads_tx, mut heads) = mpsc::unbounded_channel();
    let address = scripted(move |mut stream| {
        let heads_tx = heads_tx.clone();
        async move {
            heads_tx.send(read_head(&mut stream).await).unwrap();
            stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let scene = Scene::new(address);

    let fields = [
        ("Host", "shop.example:8080"),
        ("X-Tag", "b"),
        ("Cookie", "a=1"),
        ("Cookie", "b=\u{fc}"),
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "gone"),
        ("Accept", "*/*"),
    ];
    scene.offer("DELETE", "//a%20b;c?d={e}&f", &fields, BodyLength::None).unwrap().end(None);

    let expected = "DELETE //a%20b;c?d={e}&f HTTP/1.1\r\nhost: shop.example:8080\r\nx-tag: b\r\n\
                    cookie: a=1\r\ncookie: b=\u{fc}\r\naccept: */*\r\nx-umbra-shadow: 1\r\n\r\n";
    assert_eq!(heads.recv().await.unwrap(), expected);
    let ended = scene.ended().await;
    assert_eq!((ended.outcome, ended.endpoint), (Outcome::Completed { status: 204 }, Some(address)));
    scene.finish();
}

#[tokio::test]
async fn a_body_of_known_length_arrives_as_it_was() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    let chunk: Bytes = (0..100_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();

    let fields = [("Host", "shop"), ("Content-Length", "100000"), ("Expect", "100-continue")];
    let mut feed = scene.offer("PUT", "/file", &fields, BodyLength::Known(100_000)).unwrap();
    for (start, end) in [(0, 1), (1, 10_000), (10_000, 10_005), (10_005, 100_000)] {
        feed.data(Slice::new(&chunk, start, end));
    }
    feed.end(None);

    let received = shadow.received.recv().await.unwrap();
    assert_eq!((received.method.as_str(), received.target.as_str()), ("PUT", "/file"));
    assert_eq!(received.body, chunk);
    let expected = [("host", "shop"), ("content-length", "100000"), ("x-umbra-shadow", "1")];
    assert_eq!(received.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn a_chunked_body_arrives_with_its_trailers_even_with_get() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);

    let fields = [("Host", "shop"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum")];
    let mut feed = scene.offer("GET", "/search", &fields, BodyLength::Streamed).unwrap();
    push(&mut feed, &Bytes::from_static(b"{\"query\":"));
    push(&mut feed, &Bytes::from_static(b"\"\"}"));
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("42"))]);
    feed.end(Some(trailers.clone()));

    let received = shadow.received.recv().await.unwrap();
    assert_eq!(received.body, "{\"query\":\"\"}");
    assert_eq!(received.trailers, Some(trailers));
    assert!(received.headers.contains(&("transfer-encoding".into(), "chunked".into())));
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn the_copy_starts_before_the_primary_has_sent_everything() {
    let (arrived_tx, mut arrived) = mpsc::unbounded_channel();
    let address = scripted(move |mut stream| {
        let arrived_tx = arrived_tx.clone();
        async move {
            read_head(&mut stream).await;
            let mut chunk = [0; 10];
            stream.read_exact(&mut chunk).await.unwrap();
            arrived_tx.send(chunk).unwrap();
            stream.read_exact(&mut chunk[..5]).await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    })
    .await;
    let scene = Scene::new(address);

    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"early"));
    assert_eq!(&arrived.recv().await.unwrap(), b"5\r\nearly\r\n");
    feed.end(None);
    assert_eq!(scene.outcome().await, OK);
    scene.finish();
}

#[tokio::test]
async fn connections_are_used_again() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address);
    for _ in 0..5 {
        scene.get("/");
        assert_eq!(scene.outcome().await, OK);
        shadow.received.recv().await.unwrap();
    }
    assert_eq!(shadow.connections(), 1);
    scene.finish();
}

#[tokio::test]
async fn copies_beyond_the_connection_limit_wait_their_turn() {
    let shadow = Healthy::start().await;
    let config = crate::config::umbra::Shadow { connections_per_endpoint: 2, ..config() };
    let scene = Scene::with(config, vec![shadow.address]);
    for _ in 0..50 {
        scene.get("/");
    }
    for _ in 0..50 {
        assert_eq!(scene.outcome().await, OK);
    }
    assert_eq!(shadow.connections(), 2);
    scene.finish();
}

#[tokio::test]
async fn a_kept_connection_the_shadow_has_closed_costs_no_copy() {
    let (closed_tx, mut closed) = mpsc::unbounded_channel();
    let address = scripted(move |mut stream| {
        let closed_tx = closed_tx.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            drop(stream);
            closed_tx.send(()).unwrap();
        }
    })
    .await;
    let scene = Scene::new(address);
    for _ in 0..20 {
        scene.get("/");
        assert_eq!(scene.outcome().await, OK);
        closed.recv().await.unwrap();
    }
    scene.finish();
}

#[tokio::test]
async fn a_shadow_that_speaks_http_1_0_gets_a_new_connection_each_time() {
    let address = scripted(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
        let answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).await.unwrap();
        assert_eq!(stream.read(&mut [0; 1]).await.unwrap_or(0), 0, "the connection was used again");
    })
    .await;
    let scene = Scene::new(address);
    for _ in 0..3 {
        scene.get("/");
        assert_eq!(scene.outcome().await, OK);
    }
    scene.finish();
}

#[tokio::test]
async fn endpoints_take_turns() {
    let mut shadows = [Healthy::start().await, Healthy::start().await];
    shadows.sort_by_key(|shadow| shadow.address);
    let settings = Settings { balance: Balance::RoundRobin, ..Settings::default() };
    let endpoints = shadows.iter().map(|shadow| shadow.address);
    let scene = Scene::to(config(), Cluster { settings, ..Cluster::plain("outbound|80||my-app", endpoints) });
    for shadow in shadows.iter().chain(&shadows) {
        scene.get("/");
        assert_eq!(scene.ended().await.endpoint, Some(shadow.address));
    }
    scene.finish();
}
