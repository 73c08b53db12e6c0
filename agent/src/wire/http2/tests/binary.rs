//! gRPC's binary metadata, as gRPC's own core sends it between two of its kind.

use super::*;

const ALLOWED: [(u16, u32); 1] = [(0xfe03, 1)];
/// A NUL, and the bytes themselves.
const BINARY: (&str, &str) = ("trace-bin", "\0\x01\r\n\x7f");

/// Once its receiver has said that it takes it, a field is read as it would have been sent to any other.
#[test]
fn binary_metadata_is_read_as_base64_where_it_is_allowed() {
    let head =
        headers(1, END_HEADERS, &with(&POST, &[("x", "1"), BINARY, ("more-bin", "AAE"), ("none-bin", "\0")]));
    let trailers = headers(1, ALONE, &[BINARY]);
    let events = after([
        server(settings(&ALLOWED)),
        client([ack(), settings(&ALLOWED), head, trailers].concat()),
        server(
            [ack(), headers(1, END_HEADERS, &with(&OK, &[BINARY])), headers(1, ALONE, &[BINARY])].concat(),
        ),
    ]);
    let head = "POST / Http2 Streamed host:a x:1 trace-bin:AQ0Kfw more-bin:AAE none-bin:";
    assert_eq!(events[0], Event::RequestHead(1, head.into()));
    let Event::RequestEnd(1, trailers, _) = &events[1] else { panic!("{events:?}") };
    assert!(trailers.contains("AQ0Kfw"), "{trailers:?}");
    assert_eq!(events[2], Event::ResponseHead(1, "Http2 200 trace-bin:AQ0Kfw".into()));
    let Event::ResponseTrailers(1, trailers) = &events[3] else { panic!("{events:?}") };
    assert!(trailers.contains("AQ0Kfw"), "{trailers:?}");
    assert!(matches!(events[4], Event::ResponseEnd(1, _)));
}

#[test]
fn elsewhere_it_is_a_value_that_no_field_may_have() {
    let skipped = |allowed: Step, field| {
        let events = after([allowed, client(headers(1, ALONE, &with(&GET, &[field])))]);
        events == [Event::Skipped(Skipped::HeaderValue)]
    };
    let nobody = || server(settings(&[(0xfe03, 0)]));
    let server_takes_it = || server(settings(&ALLOWED));
    // What the client takes is for the server.
    let client_takes_it = || client(settings(&ALLOWED));
    assert!(skipped(nobody(), BINARY));
    assert!(skipped(client_takes_it(), BINARY));
    assert!(!skipped(server_takes_it(), BINARY));
    assert!(skipped(server_takes_it(), ("trace", "\0\x01")));
    assert!(skipped(server_takes_it(), ("trace-bin", "\x01\0")));
}
