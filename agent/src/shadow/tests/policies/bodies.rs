//! Bodies: how much of them is copied, and what of their trailers.

use super::{super::Slice, *};

fn at_most(max: u64, on_exceed: OnExceed) -> Policy {
    Policy { body: Some(BodyLimit { max, on_exceed }), ..Policy::default() }
}

#[tokio::test]
async fn a_body_known_to_be_too_large_is_dropped_with_its_head() {
    let scene = Scene::new(black_hole().await).under(at_most(10, OnExceed::Drop));
    let length = [("Host", "shop"), ("Content-Length", "11")];
    assert!(scene.offer("POST", "/", &length, BodyLength::Known(11)).is_none());
    scene.is_dropped(DropReason::BodyTooLarge).await;
    scene.finish();
}

#[tokio::test]
async fn a_body_that_becomes_too_large_is_dropped_there() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(10, OnExceed::Drop));
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"0123456789"));
    feed.end(None);
    assert_eq!(scene.outcome().await, OK);
    assert_eq!(shadow.received.recv().await.unwrap().body, "0123456789");

    let scene = Scene::new(black_hole().await).under(at_most(10, OnExceed::Drop));
    let mut feed = scene.upload().unwrap();
    push(&mut feed, &Bytes::from_static(b"01234567"));
    push(&mut feed, &Bytes::from_static(b"890"));
    scene.is_dropped(DropReason::BodyTooLarge).await;
    feed.end(None);
    scene.finish();
}

#[tokio::test]
async fn a_truncated_copy_is_a_whole_request() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(10, OnExceed::Truncate));
    let body = Bytes::from_static(b"0123456789abcdef");
    for (length, pieces, expected) in [
        (BodyLength::Known(16), [3, 16], "0123456789"),
        (BodyLength::Known(16), [10, 16], "0123456789"),
        (BodyLength::Known(8), [5, 8], "01234567"),
        (BodyLength::Streamed, [3, 16], "0123456789"),
        (BodyLength::Streamed, [4, 10], "0123456789"),
    ] {
        let mut feed = scene.offer("POST", "/", &HOST, length).unwrap();
        feed.data(Slice::new(&body, 0, pieces[0]));
        feed.data(Slice::new(&body, pieces[0], pieces[1]));
        feed.end(Some(HeaderMap::new()));
        assert_eq!(scene.outcome().await, OK);
        let received = shadow.received.recv().await.unwrap();
        assert_eq!(received.body, expected);
        let framing = received.headers.iter().find(|(name, _)| name == "content-length");
        let expected = matches!(length, BodyLength::Known(_)).then(|| expected.len().to_string());
        assert_eq!(framing.map(|(_, value)| value.clone()), expected);
    }
    scene.finish();
}

#[tokio::test]
async fn nothing_of_a_body_is_a_whole_request_too() {
    let mut shadow = Healthy::start().await;
    let scene = Scene::new(shadow.address).under(at_most(0, OnExceed::Truncate));
    for length in [BodyLength::Known(3), BodyLength::Streamed] {
        let mut feed = scene.offer("POST", "/", &HOST, length).unwrap();
        push(&mut feed, &Bytes::from_static(b"abc"));
        feed.end(None);
        assert_eq!(scene.outcome().await, OK);
        assert_eq!(shadow.received.recv().await.unwrap().body, "");
    }
    scene.finish();
}

#[tokio::test]
async fn trailers_are_redacted_like_headers() {
    let mut shadow = Healthy::start().await;
    let redact = Redact { headers: vec![HeaderName::from_static("x-sum")], ..Redact::default() };
    let scene = Scene::new(shadow.address).under(Policy { redact: Some(redact), ..Policy::default() });
    let fields = [("Host", "shop"), ("Transfer-Encoding", "chunked"), ("Trailer", "X-Sum, X-End")];
    let mut feed = scene.offer("POST", "/", &fields, BodyLength::Streamed).unwrap();
    push(&mut feed, &Bytes::from_static(b"body"));
    let trailers =
        ["x-sum", "x-end"].map(|name| (HeaderName::from_static(name), HeaderValue::from_static("1")));
    feed.end(Some(HeaderMap::from_iter(trailers)));
    assert_eq!(scene.outcome().await, OK);
    let trailers = shadow.received.recv().await.unwrap().trailers.unwrap();
    assert!(trailers.contains_key("x-end") && !trailers.contains_key("x-sum"), "{trailers:?}");
    scene.finish();
}
