//! Shadows that are absent, slow, wrong or rude. None of them may cost more than its copy.

use std::{
    net::{SocketAddr, TcpListener},
    time::Duration,
};

use bytes::Bytes;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
};

use super::{
    DropReason, FailReason, NEVER, Outcome, Scene, config, push,
    shadows::{answers, black_hole, read_head, scripted},
};
use crate::config::umbra::Shadow;

/// Short enough to wait for.
const SOON: Duration = Duration::from_millis(100);

fn impatient() -> Shadow {
    Shadow { timeout: SOON, connect_timeout: SOON, ..config() }
}

async fn one_copy_ends(config: Shadow, shadow: SocketAddr) -> Outcome {
    let scene = Scene::with(config, vec![shadow]);
    scene.get("/");
    let outcome = scene.outcome().await;
    scene.finish();
    outcome
}

#[tokio::test]
async fn a_shadow_that_refuses() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(one_copy_ends(config(), address).await, Outcome::Failed(FailReason::Connect));
}

#[tokio::test]
async fn a_shadow_that_never_accepts() {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    // With its accept queue full, Linux ignores further SYNs.
    let fillers: Vec<_> = (0..3)
        .map(|_| {
            let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            filler.set_nonblocking(true).unwrap();
            let _ = filler.connect(&address);
            filler
        })
        .collect();
    let outcome =
        one_copy_ends(Shadow { connect_timeout: SOON, ..config() }, address.as_socket().unwrap()).await;
    assert_eq!(outcome, Outcome::Failed(FailReason::Connect));
    drop((listener, fillers));
}

#[tokio::test]
async fn a_shadow_that_never_answers() {
    let outcome = one_copy_ends(impatient(), black_hole().await).await;
    assert_eq!(outcome, Outcome::Failed(FailReason::Timeout));
}

#[tokio::test]
async fn a_shadow_whose_connections_are_all_busy() {
    let config = Shadow { connections_per_endpoint: 1, timeout: SOON, ..config() };
    let scene = Scene::with(config, vec![black_hole().await]);
    // As long as its request is not whole no time runs for it, and it has the only connection.
    let first = scene.upload().unwrap();
    let connected = async {
        while scene.plane.load().in_flight == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(NEVER, connected).await.expect("the first copy should get the connection");
    scene.get("/second");
    // The second was never sent: its time was not the shadow's.
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::Pending));
    first.end(None);
    assert_eq!(scene.outcome().await, Outcome::Failed(FailReason::Timeout));
    scene.finish();
}

#[tokio::test]
async fn a_shadow_that_closes_without_an_answer() {
    assert_eq!(one_copy_ends(config(), answers(b"").await).await, Outcome::Failed(FailReason::Reset));
}

#[tokio::test]
async fn a_shadow_that_closes_amid_its_response() {
    for part in [&b"HTTP/1.1 200 OK\r\ncont"[..], b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart"] {
        assert_eq!(one_copy_ends(config(), answers(part).await).await, Outcome::Failed(FailReason::Reset));
    }
}

#[tokio::test]
async fn a_shadow_that_resets_amid_its_response() {
    let address = scripted(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\npart").await.unwrap();
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    })
    .await;
    assert_eq!(one_copy_ends(config(), address).await, Outcome::Failed(FailReason::Reset));
}

#[tokio::test]
async fn a_shadow_that_talks_garbage() {
    let garbage: [&[u8]; 3] = [
        b"\x16\x03\x01\x02\x00\x01garbage",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ];
    for text in garbage {
        let outcome = one_copy_ends(config(), answers(text).await).await;
        assert_eq!(outcome, Outcome::Failed(FailReason::Protocol), "{}", text.escape_ascii());
    }
}

#[tokio::test]
async fn a_shadow_that_talks_first() {
    let address = scripted(|mut stream| async move {
        let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    assert_eq!(one_copy_ends(config(), address).await, Outcome::Failed(FailReason::Protocol));
}

#[tokio::test]
async fn a_shadow_whose_response_never_ends() {
    let address = scripted(|mut stream| async move {
        read_head(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 1000]).await.is_ok() {}
    })
    .await;
    assert_eq!(one_copy_ends(impatient(), address).await, Outcome::Failed(FailReason::Timeout));
}

#[tokio::test]
async fn a_shadow_that_answers_before_it_has_read_the_body() {
    let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
    let address = scripted(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let scene = Scene::new(address);
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"the beginning"));
    assert_eq!(scene.outcome().await, Outcome::Completed { status: 413 });

    push(&mut feed, &Bytes::from_static(&[0; 100_000]));
    assert_eq!(scene.plane.load().bytes, 0, "what nobody will read must not be kept");
    feed.end(None);
    scene.finish();
}

#[tokio::test]
async fn a_shadow_that_never_reads_a_large_body() {
    let mut config = config();
    config.queue.bytes_per_request = 1 << 20;
    let scene = Scene::with(config, vec![black_hole().await]);
    let mut feed = scene.upload().unwrap();
    let head = scene.plane.load().bytes;
    let chunk = Bytes::from_static(&[b'x'; 64 << 10]);
    // The sockets' buffers take some of it before the budget fills.
    for _ in 0..1024 {
        push(&mut feed, &chunk);
        assert!(scene.plane.load().bytes <= head + (1 << 20));
    }
    assert_eq!(scene.outcome().await, Outcome::Dropped(DropReason::BodyTooSlow));
    feed.end(None);
    scene.finish();
}

#[tokio::test]
async fn a_copy_cut_short_is_never_taken_for_a_whole_one() {
    let (seen_tx, mut seen) = mpsc::unbounded_channel();
    let address = scripted(move |mut stream| {
        let seen_tx = seen_tx.clone();
        async move {
            read_head(&mut stream).await;
            let mut begun = [0; 12];
            stream.read_exact(&mut begun).await.unwrap();
            seen_tx.send(begun.to_vec()).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            seen_tx.send(rest).unwrap();
        }
    })
    .await;
    let scene = Scene::new(address);
    for reason in [DropReason::Cancelled, DropReason::Unread] {
        let mut feed = scene.upload().unwrap();
        push(&mut feed, &Bytes::from_static(b"the beginning"));
        assert_eq!(seen.recv().await.unwrap(), b"D\r\nthe begin");
        match reason {
            DropReason::Cancelled => drop(feed),
            reason => feed.abandon(reason),
        }
        assert_eq!(seen.recv().await.unwrap(), b"ning\r\n", "the last chunk must be missing");
        assert_eq!(scene.outcome().await, Outcome::Dropped(reason));
    }
    scene.finish();
}
