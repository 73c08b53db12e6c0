//! An agent that leaves, with the real reader beside the relay.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
    time::timeout,
};

use super::*;
use crate::{
    message::{RequestHead, ResponseHead, Slice},
    relay::{End, relay},
    wire::{Cut, ExchangeId, Reader, Sink, Skipped, Unread},
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const LAST_OK: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// What was read, and what the tap saw of the app.
#[derive(Default)]
struct Seen {
    reader: Reader,
    responses: Vec<u8>,
}

struct Nobody;

impl Sink for Nobody {
    fn request_head(&mut self, _: ExchangeId, _: &RequestHead<'_>) {}
    fn request_data(&mut self, _: ExchangeId, _: Slice<'_>) {}
    fn request_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {}
    fn response_head(&mut self, _: ExchangeId, _: &ResponseHead<'_>) {}
    fn response_end(&mut self, _: ExchangeId, _: Option<HeaderMap>, _: u64) {}
    fn exchange_cut(&mut self, _: ExchangeId, _: Cut) {}
    fn skipped(&mut self, _: Skipped) {}
    fn unread(&mut self, _: Unread) {}
}

impl Tap for Seen {
    fn request(&mut self, chunk: &Bytes) {
        self.reader.request(chunk, &mut Nobody);
    }
    fn response(&mut self, chunk: &Bytes) {
        self.reader.response(chunk, &mut Nobody);
        self.responses.extend_from_slice(chunk);
    }
    fn request_end(&mut self) {
        self.reader.request_eof(&mut Nobody);
    }
    fn response_end(&mut self) {
        self.reader.response_eof(&mut Nobody);
    }
    fn place(&self) -> Place {
        self.reader.place()
    }
}

/// A client and an app with a relay between them.
struct World {
    client: TcpStream,
    app: TcpStream,
    leaving: Arc<Leaving>,
    relay: JoinHandle<(End, Vec<u8>)>,
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (near, far) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (near.unwrap(), far.unwrap().0)
}

impl World {
    async fn new() -> Self {
        let ((client, downstream), (upstream, app)) = (pair().await, pair().await);
        let leaving = Arc::<Leaving>::default();
        let told = Arc::clone(&leaving);
        let relay = tokio::spawn(async move {
            let mut seen = Seen::default();
            let end = relay(downstream, upstream, &mut seen, &told).await;
            (end, seen.responses)
        });
        Self { client, app, leaving, relay }
    }

    async fn ask(&mut self, request: &[u8]) {
        self.client.write_all(request).await.unwrap();
        expect(&mut self.app, request).await;
    }

    async fn answer(&mut self, response: &[u8], arrives_as: &[u8]) {
        self.app.write_all(response).await.unwrap();
        expect(&mut self.client, arrives_as).await;
    }

    /// Both sides have read the end of the connection; what did the tap see of the app?
    async fn has_ended(mut self) -> Vec<u8> {
        assert_eq!(self.client.read(&mut [0; 64]).await.unwrap(), 0);
        assert_eq!(self.app.read(&mut [0; 64]).await.unwrap(), 0);
        drop((self.client, self.app));
        let (end, responses) = self.relay.await.unwrap();
        assert_eq!(end, End::Closed);
        responses
    }

    /// Nothing comes to the client.
    async fn is_quiet(&mut self) {
        let more = timeout(Duration::from_millis(50), self.client.read(&mut [0; 64])).await;
        assert!(more.is_err(), "{more:?}");
    }
}

async fn expect(at: &mut TcpStream, bytes: &[u8]) {
    let mut read = vec![0; bytes.len()];
    at.read_exact(&mut read).await.unwrap();
    assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(bytes));
}

#[tokio::test]
async fn the_next_response_of_http1_is_the_last_and_says_so() {
    let mut world = World::new().await;
    world.ask(GET).await;
    world.answer(OK, OK).await;
    world.leaving.begin();
    world.is_quiet().await;
    world.ask(GET).await;
    world.answer(OK, LAST_OK).await;
    assert_eq!(world.has_ended().await, [OK, OK].concat(), "the tap sees what the app said");
}

#[tokio::test]
async fn a_response_under_way_is_relayed_to_its_end_and_the_next_is_the_last() {
    let mut world = World::new().await;
    world.ask(GET).await;
    world.answer(&OK[..20], &OK[..20]).await;
    world.leaving.begin();
    world.is_quiet().await;
    world.answer(&OK[20..], &OK[20..]).await;
    world.is_quiet().await;
    world.ask(GET).await;
    world.answer(OK, LAST_OK).await;
    world.has_ended().await;
}

#[tokio::test]
async fn every_pipelined_request_is_answered_before_the_end() {
    let mut world = World::new().await;
    world.leaving.begin();
    world.ask(&GET.repeat(3)).await;
    world.answer(OK, OK).await;
    world.answer(OK, OK).await;
    world.answer(OK, LAST_OK).await;
    world.has_ended().await;
}

#[tokio::test]
async fn an_upload_that_is_answered_early_goes_on() {
    let post = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n";
    let mut world = World::new().await;
    world.leaving.begin();
    world.ask(post).await;
    world.answer(OK, OK).await;
    world.ask(b"body").await;
    world.is_quiet().await;
    world.ask(GET).await;
    world.answer(OK, LAST_OK).await;
    world.has_ended().await;
}

#[tokio::test]
async fn an_idle_connection_ends_at_the_last_call() {
    for asked_before in [false, true] {
        let mut world = World::new().await;
        if asked_before {
            world.ask(GET).await;
            world.answer(OK, OK).await;
        }
        world.leaving.begin();
        world.is_quiet().await;
        world.leaving.last_call();
        world.has_ended().await;
    }
}

#[tokio::test]
async fn a_request_under_way_at_the_last_call_is_answered() {
    let mut world = World::new().await;
    world.ask(GET).await;
    world.leaving.last_call();
    world.is_quiet().await;
    world.answer(OK, LAST_OK).await;
    world.has_ended().await;
}

#[tokio::test]
async fn what_is_not_read_goes_on() {
    let mut world = World::new().await;
    world.ask(b"SSH-2.0-OpenSSH_9\r\n").await;
    world.leaving.begin();
    world.leaving.last_call();
    world.answer(b"SSH-2.0-dropbear\r\n", b"SSH-2.0-dropbear\r\n").await;
    world.is_quiet().await;
    drop(world.client);
    assert_eq!(world.app.read(&mut [0; 64]).await.unwrap(), 0);
}

/// A GET that HPACK's static table spells out, on this stream.
fn get(stream: u8) -> Vec<u8> {
    let fields = [0x82, 0x86, 0x84, 0x41, 1, b'a'];
    [&[0, 0, 6, 1, 5, 0, 0, 0, stream], &fields[..]].concat()
}

/// 204, whole.
fn no_content(stream: u8) -> Vec<u8> {
    vec![0, 0, 1, 1, 5, 0, 0, 0, stream, 0x89]
}

#[tokio::test]
async fn http2_is_asked_for_no_new_streams_and_those_on_their_way_are_answered() {
    let mut world = World::new().await;
    world.ask(&[PREFACE, SETTINGS, &get(1)].concat()).await;
    // Before the app's SETTINGS, and within its frame, there is no place for one.
    world.leaving.begin();
    world.is_quiet().await;
    let answer = [SETTINGS, &no_content(1)].concat();
    world.answer(&answer[..15], &answer[..15]).await;
    world.is_quiet().await;
    world.answer(&answer[15..], &answer[15..]).await;
    let any = goaway(0x7fff_ffff);
    expect(&mut world.client, &any).await;

    world.ask(&get(3)).await;
    world.answer(&no_content(3), &no_content(3)).await;
    world.is_quiet().await;
    // A client that does not end the connection by itself.
    world.leaving.last_call();
    expect(&mut world.client, &goaway(3)).await;
    assert_eq!(world.has_ended().await, [&answer[..], &no_content(3)].concat());
}

#[tokio::test]
async fn a_stream_that_is_open_at_the_last_call_is_answered() {
    let mut world = World::new().await;
    world.ask(&[PREFACE, SETTINGS, &get(1)].concat()).await;
    world.answer(SETTINGS, SETTINGS).await;
    world.leaving.begin();
    expect(&mut world.client, &goaway(0x7fff_ffff)).await;
    world.leaving.last_call();
    world.is_quiet().await;
    world.answer(&no_content(1), &no_content(1)).await;
    expect(&mut world.client, &goaway(1)).await;
    world.has_ended().await;
}

#[tokio::test]
async fn every_word_is_heard_also_when_it_comes_first() {
    let mut world = World::new().await;
    world.leaving.last_call();
    // It does not go back.
    world.leaving.begin();
    assert_eq!(world.client.read(&mut [0; 1]).await.unwrap(), 0);
    world.has_ended().await;
}

#[test]
fn a_part_hears_what_is_said_to_all_and_keeps_to_itself_what_it_is_told_alone() {
    let all = Leaving::default();
    let (one, other) = (all.part(), all.part());
    let spoken = || [&all, &*one, &*other].map(Leaving::spoken);
    one.begin();
    assert_eq!(spoken(), [Word::Stay, Word::Leave, Word::Stay]);
    all.last_call();
    assert_eq!(spoken(), [Word::LastCall; 3]);
    assert_eq!(all.part().spoken(), Word::LastCall, "also one that comes later");
}
