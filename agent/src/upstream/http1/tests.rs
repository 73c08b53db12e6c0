//! A connection in memory, and an endpoint at its other end that says what a test lets it say.

use bytes::Bytes;
use futures_util::stream::{Stream, unfold};
use http::{HeaderMap, Request};
use http_body::Frame;
use http_body_util::{Empty, Full, StreamBody};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
    sync::mpsc,
};

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

type Piece = Result<Frame<Bytes>, &'static str>;
type Streamed = StreamBody<Pin<Box<dyn Stream<Item = Piece>>>>;

fn connection() -> (Http1<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 20);
    (Http1::new(ours), theirs)
}

fn get() -> Request<Empty<Bytes>> {
    Request::get("/a?b").header("host", "app").body(Empty::new()).unwrap()
}

/// A request whose body comes as it is sent.
fn streamed(framing: (&'static str, &'static str)) -> (mpsc::Sender<Piece>, Request<Streamed>) {
    let (pieces, body) = mpsc::channel(9);
    let body = unfold(body, |mut body| async { body.recv().await.map(|piece| (piece, body)) });
    let request = Request::post("/").header(framing.0, framing.1).header("trailer", "x-sum");
    (pieces, request.body(StreamBody::new(Box::pin(body) as _)).unwrap())
}

fn data(text: &'static str) -> Piece {
    Ok(Frame::data(Bytes::from(text)))
}

/// What has been written, all of it.
async fn said(end: &mut DuplexStream) -> String {
    let mut bytes = vec![0; 4096];
    let count = end.read(&mut bytes).await.unwrap();
    String::from_utf8(bytes[..count].to_vec()).unwrap()
}

async fn read<B: Body + Unpin>(mut answer: Answering<DuplexStream, B>) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    while let Some(frame) = poll_fn(|cx| answer.poll_frame(cx)).await {
        body.extend_from_slice(frame?.data_ref().unwrap());
    }
    Ok(body)
}

#[tokio::test]
async fn exchanges_follow_each_other_on_a_connection() {
    let (mut http, mut end) = connection();
    for _ in 0..3 {
        assert!(http.is_ready());
        end.write_all(OK).await.unwrap();
        let answer = http.send(get()).await.unwrap();
        assert_eq!(said(&mut end).await, "GET /a?b HTTP/1.1\r\nhost: app\r\n\r\n");
        assert_eq!((answer.status().as_u16(), answer.body().head_bytes()), (200, OK.len() as u64 - 2));
        assert!(!http.is_ready(), "it has not been read");
        assert_eq!(read(answer.into_body()).await.unwrap(), b"ok");
    }
}

#[tokio::test]
async fn an_endpoint_that_has_closed_or_speaks_out_of_turn_is_noticed() {
    let (http, end) = connection();
    drop(end);
    assert!(!http.is_ready());
    let (http, mut end) = connection();
    end.write_all(OK).await.unwrap();
    assert!(!http.is_ready(), "an answer to nothing");

    for (answer, again) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"[..], true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP", false),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok", false),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok", false),
        (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n", true),
    ] {
        let (mut http, mut end) = connection();
        end.write_all(answer).await.unwrap();
        let response = http.send(get()).await.unwrap();
        assert_eq!(read(response.into_body()).await.unwrap(), b"ok");
        assert_eq!(http.is_ready(), again, "{}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_body_that_is_there_goes_with_its_head() {
    let (mut http, mut end) = connection();
    end.write_all(OK).await.unwrap();
    let request = Request::put("/").header("content-length", "4").body(Full::new(Bytes::from("body")));
    let answer = http.send(request.unwrap()).await.unwrap();
    assert_eq!(said(&mut end).await, "PUT / HTTP/1.1\r\ncontent-length: 4\r\n\r\nbody");
    read(answer.into_body()).await.unwrap();
    assert!(http.is_ready());
}

#[tokio::test]
async fn a_body_is_sent_as_it_comes_with_the_trailers_that_were_announced() {
    let (mut http, mut end) = connection();
    let (pieces, request) = streamed(("transfer-encoding", "chunked"));
    pieces.send(data("0123456789")).await.unwrap();
    let endpoint = async {
        let head = "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n";
        assert_eq!(said(&mut end).await, format!("{head}A\r\n0123456789\r\n"));
        pieces.send(data("!")).await.unwrap();
        assert_eq!(said(&mut end).await, "1\r\n!\r\n");
        let trailers = [("x-sum", "7"), ("x-other", "8")];
        let trailers: HeaderMap = trailers
            .into_iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        pieces.send(Ok(Frame::trailers(trailers))).await.unwrap();
        assert_eq!(said(&mut end).await, "0\r\nx-sum: 7\r\n\r\n");
        end.write_all(OK).await.unwrap();
    };
    let (answer, ()) = tokio::join!(http.send(request), endpoint);
    read(answer.unwrap().into_body()).await.unwrap();
    assert!(http.is_ready());
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_whole() {
    let (mut http, mut end) = connection();
    let (pieces, request) = streamed(("content-length", "9"));
    pieces.send(data("begun")).await.unwrap();
    end.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    let answer = http.send(request).await.unwrap();
    assert_eq!(answer.status(), 413);
    assert_eq!(read(answer.into_body()).await.unwrap(), b"");
    assert!(!http.is_ready(), "the next request would be taken for the rest of this one");
}

#[tokio::test]
async fn the_rest_of_a_request_goes_out_while_its_answer_is_read() {
    let (mut http, mut end) = connection();
    let (pieces, request) = streamed(("content-length", "9"));
    end.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n").await.unwrap();
    let answer = http.send(request).await.unwrap();
    pieces.send(data("123456789")).await.unwrap();
    let endpoint = async {
        while !said(&mut end).await.ends_with("123456789") {}
        end.write_all(b"ok").await.unwrap();
    };
    let (body, ()) = tokio::join!(read(answer.into_body()), endpoint);
    assert_eq!(body.unwrap(), b"ok");
    assert!(http.is_ready());
}

#[tokio::test]
async fn what_an_endpoint_said_before_it_closed_its_ear_counts() {
    let (ours, theirs) = duplex(16);
    let (mut http, answered) = (Http1::new(ours), b"HTTP/1.1 400 Bad\r\ncontent-length: 0\r\n\r\n");
    let (_pieces, request) = streamed(("content-length", "9"));
    let endpoint = async move {
        let (mut ear, mut mouth) = tokio::io::split(theirs);
        ear.read_exact(&mut [0; 16]).await.unwrap();
        mouth.write_all(answered).await.unwrap();
    };
    let (answer, ()) = tokio::join!(http.send(request), endpoint);
    assert_eq!(answer.unwrap().status(), 400);
    assert!(!http.is_ready());
}

#[tokio::test]
async fn a_request_that_is_not_as_long_as_it_said_is_cut() {
    for (framing, piece) in [
        (("content-length", "9"), data("short")),
        (("content-length", "2"), data("long")),
        (("transfer-encoding", "chunked"), Err("stopped")),
    ] {
        let (mut http, mut end) = connection();
        let (pieces, request) = streamed(framing);
        pieces.send(piece).await.unwrap();
        drop(pieces);
        assert!(matches!(http.send(request).await, Err(Broken::Stopped)), "{framing:?}");
        drop(http);
        let mut sent = String::new();
        end.read_to_string(&mut sent).await.unwrap();
        assert!(!sent.ends_with("0\r\n\r\n") && !sent.contains("long"), "{sent}");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_or_ends_too_early_is_an_error() {
    for (answer, closed) in [
        (&b""[..], true),
        (b"HTTP/1.1 200 OK\r\ncont", true),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok", true),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n", true),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnone\r\n", false),
        (b"SSH-2.0\r\n", false),
        (&[b'x'; 40 << 10], false),
    ] {
        let (mut http, mut end) = connection();
        end.write_all(answer).await.unwrap();
        end.shutdown().await.unwrap();
        let error = match http.send(get()).await {
            Ok(response) => read(response.into_body()).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(matches!(error, Broken::Closed), closed, "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_the_end_of_the_connection_ends_is_whole() {
    let (mut http, mut end) = connection();
    end.write_all(b"HTTP/1.1 200 OK\r\n\r\nall of it").await.unwrap();
    drop(end.shutdown().await);
    let answer = http.send(get()).await.unwrap();
    assert_eq!(read(answer.into_body()).await.unwrap(), b"all of it");
    assert!(!http.is_ready());
}

#[tokio::test]
async fn a_head_as_long_as_can_be_without_an_end_is_too_long() {
    let (mut http, mut end) = connection();
    let head = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(MOST));
    end.write_all(head.as_bytes()).await.unwrap();
    let error = http.send(get()).await.err().unwrap();
    assert!(matches!(error, Broken::Malformed(Malformed::TooLong)), "{error}");
}
