//! The reader of a connection: what it does before and after HTTP/1.

use bytes::Bytes;

use super::*;
use crate::wire::Protocol;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn after(steps: &[Step]) -> Reader {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    steps.iter().for_each(|step| step.tell(&mut reader, &mut sink));
    reader
}

#[test]
fn other_protocols_are_told_once_and_then_ignored() {
    let preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let table = [
        (vec![client(preface), client(GET)], Unread::NotHttp2, Protocol::Http2),
        (vec![client(b"\x16\x03\x01"), server(OK)], Unread::Tls, Protocol::Tls),
        (vec![client(b"\0\0\0\x08"), client(GET)], Unread::Opaque, Protocol::Opaque),
        (vec![server(b"220 mail ESMTP\r\n"), client("EHLO a\r\n")], Unread::Opaque, Protocol::Opaque),
        (vec![client("GE"), server(OK), client(GET)], Unread::Opaque, Protocol::Opaque),
        (vec![client("GE"), Step::ClientEof], Unread::Opaque, Protocol::Opaque),
    ];
    for (steps, reason, protocol) in table {
        assert_eq!(read(&steps), [Event::Unread(reason)], "{steps:?}");
        assert_eq!(after(&steps).protocol(), Some(protocol));
    }
}

#[test]
fn a_connection_on_which_nothing_was_said_has_no_protocol() {
    let steps = [client(""), server(""), Step::ClientEof, Step::ServerEof];
    assert_eq!(read(&steps), []);
    assert_eq!(after(&steps).protocol(), None);
}

#[test]
fn a_connection_is_idle_between_exchanges_only() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    let table = [
        (vec![], true),
        (vec![client("G")], false),
        (vec![client(GET)], false),
        (vec![client(GET), server("HTTP")], false),
        (vec![client(GET), server(&OK[..OK.len() - 1])], false),
        (vec![client(GET), server(OK)], true),
        (vec![client(GET), server(OK), client("\r\n")], true),
        (vec![client(GET), server(OK), client("\r\nG")], false),
        (vec![client(GET), client(GET), server(OK)], false),
        (vec![client(post), server(OK)], false),
        (vec![client(post), server(OK), client("ab")], true),
        (vec![client(GET), server("nonsense")], false),
    ];
    for (steps, idle) in table {
        assert_eq!(after(&steps).idle(), idle, "{steps:?}");
    }
}

#[test]
fn a_connection_tells_where_it_stands() {
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n";
    let interim = "HTTP/1.1 103 Hints\r\n\r\n";
    let tunnel = "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n";
    let table = [
        (vec![], Place::Between),
        (vec![server("220 hello\r\n")], Place::Unknown),
        (vec![client("G")], Place::Within),
        (vec![client(GET)], Place::AnswerDue),
        (vec![client(GET), server(interim)], Place::AnswerDue),
        (vec![client(GET), server("H")], Place::Within),
        (vec![client(GET), server(OK)], Place::Between),
        (vec![client(GET), server(OK), client(GET)], Place::AnswerDue),
        (vec![client(GET), client(GET)], Place::Within),
        (vec![client(GET), client(GET), server(OK)], Place::AnswerDue),
        (vec![client(GET), client("G"), server(OK)], Place::Within),
        (vec![client(post)], Place::Within),
        (vec![client(post), client("ab")], Place::AnswerDue),
        (vec![client(post), server(OK)], Place::Within),
        (vec![client(tunnel)], Place::Within),
        (vec![client("\x16\x03\x01")], Place::Unknown),
        (vec![client(GET), server("nonsense")], Place::Unknown),
    ];
    for (steps, place) in table {
        assert_eq!(after(&steps).place(), place, "{steps:?}");
    }
}

#[test]
fn the_body_is_shared_with_the_chunk_it_came_in() {
    struct Keeper(Vec<Bytes>);
    impl Sink for Keeper {
        fn request_head(&mut self, _: ExchangeId, _: &RequestHead<'_>) {}
        fn request_data(&mut self, _: ExchangeId, data: Slice<'_>) {
            self.0.push(data.share());
        }
        fn request_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {}
        fn response_head(&mut self, _: ExchangeId, _: &ResponseHead<'_>) {}
        fn response_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {}
        fn exchange_cut(&mut self, id: ExchangeId, cut: Cut) {
            panic!("{id} {cut:?}");
        }
        fn skipped(&mut self, reason: Skipped) {
            panic!("{reason:?}");
        }
        fn unread(&mut self, reason: Unread) {
            panic!("{reason:?}");
        }
    }
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    let chunk = Bytes::from(format!("{head}hello"));
    let mut keeper = Keeper(Vec::new());
    Reader::new().request(&chunk, &mut keeper);
    assert_eq!(keeper.0, ["hello"]);
    assert_eq!(keeper.0[0].as_ptr(), chunk[head.len()..].as_ptr());
}
