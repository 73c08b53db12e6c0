//! What a connection leaves in the records.

use std::sync::Mutex;

use super::*;
use crate::{config::umbra, record::ShadowOutcome};

#[derive(Default)]
struct Records {
    connections: Mutex<Vec<(&'static str, Option<String>)>>,
    /// Status and gRPC's, of each request.
    exchanges: Mutex<Vec<(u16, Option<u8>)>>,
}

impl Observer for Records {
    fn connection(&self, connection: &Connection<'_>) {
        let told = (connection.protocol, connection.server_name.map(str::to_owned));
        self.connections.lock().unwrap().push(told);
    }

    fn unread(&self, _: &'static str) {}
    fn unread_request(&self, _: &'static str) {}

    fn exchange(&self, exchange: &Exchange) {
        let told = (exchange.status, exchange.grpc_status.map(GrpcStatus::code));
        self.exchanges.lock().unwrap().push(told);
    }

    fn shadow(&self, _: &ShadowOutcome) {}
}

enum Said<'b> {
    Client(&'b [u8]),
    App(&'b [u8]),
}
use Said::{App, Client};

/// Connections as the observer was told of them, and exchanges.
type Told = (Vec<(&'static str, Option<String>)>, Vec<(u16, Option<u8>)>);

fn records(said: &[Said<'_>]) -> Told {
    let records = Arc::new(Records::default());
    let observer: Arc<dyn Observer> = Arc::<Records>::clone(&records);
    let plane =
        Plane::start(&umbra::Shadow { nice: 0, ..Default::default() }, Arc::clone(&observer)).unwrap();
    let (seed, certificates) = (Seed::default(), Arc::new(Certificates::load(&[])));
    let leaving = Leaving::default();
    let node = Node { snapshot: ArcSwap::default(), plane, observer, seed, certificates, leaving };
    let mut story = Story::new(([10, 0, 0, 1], 1).into(), ([10, 0, 0, 2], 80).into(), &node);
    for said in said {
        match said {
            Client(bytes) => story.request(&Bytes::copy_from_slice(bytes)),
            App(bytes) => story.response(&Bytes::copy_from_slice(bytes)),
        }
    }
    story.finish();
    let (connections, exchanges) = (records.connections.lock().unwrap(), records.exchanges.lock().unwrap());
    (connections.clone(), exchanges.clone())
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
