//! HTTP/2: what becomes of a stream's fields in an HTTP/1 world, and frames no peer should send.

use targets::Step;

use crate::case::{Case, Class, Told, client, server};

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ALONE: u8 = END_STREAM | END_HEADERS;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Literals that no table remembers; texts shorter than 127 bytes.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

/// `GET http://a/PATH` with more fields.
fn get(stream: u32, flags: u8, path: &str, more: &[(&str, &str)]) -> Vec<u8> {
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path)];
    frame(1, flags, stream, &[block(&pseudo), block(more)].concat())
}

/// After both sides' first words.
fn case(
    class: Class,
    name: &str,
    sent: &[Vec<u8>],
    requests: &[&str],
    doubts: &[&'static str],
    end: Option<&'static str>,
) -> Case {
    let settings = frame(4, 0, 0, &[]);
    let ack = frame(4, 1, 0, &[]);
    let steps = vec![
        client([PREFACE, &settings].concat()),
        server([settings, ack.clone()].concat()),
        client([ack, sent.concat()].concat()),
    ];
    let requests = requests.iter().map(|request| (*request).to_owned()).collect();
    let told = Told { requests, doubts: doubts.to_vec(), end };
    Case { class, name: format!("{class:?}: {name}"), steps, told }
}

pub(crate) fn cases() -> Vec<Case> {
    use Class::*;
    let next = || get(3, ALONE, "/next", &[]);
    let both = &["GET /first", "GET /next"];
    // One stream is malformed, the next one is not.
    let malformed = |name: &str, doubt: &'static str, more: &[(&str, &str)]| {
        case(Http2Desync, name, &[get(1, ALONE, "/first", more), next()], &["GET /next"], &[doubt], None)
    };
    let pseudo = |name: &str, doubt: &'static str, fields: &[(&str, &str)]| {
        case(
            HostConfusion,
            name,
            &[frame(1, ALONE, 1, &block(fields)), next()],
            &["GET /next"],
            &[doubt],
            None,
        )
    };
    let reset = |stream: u32| frame(3, 0, stream, &8_u32.to_be_bytes());
    let data = |flags: u8, bytes: &[u8]| frame(0, flags, 1, bytes);
    let begun = || get(1, END_HEADERS, "/first", &[]);
    let length = |value| get(1, END_HEADERS, "/first", &[("content-length", value)]);
    let mut all = vec![
        case(
            Http2Desync,
            "plain requests",
            &[get(1, ALONE, "/first", &[("te", "trailers")]), next()],
            both,
            &[],
            None,
        ),
        malformed("a line end in a value", "header_value", &[("x", "a\r\nHost: b")]),
        malformed("a NUL in a value", "header_value", &[("x", "a\0b")]),
        malformed("a line end in a name", "header_name", &[("x\r\ny", "a")]),
        malformed("a colon in a name", "header_name", &[("x:y", "a")]),
        malformed("upper case", "header_name", &[("X", "a")]),
        malformed("connection", "connection_header", &[("connection", "close")]),
        malformed("transfer-encoding", "connection_header", &[("transfer-encoding", "chunked")]),
        malformed("upgrade", "connection_header", &[("upgrade", "h2c")]),
        malformed("te", "connection_header", &[("te", "gzip")]),
        malformed("a pseudo-header late", "header_name", &[("x", "y"), (":path", "/b")]),
        malformed("a length without a body", "content_length", &[("content-length", "31")]),
        malformed("two lengths", "content_length", &[("content-length", "0"), ("content-length", "0")]),
        malformed("a length with a sign", "content_length", &[("content-length", "+0")]),
        case(
            Http2Desync,
            "a body shorter than its length",
            &[length("5"), data(END_STREAM, b"abc"), next()],
            &["GET /next"],
            &["content_length"],
            None,
        ),
        case(
            Http2Desync,
            "a body longer than its length",
            &[length("2"), data(END_STREAM, b"abc"), next()],
            &["GET /next"],
            &["content_length"],
            None,
        ),
        case(
            Http2Desync,
            "a body of its length",
            &[length("3"), data(END_STREAM, b"abc"), next()],
            &["GET /first abc", "GET /next"],
            &[],
            None,
        ),
        pseudo(
            "authority and host differ",
            "host_mismatch",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a"), ("host", "b")],
        ),
        pseudo(
            "user information",
            "host_invalid",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "u@a")],
        ),
        pseudo(
            "a path in the authority",
            "host_invalid",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a/b")],
        ),
        pseudo("no host", "host_missing", &[(":method", "GET"), (":scheme", "http"), (":path", "/")]),
        pseudo(
            "two hosts",
            "host_repeated",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), ("host", "a"), ("host", "a")],
        ),
        pseudo(
            "a fragment",
            "path",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/#x"), (":authority", "a")],
        ),
        pseudo(
            "a space in the path",
            "path",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/ HTTP/1.1"), (":authority", "a")],
        ),
        pseudo(
            "an absolute path",
            "path",
            &[(":method", "GET"), (":scheme", "http"), (":path", "http://b/"), (":authority", "a")],
        ),
        pseudo(
            "a method with a space",
            "method",
            &[(":method", "GET /x"), (":scheme", "http"), (":path", "/"), (":authority", "a")],
        ),
        pseudo(
            "two paths",
            "pseudo_header",
            &[(":method", "GET"), (":scheme", "http"), (":path", "/"), (":path", "/b"), (":authority", "a")],
        ),
        case(
            UpgradeSmuggling,
            "a tunnel",
            &[
                frame(1, END_HEADERS, 1, &block(&[(":method", "CONNECT"), (":authority", "a:80")])),
                data(0, b"GET /x HTTP/1.1\r\n"),
                next(),
            ],
            &["GET /next"],
            &["connect"],
            None,
        ),
        // Each is a request of its own, and none is more than one.
        case(
            RapidReset,
            "reset at once",
            &(0..50)
                .flat_map(|at| [get(2 * at + 1, ALONE, "/x", &[]), reset(2 * at + 1)])
                .collect::<Vec<_>>(),
            &["GET /x"; 50],
            &[],
            None,
        ),
        case(
            ContinuationFlood,
            "a head in a thousand pieces",
            &[
                vec![get(1, END_STREAM, "/first", &[])],
                vec![frame(9, 0, 1, &[]); 1000],
                vec![frame(9, END_HEADERS, 1, &[]), next()],
            ]
            .concat(),
            both,
            &[],
            None,
        ),
        case(
            ContinuationFlood,
            "a head without end",
            &[vec![get(1, END_STREAM, "/first", &[])], vec![frame(9, 0, 1, &[0; 1000]); 70]].concat(),
            &[],
            &[],
            Some("head_too_long"),
        ),
        case(
            ContinuationFlood,
            "another frame between",
            &[get(1, END_STREAM, "/first", &[]), next()],
            &[],
            &[],
            Some("continuation"),
        ),
        case(
            EmptyData,
            "a thousand",
            &[vec![begun()], vec![data(0, b""); 1000], vec![data(END_STREAM, b"x"), next()]].concat(),
            &["GET /first x", "GET /next"],
            &[],
            None,
        ),
        // 40 references to an entry of 2,000 bytes: 80 KB of fields in 2 KB.
        case(
            HpackBomb,
            "a large entry again and again",
            &[
                frame(
                    1,
                    ALONE,
                    1,
                    &[
                        &block(&[
                            (":method", "GET"),
                            (":scheme", "http"),
                            (":authority", "a"),
                            (":path", "/first"),
                        ])[..],
                        &[0x40, 1, b'x', 0x7f, 0xd1, 0x0e],
                        &[b'y'; 2000],
                        &[0xbe; 40],
                    ]
                    .concat(),
                ),
                next(),
            ],
            &["GET /next"],
            &["head_too_long"],
            None,
        ),
        case(
            HpackBomb,
            "fields without end",
            &[get(1, ALONE, "/first", &[("x", ""); 300]), next()],
            &["GET /next"],
            &["too_many_headers"],
            None,
        ),
        case(
            HpackBomb,
            "an integer without end",
            &[frame(1, ALONE, 1, &[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f])],
            &[],
            &[],
            Some("hpack"),
        ),
        case(
            H2cSmuggling,
            "a preface again",
            &[get(1, ALONE, "/first", &[]), PREFACE.to_vec()],
            &["GET /first"],
            &[],
            Some("frame_size"),
        ),
    ];
    all.push(Case {
        class: Class::H2cSmuggling,
        name: "H2cSmuggling: an app that does not speak it".into(),
        steps: vec![
            client([PREFACE, &frame(4, 0, 0, &[]), &next()].concat()),
            server("HTTP/1.1 400 Bad Request\r\n\r\n"),
            Step::ServerEof,
        ],
        told: Told { requests: vec!["GET /next".into()], doubts: vec![], end: Some("not_http2") },
    });
    all
}
