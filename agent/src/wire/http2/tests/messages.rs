//! Requests and responses: what is legal is read, what is malformed is passed over alone.

use super::*;

/// What is told of the only request, sent with its head alone.
fn request(fields: &[(&str, &str)]) -> Vec<Event> {
    let events = after([client(headers(1, ALONE, fields)), client(headers(3, ALONE, &GET))]);
    // Whatever it was, the next one is read.
    assert!(events.iter().any(|event| matches!(event, Event::RequestEnd(3, ..))), "{fields:?} {events:?}");
    events
}

/// The head as rules and copies see it.
fn told(fields: &[(&str, &str)]) -> String {
    match &request(fields)[0] {
        Event::RequestHead(1, text) => text.clone(),
        other => panic!("{fields:?}: {other:?}"),
    }
}

#[test]
fn a_request_looks_as_it_would_on_http1() {
    assert_eq!(told(&GET), "GET / Http2 None host:a");
    assert_eq!(told(&with(&GET, &[(":path", "/a?b"), ("x", "1")])), "GET /a?b Http2 None host:a x:1");
    assert_eq!(told(&with(&GET, &[(":method", "OPTIONS"), (":path", "*")])), "OPTIONS * Http2 None host:a");
    assert_eq!(told(&with(&GET, &[(":authority", "a:80"), ("host", "A:80")])), "GET / Http2 None host:a:80");
    assert_eq!(
        told(&with(&GET, &[(":authority", ""), ("x", "1"), ("host", "b")])),
        "GET / Http2 None x:1 host:b"
    );
    assert_eq!(
        told(&with(&GET, &[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2"), ("cookie", "c=3")])),
        "GET / Http2 None host:a cookie:a=1; b=2; c=3 x:1"
    );
    assert_eq!(
        told(&with(&GET, &[("te", "trailers"), ("x", ""), ("y", "a\tb \u{e9}")])),
        "GET / Http2 None host:a te:trailers x: y:a\\tb \\xc3\\xa9"
    );
    assert_eq!(told(&with(&GET, &[("content-length", "0")])), "GET / Http2 None host:a content-length:0");
}

#[test]
fn the_length_of_a_body_is_known_where_it_is_said() {
    let head =
        |fields: &[(&str, &str)]| match &after([client(headers(1, END_HEADERS, &with(&POST, fields)))])[0] {
            Event::RequestHead(1, text) => text.clone(),
            other => panic!("{other:?}"),
        };
    assert_eq!(head(&[]), "POST / Http2 Streamed host:a");
    assert_eq!(head(&[("content-length", "5")]), "POST / Http2 Known(5) host:a content-length:5");
    assert_eq!(head(&[("content-length", "0")]), "POST / Http2 Streamed host:a content-length:0");
}

#[test]
fn a_malformed_request_is_passed_over_alone() {
    use Skipped::*;
    let table: Vec<(Vec<_>, Skipped)> = vec![
        (with(&GET, &[(":method", "")]), PseudoHeader),
        (with(&GET, &[(":path", "")]), PseudoHeader),
        (with(&GET, &[(":scheme", "")]), PseudoHeader),
        (with(&GET, &[(":method", "GET"), (":method", "GET")]), PseudoHeader),
        (with(&GET, &[(":path", "/"), (":path", "/")]), PseudoHeader),
        (with(&GET, &[(":status", "200")]), PseudoHeader),
        (with(&GET, &[(":protocol", "websocket")]), PseudoHeader),
        ([&GET[..], &[("x", "1"), (":path", "/")]].concat(), HeaderName),
        ([&GET[..3], &[("x", "1"), (":path", "/")]].concat(), PseudoHeader),
        (vec![(":method", "CONNECT"), (":authority", "a:1")], Connect),
        (with(&GET, &[(":method", "CONNECT"), (":protocol", "websocket")]), Connect),
        (with(&GET, &[(":method", "G T")]), Method),
        (with(&GET, &[(":method", "GET / HTTP/1.1\r\n")]), Method),
        (with(&GET, &[(":scheme", "ftp")]), Scheme),
        (with(&GET, &[(":path", "a")]), Path),
        (with(&GET, &[(":path", "http://a/")]), Path),
        (with(&GET, &[(":path", "*")]), Path),
        (with(&GET, &[(":path", "/ HTTP/1.1")]), Path),
        (with(&GET, &[(":path", "/#x")]), Path),
        (with(&GET, &[(":path", "/\r\nx: y")]), Path),
        (with(&GET, &[(":authority", "")]), HostMissing),
        ([&GET[..2], &[(":authority", ""), (":path", "/")]].concat(), HostInvalid),
        (with(&GET, &[(":authority", "u@a")]), HostInvalid),
        (with(&GET, &[(":authority", "a/b")]), HostInvalid),
        (with(&GET, &[(":authority", "a\r\nx: y")]), HostInvalid),
        (with(&GET, &[("host", "b")]), HostMismatch),
        (with(&GET, &[("host", "a:80")]), HostMismatch),
        (with(&GET, &[("host", "a"), ("host", "a")]), HostRepeated),
        (with(&GET, &[("host", "")]), HostInvalid),
        (with(&GET, &[("X", "1")]), HeaderName),
        (with(&GET, &[("", "1")]), HeaderName),
        (with(&GET, &[("x y", "1")]), HeaderName),
        (with(&GET, &[("x:", "1")]), HeaderName),
        (with(&GET, &[("x\r\ny", "1")]), HeaderName),
        (with(&GET, &[("\u{e9}", "1")]), HeaderName),
        (with(&GET, &[("x", "1\r\ny: 2")]), HeaderValue),
        (with(&GET, &[("x", "1\0")]), HeaderValue),
        (with(&GET, &[("x", "\x0b1")]), HeaderValue),
        (with(&GET, &[("x", " 1")]), HeaderValue),
        (with(&GET, &[("x", "1\t")]), HeaderValue),
        (with(&GET, &[("connection", "close")]), ConnectionHeader),
        (with(&GET, &[("keep-alive", "1")]), ConnectionHeader),
        (with(&GET, &[("proxy-connection", "close")]), ConnectionHeader),
        (with(&GET, &[("transfer-encoding", "chunked")]), ConnectionHeader),
        (with(&GET, &[("upgrade", "h2c")]), ConnectionHeader),
        (with(&GET, &[("te", "gzip")]), ConnectionHeader),
        (with(&GET, &[("te", "trailers, deflate")]), ConnectionHeader),
        (with(&GET, &[("content-length", "1")]), ContentLength),
        (with(&GET, &[("content-length", "+0")]), ContentLength),
        (with(&GET, &[("content-length", "0"), ("content-length", "0")]), ContentLength),
        (with(&GET, &[("content-length", "0, 0")]), ContentLength),
        (with(&GET, &[("content-length", "")]), ContentLength),
        ([&GET[..], &[("x", "1"); 253]].concat(), TooManyHeaders),
    ];
    for (fields, reason) in table {
        assert_eq!(request(&fields)[0], Event::Skipped(reason), "{fields:?}");
    }
}

#[test]
fn a_head_too_long_is_passed_over_and_what_it_put_in_the_table_is_not() {
    // One field of 4000 bytes, and twenty times the same.
    let mut long = block(&GET);
    long.extend([0x40, 1, b'a', 0x7f, 0xa1, 0x1e]);
    long.extend([b'x'; 4000]);
    long.extend([0xbe; 20]);
    let next = [block(&GET), vec![0xbe]].concat();
    let events = after([client([frame(1, ALONE, 1, &long), frame(1, ALONE, 3, &next)].concat())]);
    assert_eq!(events[0], Event::Skipped(Skipped::HeadTooLong));
    assert!(matches!(&events[1], Event::RequestHead(3, text) if text.ends_with(&"x".repeat(4000))));
}

#[test]
fn a_body_of_another_length_than_its_head_said_cuts_the_exchange() {
    let head = headers(1, END_HEADERS, &with(&POST, &[("content-length", "5")]));
    let cut = Event::Cut(1, Cut::Doubt(Skipped::ContentLength));
    let short = after([client([&head[..], &data(1, END_STREAM, "abcd")].concat())]);
    assert_eq!(short[1..], [Event::RequestData(1, b"abcd".to_vec()), cut.clone()]);
    let long = after([client([&head[..], &data(1, 0, "ab"), &data(1, END_STREAM, "cdef")].concat())]);
    assert_eq!(long[1..], [Event::RequestData(1, b"abcde".to_vec()), cut.clone()]);
    let empty = after([client([&head[..], &data(1, END_STREAM, "")].concat())]);
    assert_eq!(empty.last(), Some(&cut));
    let trailers = after([client([&head[..], &headers(1, ALONE, &[("x", "1")])].concat())]);
    assert_eq!(trailers[1..], [cut]);
}

#[test]
fn padding_and_priority_are_no_part_of_a_message() {
    let padded = |block: &[u8]| [&[3, 0, 0, 0, 0, 16], block, &[0; 3]].concat();
    let sent = [
        frame(1, END_HEADERS | PADDED | PRIORITY, 1, &padded(&block(&POST))),
        frame(0, PADDED, 1, b"\x02hi\0\0"),
        frame(0, PADDED, 1, b"\x00"),
        frame(0, PADDED | END_STREAM, 1, b"\x03\0\0\0"),
    ];
    let wire_bytes = sent.concat().len() as u64;
    let events = after([client(sent.concat())]);
    assert_eq!(
        events[1..],
        [Event::RequestData(1, b"hi".to_vec()), Event::RequestEnd(1, String::new(), wire_bytes)]
    );
}

#[test]
fn trailers_end_a_message() {
    let sent = [
        headers(1, END_HEADERS, &POST),
        data(1, 0, "hi"),
        headers(1, ALONE, &[("x-sum", "1"), ("x-sum", "2")]),
    ];
    let events = after([client(sent.concat())]);
    let wire_bytes = sent.concat().len() as u64;
    assert_eq!(events[2], Event::RequestEnd(1, r#""x-sum":"1" "x-sum":"2" "#.into(), wire_bytes));

    let cut = |flags, fields: &[(&str, &str)]| {
        let sent = [headers(1, END_HEADERS, &POST), headers(1, flags, fields)];
        let events = after([client(sent.concat()), client(headers(3, ALONE, &GET))]);
        assert!(matches!(events.last(), Some(Event::RequestEnd(3, ..))), "{events:?}");
        match events[1] {
            Event::Cut(1, Cut::Doubt(reason)) => reason,
            ref other => panic!("{fields:?}: {other:?}"),
        }
    };
    assert_eq!(cut(END_HEADERS, &[("x", "1")]), Skipped::Sequence);
    assert_eq!(cut(ALONE, &[(":path", "/")]), Skipped::HeaderName);
    assert_eq!(cut(ALONE, &[("content-length", "1")]), Skipped::TrailerField);
    assert_eq!(cut(ALONE, &[("host", "b")]), Skipped::TrailerField);
    assert_eq!(cut(ALONE, &[("transfer-encoding", "chunked")]), Skipped::ConnectionHeader);
    assert_eq!(cut(ALONE, &[("X", "1")]), Skipped::HeaderName);
}

/// What is told of the answer to a request.
fn answer(method: &str, sent: &[Vec<u8>]) -> Vec<Event> {
    let head = with(&GET, &[(":method", method)]);
    let mut events = after([client(headers(1, ALONE, &head)), server(sent.concat())]);
    events.split_off(2)
}

#[test]
fn responses_are_read_with_their_interim_ones() {
    let sent = [
        headers(1, END_HEADERS, &[(":status", "103"), ("link", "a")]),
        headers(1, END_HEADERS, &[(":status", "100")]),
        headers(1, END_HEADERS, &[(":status", "200"), ("content-length", "2")]),
        data(1, 0, "ok"),
        headers(1, ALONE, &[("grpc-status", "0")]),
    ];
    assert_eq!(
        answer("GET", &sent),
        [
            Event::ResponseHead(1, "Http2 200 content-length:2".into()),
            Event::ResponseTrailers(1, "\"grpc-status\":\"0\" ".into()),
            Event::ResponseEnd(1, sent.concat().len() as u64)
        ]
    );
    for (method, fields) in [
        ("HEAD", &[(":status", "200"), ("content-length", "9")]),
        ("GET", &[(":status", "304"), ("content-length", "9")]),
    ] {
        assert!(matches!(answer(method, &[headers(1, ALONE, fields)])[..], [_, Event::ResponseEnd(1, _)]));
    }
}

#[test]
fn a_malformed_response_cuts_its_exchange_alone() {
    use Skipped::*;
    let table = [
        (vec![headers(1, ALONE, &[("x", "1")])], Status),
        (vec![headers(1, ALONE, &[(":status", "20")])], Status),
        (vec![headers(1, ALONE, &[(":status", "0200")])], Status),
        (vec![headers(1, ALONE, &[(":status", "099")])], Status),
        (vec![headers(1, END_HEADERS, &[(":status", "101")])], Status),
        (vec![headers(1, ALONE, &[(":status", "103")])], Status),
        (vec![headers(1, ALONE, &[("x", "1"), (":status", "200")])], Status),
        (vec![headers(1, ALONE, &[(":status", "200"), (":status", "200")])], HeaderName),
        (vec![headers(1, ALONE, &[(":status", "200"), ("X", "1")])], HeaderName),
        (vec![headers(1, ALONE, &[(":status", "200"), ("connection", "close")])], ConnectionHeader),
        (vec![headers(1, ALONE, &[(":status", "200"), ("content-length", "1")])], ContentLength),
        (vec![data(1, 0, "early")], Sequence),
        (vec![headers(1, END_HEADERS, &OK), headers(1, END_HEADERS, &OK)], Sequence),
        (vec![headers(1, END_HEADERS, &OK), headers(1, ALONE, &[("host", "a")])], TrailerField),
    ];
    for (sent, reason) in table {
        let events = answer("GET", &sent);
        assert_eq!(events.last(), Some(&Event::Cut(1, Cut::Doubt(reason))), "{sent:?}");
    }
}
