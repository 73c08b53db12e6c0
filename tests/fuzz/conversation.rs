//! What the targets of the readers share: a conversation written as bytes, cuts of it, and a sink that writes down what
//! it is told and refuses what is told in a wrong order.

use std::collections::HashMap;

use bytes::Bytes;
use fastrand::Rng;
use http::HeaderMap;
use umbra::{
    message::{Header, RequestHead, ResponseHead, Slice},
    wire::{Cut, ExchangeId, Reader, Sink, Skipped, Unread},
};

/// What happens on a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    ClientEof,
    ServerEof,
}

/// The client speaks first. `FF C` and `FF S` change the speaker, `FF c` and `FF s` end a side, `FF` before anything
/// else is that other byte.
pub(crate) fn steps(data: &[u8]) -> Vec<Step> {
    let mut steps = vec![Step::Client(Vec::new())];
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        let spoken = match byte {
            0xff => match bytes.next() {
                Some(b'C') => Err(Step::Client(Vec::new())),
                Some(b'S') => Err(Step::Server(Vec::new())),
                Some(b'c') => Err(Step::ClientEof),
                Some(b's') => Err(Step::ServerEof),
                Some(&other) => Ok(other),
                None => break,
            },
            byte => Ok(byte),
        };
        match (spoken, steps.last_mut()) {
            (Ok(byte), Some(Step::Client(said) | Step::Server(said))) => said.push(byte),
            (Ok(byte), _) => steps.push(Step::Client(vec![byte])),
            (Err(step), _) => steps.push(step),
        }
    }
    steps
}

/// The same steps in pieces of at most this many bytes.
pub(crate) fn cut(steps: &[Step], longest: usize, rng: &mut Rng) -> Vec<Step> {
    let mut pieces = Vec::new();
    for step in steps {
        let (bytes, made): (_, fn(Vec<u8>) -> Step) = match step {
            Step::Client(bytes) => (bytes, Step::Client),
            Step::Server(bytes) => (bytes, Step::Server),
            Step::ClientEof | Step::ServerEof => {
                pieces.push(step.clone());
                continue;
            }
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rng.usize(1..=longest.min(rest.len())));
            pieces.push(made(piece.to_vec()));
            rest = after;
        }
    }
    pieces
}

/// Everything a reader tells of a connection.
pub(crate) fn read(steps: &[Step]) -> Recorder {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    for step in steps {
        let stopped = reader.stopped();
        let told = sink.events.len();
        match step {
            Step::Client(bytes) => reader.request(&Bytes::copy_from_slice(bytes), &mut sink),
            Step::Server(bytes) => reader.response(&Bytes::copy_from_slice(bytes), &mut sink),
            Step::ClientEof => reader.request_eof(&mut sink),
            Step::ServerEof => reader.response_eof(&mut sink),
        }
        assert!(!stopped || reader.stopped() && sink.events.len() == told, "it went on after its end");
        assert!(!reader.idle() || sink.open() == 0, "idle with an exchange open");
    }
    assert_eq!(reader.stopped(), sink.unread.is_some());
    sink
}

/// One call of a [`Sink`]; the pieces of a body that follow each other are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    RequestHead(ExchangeId, String),
    RequestData(ExchangeId, Vec<u8>),
    RequestEnd(ExchangeId, String, u64),
    ResponseHead(ExchangeId, String),
    ResponseEnd(ExchangeId, u64),
    Cut(ExchangeId, Cut),
    Skipped(Skipped),
    Unread(Unread),
}

#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) events: Vec<Event>,
    pub(crate) unread: Option<Unread>,
    exchanges: HashMap<ExchangeId, Progress>,
    /// Of whole requests and of whole responses.
    pub(crate) wire_bytes: (u64, u64),
}

#[derive(Debug, Default)]
struct Progress {
    request_ended: bool,
    response_begun: bool,
    response_ended: bool,
    cut: bool,
}

impl Recorder {
    fn tell(&mut self, event: Event) {
        assert_eq!(self.unread, None, "told after the end: {event:?}");
        self.events.push(event);
    }

    fn exchange(&mut self, id: ExchangeId) -> &mut Progress {
        let exchange = self.exchanges.get_mut(&id).unwrap_or_else(|| panic!("{id} has no request"));
        assert!(!exchange.cut, "{id} was cut");
        exchange
    }

    /// Exchanges that have begun and not ended.
    fn open(&self) -> usize {
        let open = |it: &&Progress| !(it.cut || it.request_ended && it.response_ended);
        self.exchanges.values().filter(open).count()
    }
}

fn lines(headers: &[Header<'_>]) -> String {
    headers.iter().map(|header| format!(" {}:{}", header.name, header.value.escape_ascii())).collect()
}

impl Sink for Recorder {
    fn request_head(&mut self, id: ExchangeId, head: &RequestHead<'_>) {
        assert!(self.exchanges.insert(id, Progress::default()).is_none(), "{id} began twice");
        // What rules are told of it must be there.
        assert!(!head.method.is_empty() && !head.target.is_empty());
        let path = head.path_and_query();
        assert!(path.starts_with('/') || path.starts_with('?') || path == head.target, "{path}");
        let text = format!("{} {} {:?} {:?}", head.method, head.target, head.version, head.body);
        let authority = format!(" {:?}", head.authority());
        self.tell(Event::RequestHead(id, text + &lines(head.headers) + &authority));
    }

    fn request_data(&mut self, id: ExchangeId, data: Slice<'_>) {
        assert!(!data.is_empty());
        assert!(!self.exchange(id).request_ended, "{id}: data after its end");
        match self.events.last_mut() {
            Some(Event::RequestData(last, body)) if *last == id && self.unread.is_none() => {
                body.extend_from_slice(&data.share());
            }
            _ => self.tell(Event::RequestData(id, data.as_bytes().to_vec())),
        }
    }

    fn request_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64) {
        assert!(!std::mem::replace(&mut self.exchange(id).request_ended, true), "{id} ended twice");
        self.wire_bytes.0 += wire_bytes;
        let trailers =
            trailers.iter().flatten().map(|(name, value)| format!("{name:?}:{value:?} ")).collect();
        self.tell(Event::RequestEnd(id, trailers, wire_bytes));
    }

    fn response_head(&mut self, id: ExchangeId, head: &ResponseHead<'_>) {
        assert!(!std::mem::replace(&mut self.exchange(id).response_begun, true), "{id} was answered twice");
        let text = format!("{:?} {}", head.version, head.status);
        self.tell(Event::ResponseHead(id, text + &lines(head.headers)));
    }

    fn response_end(&mut self, id: ExchangeId, _: Option<HeaderMap>, wire_bytes: u64) {
        let exchange = self.exchange(id);
        assert!(exchange.response_begun && !exchange.response_ended, "{id}: its response cannot end");
        exchange.response_ended = true;
        self.wire_bytes.1 += wire_bytes;
        self.tell(Event::ResponseEnd(id, wire_bytes));
    }

    fn exchange_cut(&mut self, id: ExchangeId, cut: Cut) {
        let exchange = self.exchange(id);
        assert!(!exchange.request_ended || !exchange.response_ended, "{id} was over");
        exchange.cut = true;
        self.tell(Event::Cut(id, cut));
    }

    fn skipped(&mut self, reason: Skipped) {
        self.tell(Event::Skipped(reason));
    }

    fn unread(&mut self, reason: Unread) {
        self.tell(Event::Unread(reason));
        self.unread = Some(reason);
    }
}
