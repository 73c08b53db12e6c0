//! What client, app and reader see of a connection.

use std::io::ErrorKind;

use super::*;
use crate::relay::reset;

#[tokio::test]
async fn what_is_opened_is_read_and_ends_as_its_sides_end_it() {
    let (identity, other) = (Identity::new(), Identity::new());
    let port = port(&[&other, &identity]);
    for (offered, had, expected) in [
        (&["h2", "http/1.1"][..], &["http/1.1"][..], Some(&b"http/1.1"[..])),
        (&["h2", "http/1.1"], &["h2", "http/1.1"], Some(b"h2")),
        (&["http/1.1"], &[], None),
        (&[], &["h2"], None),
    ] {
        let peers = (identity.client(offered, None), identity.server(had, None));
        let (told, (answer, protocol), question) = conversation(&port, peers, asks, answers).await;
        assert_eq!((&*question, &*answer), (&b"question"[..], &b"answer"[..]));
        assert_eq!(protocol.as_deref(), expected, "what the app itself would choose");
        assert_eq!((told.sealed, told.end), (None, Some(End::Closed)));
        assert_eq!((&*told.seen.requests, &*told.seen.responses), (&b"question"[..], &b"answer"[..]));
        assert_eq!(told.seen.ended, [true, true]);
    }
}

#[tokio::test]
async fn an_end_without_a_last_word_stays_one() {
    let identity = Identity::new();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let cut = async |stream: std::io::Result<AtClient>| {
        let mut stream = stream.unwrap();
        stream.write_all(b"half a").await.unwrap();
        stream.into_inner().0.shutdown().await.unwrap();
    };
    let app = async |mut stream: AtApp| {
        let mut question = Vec::new();
        let error = stream.read_to_end(&mut question).await.unwrap_err();
        (question, error.kind())
    };
    let (_, (), (question, error)) = conversation(&port(&[&identity]), peers, cut, app).await;
    assert_eq!((&*question, error), (&b"half a"[..], ErrorKind::UnexpectedEof));
}

#[tokio::test]
async fn a_reset_stays_a_reset() {
    let identity = Identity::new();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let resets = async |stream: std::io::Result<AtClient>| {
        let mut stream = stream.unwrap();
        stream.write_all(b"x").await.unwrap();
        stream.read_exact(&mut [0; 1]).await.unwrap();
        reset(stream.get_ref().0);
    };
    let app = async |mut stream: AtApp| {
        stream.read_exact(&mut [0; 1]).await.unwrap();
        stream.write_all(b"y").await.unwrap();
        stream.read(&mut [0; 1]).await.unwrap_err().kind()
    };
    let (told, (), error) = conversation(&port(&[&identity]), peers, resets, app).await;
    assert_eq!((told.end, error), (Some(End::Reset), ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn large_bodies_arrive_whole_both_ways_at_once() {
    let identity = Identity::new();
    let body: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(3_000_001).collect();
    let peers = (identity.client(&[], None), identity.server(&[], None));
    let client = async |stream: std::io::Result<AtClient>| both_ways(stream.unwrap(), &body).await;
    let app = async |stream: AtApp| both_ways(stream, &body).await;
    let (told, at_client, at_app) = conversation(&port(&[&identity]), peers, client, app).await;
    assert!(at_client == body && at_app == body);
    assert!(told.seen.requests == body && told.seen.responses == body);
}

async fn both_ways(stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite, body: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = tokio::io::split(stream);
    let mut got = vec![0; body.len()];
    let (wrote, got_all) = tokio::join!(
        async {
            write.write_all(body).await?;
            write.flush().await
        },
        read.read_exact(&mut got),
    );
    wrote.unwrap();
    got_all.unwrap();
    got
}

#[tokio::test]
async fn an_app_with_another_certificate_speaks_for_itself() {
    let (identity, other) = (Identity::new(), Identity::new());
    let peers = (identity.client(&["h2"], None), identity.server(&["h2"], None));
    let (told, (answer, _), _) = conversation(&port(&[&other]), peers, asks, answers).await;
    assert_eq!((&*answer, told.sealed), (&b"answer"[..], Some(Sealed::OtherCertificate)));
    assert_ne!(told.seen.requests, b"question");
}

#[tokio::test]
async fn an_app_that_asks_for_certificates_gets_the_clients_own() {
    let (identity, user) = (Identity::new(), Identity::new());
    let port = port(&[&identity]);
    for _ in 0..2 {
        let peers = (identity.client(&[], Some(&user)), identity.server(&[], Some(&user)));
        let app = async |stream: AtApp| {
            let shown = stream.get_ref().1.peer_certificates().unwrap().to_vec();
            (answers(stream).await, shown)
        };
        let (told, (answer, _), (_, shown)) = conversation(&port, peers, asks, app).await;
        assert_eq!((&*answer, told.sealed), (&b"answer"[..], Some(Sealed::ClientCertificate)));
        assert_eq!(shown, std::slice::from_ref(&user.chain));
    }
    assert_eq!(port.stays_sealed(), Some(Sealed::ClientCertificate));
}

#[tokio::test]
async fn a_client_that_comes_again_needs_no_new_proof() {
    let identity = Identity::new();
    let port = port(&[&identity]);
    let client = identity.client(&[], None);
    for expected in [rustls::HandshakeKind::Full, rustls::HandshakeKind::Resumed] {
        let peers = (client.clone(), identity.server(&[], None));
        let asks = async |stream: std::io::Result<AtClient>| {
            let mut stream = stream.unwrap();
            stream.write_all(b"question").await.unwrap();
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
            stream.get_ref().1.handshake_kind()
        };
        let (_, kind, _) = conversation(&port, peers, asks, answers).await;
        assert_eq!(kind, Some(expected));
    }
}

#[tokio::test]
async fn what_is_no_tls_is_relayed_as_it_came() {
    let port = port(&[&Identity::new()]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for (said, answer) in
        [("GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400"), ("", "220 hello"), ("\x16\x03\x01\0\x05junk!", "?")]
    {
        let (mut near, far) = pair().await;
        let client = async {
            near.write_all(said.as_bytes()).await.unwrap();
            let mut got = vec![0; answer.len()];
            near.read_exact(&mut got).await.unwrap();
            drop(near);
            String::from_utf8(got).unwrap()
        };
        let app = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut got = vec![0; said.len()];
            stream.read_exact(&mut got).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            got
        };
        let (told, got, at_app) = tokio::join!(through(&port, far, &listener), client, app);
        assert_eq!((got.as_str(), at_app.as_slice()), (answer, said.as_bytes()));
        assert_eq!(told.sealed, said.starts_with('\x16').then_some(Sealed::ClientHello));
    }
}
