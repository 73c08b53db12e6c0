//! What is legal is read, what is doubtful is not; one line for each form and each doubt.

use super::*;
use crate::wire::tests::{Event, Recorder, Step, client, doubt, read, server};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A request with these header lines.
fn with(lines: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")
}

/// A chunked request with this after its head.
fn chunked(body: &str) -> String {
    with("Transfer-Encoding: chunked\r\n") + body
}

/// A request for this target and `Host`.
fn to(method: &str, target: &str, host: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

/// A response with these header lines and what follows.
fn response(status: u16, rest: &str) -> String {
    format!("HTTP/1.1 {status} Reason\r\n{rest}")
}

#[test]
fn legal_requests_are_read() {
    let long_name = "x".repeat(HEAD_MAX - 100);
    let legal = [
        GET.into(),
        "GET / HTTP/1.0\r\n\r\n".into(),
        "GET / HTTP/1.0\r\nHost:\r\n\r\n".into(),
        to("GET", "http://a:80/x?y", "A:80"),
        to("GET", "HTTPS://[::1]:443", "[::1]:443"),
        "GET http://a/ HTTP/1.0\r\n\r\n".into(),
        to("OPTIONS", "*", "a"),
        to("GET", "//twice", ""),
        to("GET", "/a|b\\c\u{e9}", "under_score:"),
        to("CONNECT", "a:443", "a:443"),
        with("Content-Length: 0\r\n"),
        with("Content-Length:  007 \r\n") + "1234567",
        with("Transfer-Encoding: CHUNKED\r\n") + "0\r\n\r\n",
        with("X:\ttabs\tand \u{e9}\t\r\nEmpty:\r\n"),
        with(&format!("{long_name}: y\r\n")),
        with(&"X: y\r\n".repeat(HEADERS_MAX - 1)),
        chunked("1;a=b;c\r\nx\r\n0000000000000001\r\ny\r\n00;last\r\nA: b\r\nA: c\r\n\r\n"),
        chunked(&format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(CHUNK_LINE_MAX - 2))),
        chunked(&(format!("1;{}\r\nx\r\n", "e".repeat(600)).repeat(3) + "0\r\n\r\n")),
        format!("{GET}\r\n{GET}\r\n"),
        GET.repeat(PIPELINE_MAX),
    ];
    for request in legal {
        let events = read(&[client(&request), Step::ClientEof]);
        assert!(matches!(events.last(), Some(Event::RequestEnd(..))), "{request}: {:?}", events.last());
    }
}

#[test]
fn doubtful_requests_are_not_read() {
    use Unread::*;
    let too_long = "x".repeat(HEAD_MAX);
    let table = [
        // The request line.
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), RequestLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n".into(), Version),
        ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n".into(), RequestLine),
        ("GET /\r\nHost: a\r\n\r\n".into(), RequestLine),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n".into(), Version),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), Version),
        ("GET / http/1.1\r\nHost: a\r\n\r\n".into(), Version),
        ("GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n".into(), ControlByte),
        (format!("{GET}\r\n\r\n{GET}"), EmptyLine),
        (format!("{GET}\n{GET}"), BareLf),
        (format!("{GET}\rGET"), BareCr),
        (format!("{GET} {GET}"), RequestLine),
        (to("Head", "/", "a"), RequestLine),
        // Lines.
        ("GET / HTTP/1.1\nHost: a\r\n\r\n".into(), BareLf),
        (with("X: a\n"), BareLf),
        (with("X: a\r\n\n"), BareLf),
        (with("X: a\rb\r\n"), BareCr),
        (with("X: a\r\r\n"), BareCr),
        (with("X: a\0b\r\n"), ControlByte),
        (with("X: a\x0bb\r\n"), ControlByte),
        (with("X: a\x7fb\r\n"), ControlByte),
        (with("X: a\r\n b\r\n"), ObsFold),
        (with("X: a\r\n\tb\r\n"), ObsFold),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n".into(), ObsFold),
        (with("X : a\r\n"), HeaderName),
        (with("X\r\n"), HeaderName),
        (with(": a\r\n"), HeaderName),
        (with("X\u{e9}: a\r\n"), HeaderName),
        (with(&format!("X: {too_long}\r\n")), HeadTooLong),
        (with(&"X: y\r\n".repeat(HEADERS_MAX)), TooManyHeaders),
        // Host and target.
        ("GET / HTTP/1.1\r\n\r\n".into(), HostMissing),
        (with("host: a\r\n"), HostRepeated),
        ("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n".into(), HostRepeated),
        (to("GET", "/", "a, b"), HostInvalid),
        (to("GET", "/", "u@a"), HostInvalid),
        (to("GET", "/", "a:b:c"), HostInvalid),
        (to("GET", "/", "a:123456"), HostInvalid),
        (to("GET", "/", ":80"), HostInvalid),
        (to("GET", "/", "a/b"), HostInvalid),
        (to("GET", "/", "[::1"), HostInvalid),
        (to("GET", "/", "\u{e9}"), HostInvalid),
        (to("GET", "http://b/", "a"), HostMismatch),
        (to("GET", "http://a:80/", "a"), HostMismatch),
        (to("GET", "http://a/", ""), HostMismatch),
        (to("GET", "http://u@a/", "a"), Userinfo),
        (to("GET", "http://a#@b/", "a"), Fragment),
        (to("GET", "/#x", "a"), Fragment),
        (to("GET", "http:///x", ""), Target),
        (to("GET", "http://a\\b/", "a"), Target),
        (to("GET", "ftp://a/", "a"), Target),
        (to("GET", "a:80", "a"), Target),
        (to("GET", "*", "a"), Target),
        (to("CONNECT", "/", "a"), Target),
        // Length.
        (with("Content-Length: +1\r\n") + "x", ContentLength),
        (with("Content-Length: -1\r\n") + "x", ContentLength),
        (with("Content-Length: 0x10\r\n") + "x", ContentLength),
        (with("Content-Length: 1_0\r\n") + "x", ContentLength),
        (with("Content-Length: 1 0\r\n") + "x", ContentLength),
        (with("Content-Length:\r\n") + "x", ContentLength),
        (with("Content-Length: 1, 1\r\n") + "x", ContentLength),
        (with("Content-Length:\t1\r\n") + "x", ContentLength),
        (with("Content-Length: 18446744073709551616\r\n"), ContentLength),
        (with("Content-Length: 1\r\nContent-Length: 1\r\n") + "x", ContentLength),
        (with("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), LengthAndEncoding),
        (with("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"), LengthAndEncoding),
        (with("Transfer-Encoding: gzip, chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked, gzip\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked,\r\n"), TransferEncoding),
        (with("Transfer-Encoding: \"chunked\"\r\n"), TransferEncoding),
        (with("Transfer-Encoding: identity\r\n"), TransferEncoding),
        (with("Transfer-Encoding:\tchunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: chunked\t\r\n"), TransferEncoding),
        (with("Transfer-Encoding: \u{a0}chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding: \x0bchunked\r\n"), ControlByte),
        (with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), TransferEncoding),
        (with("Transfer-Encoding:\r\n"), TransferEncoding),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".into(), EncodingInHttp10),
        ("CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx".into(), ConnectBody),
        // Chunks.
        (chunked("0_2e\r\n"), ChunkSize),
        (chunked("0x2\r\n"), ChunkSize),
        (chunked("\r\n"), ChunkSize),
        (chunked(";a\r\n"), ChunkSize),
        (chunked("-1\r\n"), ChunkSize),
        (chunked(" 1\r\n"), ChunkSize),
        (chunked("1 \r\n"), ChunkSize),
        (chunked("1 ;a\r\n"), ChunkSize),
        (chunked("10000000000000000\r\n"), ChunkSize),
        (chunked("00000000000000001\r\n"), ChunkSize),
        (chunked("1\nx"), BareLf),
        (chunked("1;a\nx"), BareLf),
        (chunked("1\rx"), BareCr),
        (chunked("1;a\rx"), BareCr),
        (chunked("1;a\0\r\n"), ChunkExtension),
        (chunked("1;\u{e9}\r\n"), ChunkExtension),
        (chunked(&format!("1;{}", "e".repeat(CHUNK_LINE_MAX))), ChunkLineTooLong),
        (chunked("1\r\nxy\r\n"), ChunkEnd),
        (chunked("1\r\nx\n0\r\n"), ChunkEnd),
        (chunked("1\r\nx\rx"), ChunkEnd),
        (chunked("0\r\nContent-Length: 1\r\n\r\n"), TrailerField),
        (chunked("0\r\ntransfer-encoding: chunked\r\n\r\n"), TrailerField),
        (chunked("0\r\nHost: b\r\n\r\n"), TrailerField),
        (chunked("0\r\n\n"), BareLf),
        (chunked("0\r\nX: a\n\r\n"), BareLf),
        (chunked("0\r\nX : a\r\n\r\n"), HeaderName),
        (chunked("0\r\n X: a\r\n\r\n"), HeaderName),
        (chunked("0\r\nX: a\r\n b\r\n\r\n"), ObsFold),
        (chunked("0\r\nX: a\rb\r\n\r\n"), BareCr),
        (chunked(&format!("0\r\nX: {}", "y".repeat(TRAILERS_MAX))), TrailersTooLong),
        (chunked(&format!("0\r\n{}\r\n", "X: y\r\n".repeat(HEADERS_MAX + 1))), TooManyHeaders),
        // The connection.
        (format!("{}{GET}", with("Connection: a, Close\r\n")), AfterClose),
        (format!("GET / HTTP/1.0\r\n\r\n{GET}"), AfterClose),
        (format!("{}x", with("Upgrade: websocket\r\n")), PipelinedAfterUpgrade),
        (format!("{}{GET}", to("CONNECT", "a:1", "a:1")), PipelinedAfterUpgrade),
        (GET.repeat(PIPELINE_MAX + 1), PipelineTooDeep),
    ];
    for (request, reason) in table {
        assert_eq!(doubt(&[client(&request)]), Some(reason), "{}", request.escape_debug());
    }
}

#[test]
fn legal_responses_are_read() {
    let legal = [
        OK.into(),
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n".into(),
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok".into(),
        response(204, "\r\n"),
        response(204, "Content-Length: 0\r\n\r\n"),
        response(304, "Content-Length: 5\r\n\r\n"),
        response(304, "Transfer-Encoding: chunked\r\n\r\n"),
        response(205, "Content-Length: 0\r\n\r\n"),
        response(799, "Content-Length: 0\r\n\r\n"),
        response(200, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n"),
        response(100, "\r\n") + &response(103, "A: b\r\n\r\n") + OK,
    ];
    for answer in legal {
        let events = read(&[client(GET), server(&answer), client(GET)]);
        assert!(events.contains(&Event::ResponseEnd(0, answer.len() as u64)), "{events:?}");
        assert!(matches!(events.last(), Some(Event::RequestEnd(1, ..))), "{answer}: {events:?}");
    }
}

#[test]
fn doubtful_responses_are_not_read() {
    use Unread::*;
    let table = [
        ("SSH-2.0-OpenSSH\r\n".into(), NotHttp),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n".into(), NotHttp),
        ("ICY 200 OK\r\n\r\n".into(), NotHttp),
        ("HTTP/2 200 OK\r\n\r\n".into(), Version),
        ("HTTP/1.1  200 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 099 OK\r\n\r\n".into(), StatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n".into(), ControlByte),
        ("HTTP/1.1 200 O\rK\r\n\r\n".into(), BareCr),
        ("HTTP/1.1 200 OK\n\n".into(), BareLf),
        (response(200, "X : y\r\n\r\n"), HeaderName),
        (response(200, "X: y\r\n z\r\n\r\n"), ObsFold),
        (response(200, "Content-Length: 1\r\nContent-Length: 1\r\n\r\n"), ContentLength),
        (response(200, "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), LengthAndEncoding),
        (response(200, "Transfer-Encoding: gzip, chunked\r\n\r\n"), TransferEncoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".into(), EncodingInHttp10),
        (response(204, "Content-Length: 1\r\n\r\n"), BodyForbidden),
        (response(103, "Transfer-Encoding: chunked\r\n\r\n"), BodyForbidden),
        (response(101, "Upgrade: x\r\n\r\n"), UnrequestedUpgrade),
        (response(200, "Transfer-Encoding: chunked\r\n\r\n0x1\r\n"), ChunkSize),
        (response(200, "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n"), TrailerField),
        (format!("{OK}more"), UnsolicitedResponse),
        (format!("{OK}{OK}"), UnsolicitedResponse),
        (format!("{}{OK}", response(200, "Connection: close\r\nContent-Length: 0\r\n\r\n")), AfterClose),
        (format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(HEAD_MAX)), HeadTooLong),
    ];
    for (answer, reason) in table {
        assert_eq!(doubt(&[client(GET), server(&answer)]), Some(reason), "{}", answer.escape_debug());
    }
}

#[test]
fn an_end_of_stream_within_a_message_is_no_end_of_it() {
    let sized = with("Content-Length: 3\r\n");
    let truncated = [
        vec![client("GET / HT"), Step::ClientEof],
        vec![client(format!("{sized}ab")), Step::ClientEof],
        vec![client(chunked("0\r\n")), Step::ClientEof],
        vec![client(GET), server("HTTP/1.1 2"), Step::ServerEof],
        vec![client(GET), server(&OK[..OK.len() - 1]), Step::ServerEof],
        vec![client(GET), server(response(200, "Transfer-Encoding: chunked\r\n\r\n0\r\n")), Step::ServerEof],
    ];
    for steps in truncated {
        assert_eq!(doubt(&steps), Some(Unread::Truncated), "{steps:?}");
    }
    let whole = [
        vec![client(GET), Step::ClientEof, server(OK), Step::ServerEof],
        vec![client(format!("{GET}\r")), Step::ClientEof, Step::ServerEof],
        vec![client(GET), server(response(200, "\r\nall")), Step::ServerEof],
    ];
    for steps in whole {
        assert_eq!(doubt(&steps), None, "{steps:?}");
    }
}

#[test]
fn a_changed_protocol_ends_the_reading_and_a_refused_change_does_not() {
    let upgrade = with("Connection: upgrade\r\nUpgrade: websocket\r\n");
    let connect = to("CONNECT", "a:1", "a:1");
    let switched = response(101, "Upgrade: websocket\r\n\r\n");
    let bytes = switched.len() as u64;
    let ends = |steps: &[Step]| read(steps).split_off(2);

    let events = ends(&[client(&upgrade), server(format!("{switched}\u{81}hello")), client(GET)]);
    assert!(matches!(events[0], Event::ResponseHead(0, _)));
    assert_eq!(events[1..], [Event::ResponseEnd(0, bytes), Event::Unread(Unread::Upgraded)]);
    assert_eq!(doubt(&[client(&connect), server(response(200, "\r\n"))]), Some(Unread::Upgraded));

    for request in [upgrade, connect] {
        let refused = [client(&request), server(response(403, "Content-Length: 0\r\n\r\n")), client(GET)];
        assert!(matches!(read(&refused).last(), Some(Event::RequestEnd(1, ..))), "{request}");
        let waiting = [client(&request), server(response(103, "\r\n")), client(GET)];
        assert_eq!(doubt(&waiting), Some(Unread::PipelinedAfterUpgrade));
    }
}

#[test]
fn a_body_refused_before_it_was_sent_leaves_the_next_bytes_in_doubt() {
    let expect = with("Expect: 100-Continue\r\nContent-Length: 2\r\n");
    let refusal = response(417, "Content-Length: 0\r\n\r\n");
    assert_eq!(doubt(&[client(&expect), server(&refusal)]), None);
    assert_eq!(doubt(&[client(&expect), server(&refusal), client(GET)]), Some(Unread::AfterRefusal));
    let allowed = response(100, "\r\n") + &refusal;
    assert_eq!(doubt(&[client(&expect), server(allowed), client(format!("ab{GET}"))]), None);
    let begun = [client(format!("{expect}a")), server(&refusal), client(format!("b{GET}"))];
    assert_eq!(doubt(&begun), None);
}

#[test]
fn an_answer_to_head_has_no_body_and_the_next_one_has() {
    let head = to("HEAD", "/", "a");
    let answers = response(200, "Content-Length: 1000\r\n\r\n") + OK;
    let events = read(&[client(head + GET), server(answers)]);
    assert_eq!(events.last(), Some(&Event::ResponseEnd(1, OK.len() as u64)));
}

#[test]
fn an_idle_connection_holds_no_heap() {
    let (mut http1, mut sink) = (Http1::default(), Recorder::default());
    let heap = |http1: &Http1| http1.requests.heap() + http1.responses.heap() + http1.exchanges.heap();
    let requests = [GET.into(), chunked("1\r\nx\r\n0\r\nX: y\r\n\r\n"), GET.into()].concat();
    for byte in requests.bytes() {
        http1.request(&Bytes::copy_from_slice(&[byte]), &mut sink).unwrap();
    }
    assert!(heap(&http1) > 0 && !http1.idle());
    for byte in OK.repeat(3).bytes() {
        http1.response(&Bytes::copy_from_slice(&[byte]), &mut sink).unwrap();
    }
    assert!(http1.idle());
    assert_eq!(heap(&http1), 0);
}
