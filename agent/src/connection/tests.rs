//! What a connection leaves in the records.

use std::sync::{
    Mutex,
    atomic::{AtomicBool, Ordering::Relaxed},
};

use super::*;
use crate::{
    config::umbra,
    record::{Exchange, GrpcStatus, ShadowOutcome},
};

#[derive(Default)]
struct Records {
    connections: Mutex<Vec<(&'static str, Option<String>)>>,
    exchanges: Mutex<Vec<Exchange>>,
    looks: AtomicBool,
}

impl Observer for Records {
    fn connection(&self, connection: &Connection<'_>) {
        let told = (connection.protocol, connection.server_name.map(str::to_owned));
        self.connections.lock().unwrap().push(told);
    }

    fn unread(&self, _: &'static str) {}
    fn unread_request(&self, _: &'static str) {}

    fn exchange(&self, exchange: &Exchange) {
        self.exchanges.lock().unwrap().push(exchange.clone());
    }

    fn looks(&self) -> bool {
        self.looks.load(Relaxed)
    }

    fn shadow(&self, _: &ShadowOutcome) {}
}

enum Said<'b> {
    Client(&'b [u8]),
    App(&'b [u8]),
}
use Said::{App, Client};

/// Connections as the observer was told of them, and status and gRPC's of exchanges.
type Told = (Vec<(&'static str, Option<String>)>, Vec<(u16, Option<u8>)>);

fn records(said: &[Said<'_>]) -> Told {
    let records = Arc::new(Records::default());
    let node = node(&records);
    tell(&node, said).finish();
    let (connections, exchanges) = (records.connections.lock().unwrap(), records.exchanges.lock().unwrap());
    let exchanges = exchanges.iter().map(|it| (it.status, it.grpc_status.map(GrpcStatus::code)));
    (connections.clone(), exchanges.collect())
}

fn node(records: &Arc<Records>) -> Node {
    let observer: Arc<dyn Observer> = Arc::<Records>::clone(records);
    let plane =
        Plane::start(&umbra::Shadow { nice: 0, ..Default::default() }, Arc::clone(&observer)).unwrap();
    let (seed, certificates) = (Seed::default(), Arc::new(Certificates::load(&[])));
    let leaving = Leaving::default();
    Node { snapshot: ArcSwap::default(), plane, observer, seed, certificates, leaving }
}

fn tell<'n>(node: &'n Node, said: &[Said<'_>]) -> Story<'n> {
    let mut story = Story::new(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into(), node);
    for said in said {
        match said {
            Client(bytes) => story.request(&Bytes::copy_from_slice(bytes)),
            App(bytes) => story.response(&Bytes::copy_from_slice(bytes)),
        }
    }
    story
}

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    [&[0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, stream], payload].concat()
}

fn headers(flags: u8, stream: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let field = |(name, value): &(&str, &str)| [vec![0], string(name), string(value)].concat();
    frame(1, flags, stream, &fields.iter().flat_map(field).collect::<Vec<_>>())
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

#[test]
fn a_request_that_is_changed_to_http2_is_one_request() {
    let upgrade = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings:\r\n\r\n";
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n";
    let answer = [&switch[..], &frame(4, 0, 0, &[]), &headers(5, 1, &[(":status", "204")])].concat();
    let (connections, exchanges) = records(&[Client(upgrade), App(&answer), Client(PREFACE)]);
    assert_eq!((connections, exchanges), (vec![("http1", None)], vec![(204, None)]));
}

#[test]
fn the_status_of_a_grpc_call_is_kept_wherever_it_stands() {
    let call = |stream, kind| {
        let fields = [(":method", "POST"), (":scheme", "http"), (":path", "/a.B/C"), (":authority", "a")];
        headers(5, stream, &[&fields[..], &[("content-type", kind)]].concat())
    };
    let calls =
        [call(1, "application/grpc"), call(3, "application/grpc+proto"), call(5, "text/plain")].concat();
    let answers = [
        frame(4, 0, 0, &[]),
        headers(4, 1, &[(":status", "200")]),
        headers(5, 1, &[("grpc-status", "13")]),
        headers(5, 3, &[(":status", "200"), ("grpc-status", "14")]),
        headers(5, 5, &[(":status", "200"), ("grpc-status", "14")]),
    ];
    let (connections, exchanges) = records(&[Client(PREFACE), Client(&calls), App(&answers.concat())]);
    assert_eq!(connections, [("http2", None)]);
    assert_eq!(exchanges, [(200, Some(13)), (200, Some(14)), (200, None)]);
}

#[test]
fn a_connection_is_told_once_with_what_little_was_said() {
    let unknown: [&[Said<'_>]; 2] = [&[], &[Client(b"GE")]];
    for said in unknown {
        assert_eq!(records(said), (vec![("unknown", None)], vec![]));
    }
    assert_eq!(records(&[Client(b"\x16\x03\x01\0\x10")]).0, [("tls", None)]);
    assert_eq!(records(&[App(b"220 hello"), Client(b"EHLO a")]).0, [("opaque", None)]);
}

const GET: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: a.test\r\nTraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn an_exchange_tells_who_ended_it() {
    let half = &OK[..OK.len() - 1];
    let cases: [(&[Said<'_>], How, Ending); 7] = [
        (&[Client(GET), App(OK)], How::Over, Ending::Complete),
        (&[Client(GET)], How::Reset(Peer::Client), Ending::Client),
        (&[Client(GET)], How::Reset(Peer::App), Ending::App),
        (&[Client(GET)], How::Over, Ending::App),
        (&[Client(GET), App(half)], How::AppCloses, Ending::App),
        (&[Client(GET), App(b"what?")], How::Over, Ending::Unread),
        (&[Client(GET), App(half)], How::AgentDrops, Ending::Agent),
    ];
    for (said, how, ending) in cases {
        let records = Arc::new(Records::default());
        let node = node(&records);
        let mut story = tell(&node, said);
        match how {
            How::Over => story.finish(),
            How::Reset(by) => {
                story.reset(by);
                story.finish();
            }
            How::AppCloses => {
                story.response_end();
                story.finish();
            }
            How::AgentDrops => drop(story),
        }
        let exchanges = records.exchanges.lock().unwrap();
        assert_eq!(exchanges.iter().map(|it| it.ending).collect::<Vec<_>>(), [ending]);
    }
}

enum How {
    Over,
    Reset(Peer),
    AppCloses,
    AgentDrops,
}

#[test]
fn words_are_kept_only_while_somebody_looks() {
    let records = Arc::new(Records::default());
    let node = node(&records);
    let mut story = tell(&node, &[Client(GET), App(OK)]);
    records.looks.store(true, Relaxed);
    story.request(&Bytes::from_static(GET));
    story.response(&Bytes::from_static(OK));
    story.finish();

    let exchanges = records.exchanges.lock().unwrap();
    let [before, after] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert!(before.text.is_none() && before.answered.unwrap() <= before.duration);
    assert_eq!((before.request_bytes, before.response_bytes), (GET.len() as u64, OK.len() as u64));
    assert_eq!(before.trace.unwrap().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    let text = after.text.as_ref().unwrap();
    assert_eq!((text.method(), text.path(), text.host()), ("GET", "/a?b", "a.test"));
}

#[test]
fn answers_are_counted_without_a_look_at_their_bodies() {
    let records = Arc::new(Records::default());
    let node = node(&records);
    let mut story = tell(&node, &[Client(GET)]);
    assert_eq!(story.response_unseen(), 0);
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
    story.response(&Bytes::from([&head[..], b"x"].concat()));
    assert_eq!(story.response_unseen(), 99_999);
    story.response_passed(99_999);
    assert_eq!(story.response_unseen(), 0);
    story.finish();

    let exchanges = records.exchanges.lock().unwrap();
    let [exchange] = exchanges.as_slice() else { panic!("{exchanges:?}") };
    assert_eq!((exchange.ending, exchange.status), (Ending::Complete, 200));
    assert_eq!(exchange.response_bytes, head.len() as u64 + 100_000);
}

#[test]
fn answers_of_connections_that_are_not_read_go_by_unseen() {
    let records = Arc::new(Records::default());
    let node = node(&records);
    assert_eq!(tell(&node, &[Client(b"\0\0\0\x01 what else")]).response_unseen(), u64::MAX);
    assert_eq!(tell(&node, &[Client(PREFACE)]).response_unseen(), 0);
}
