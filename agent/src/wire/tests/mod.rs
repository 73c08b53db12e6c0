//! What the tests of the readers share: a conversation, and a sink that writes down what it is told.

mod conversation;
mod reader;
pub(super) mod splits;
mod tls;

use std::fmt;

use bytes::Bytes;
use http::HeaderMap;

use super::{Cut, ExchangeId, Place, Reader, Sink, Skipped, Unread};
use crate::message::{Header, RequestHead, ResponseHead, Slice};

/// One call of a [`Sink`]; the pieces of a body that follow each other are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    RequestHead(ExchangeId, String),
    RequestData(ExchangeId, Vec<u8>),
    RequestEnd(ExchangeId, String, u64),
    ResponseHead(ExchangeId, String),
    ResponseTrailers(ExchangeId, String),
    ResponseEnd(ExchangeId, u64),
    Cut(ExchangeId, Cut),
    Skipped(Skipped),
    Unread(Unread),
}

#[derive(Debug, Default)]
pub(super) struct Recorder {
    pub(super) events: Vec<Event>,
}

fn lines(headers: &[Header<'_>]) -> String {
    headers.iter().map(|header| format!(" {}:{}", header.name, header.value.escape_ascii())).collect()
}

fn fields(trailers: Option<&HeaderMap>) -> String {
    trailers.into_iter().flatten().map(|(name, value)| format!("{name:?}:{value:?} ")).collect()
}

impl Sink for Recorder {
    fn request_head(&mut self, id: ExchangeId, head: &RequestHead<'_>) {
        let text = format!("{} {} {:?} {:?}", head.method, head.target, head.version, head.body);
        self.events.push(Event::RequestHead(id, text + &lines(head.headers)));
    }

    fn request_data(&mut self, id: ExchangeId, data: Slice<'_>) {
        assert!(!data.is_empty());
        match self.events.last_mut() {
            Some(Event::RequestData(last, body)) if *last == id => body.extend_from_slice(&data.share()),
            _ => self.events.push(Event::RequestData(id, data.as_bytes().to_vec())),
        }
    }

    fn request_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64) {
        self.events.push(Event::RequestEnd(id, fields(trailers.as_ref()), wire_bytes));
    }

    fn response_head(&mut self, id: ExchangeId, head: &ResponseHead<'_>) {
        let text = format!("{:?} {}", head.version, head.status);
        self.events.push(Event::ResponseHead(id, text + &lines(head.headers)));
    }

    fn response_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64) {
        let trailers = trailers.map(|trailers| Event::ResponseTrailers(id, fields(Some(&trailers))));
        self.events.extend(trailers);
        self.events.push(Event::ResponseEnd(id, wire_bytes));
    }

    fn exchange_cut(&mut self, id: ExchangeId, cut: Cut) {
        self.events.push(Event::Cut(id, cut));
    }

    fn skipped(&mut self, reason: Skipped) {
        self.events.push(Event::Skipped(reason));
    }

    fn unread(&mut self, reason: Unread) {
        let already = self.events.iter().any(|event| matches!(event, Event::Unread(_)));
        assert!(!already, "told twice to stop");
        self.events.push(Event::Unread(reason));
    }
}

/// What happens on a connection.
#[derive(Clone)]
pub(super) enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    ClientEof,
    ServerEof,
}

/// The client sends this.
pub(super) fn client(bytes: impl AsRef<[u8]>) -> Step {
    Step::Client(bytes.as_ref().to_vec())
}

/// The server sends this.
pub(super) fn server(bytes: impl AsRef<[u8]>) -> Step {
    Step::Server(bytes.as_ref().to_vec())
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(bytes) => write!(f, "client({})", bytes.escape_ascii()),
            Self::Server(bytes) => write!(f, "server({})", bytes.escape_ascii()),
            Self::ClientEof => f.write_str("client ends"),
            Self::ServerEof => f.write_str("server ends"),
        }
    }
}

impl Step {
    pub(super) fn tell(&self, reader: &mut Reader, sink: &mut Recorder) {
        match self {
            Self::Client(bytes) => reader.request(&Bytes::copy_from_slice(bytes), sink),
            Self::Server(bytes) => reader.response(&Bytes::copy_from_slice(bytes), sink),
            Self::ClientEof => reader.request_eof(sink),
            Self::ServerEof => reader.response_eof(sink),
        }
    }
}

/// Everything a reader tells of a connection.
pub(super) fn read(steps: &[Step]) -> Vec<Event> {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    for step in steps {
        step.tell(&mut reader, &mut sink);
    }
    assert_eq!(reader.stopped(), matches!(sink.events.last(), Some(Event::Unread(_))));
    sink.events
}

/// Why a connection was not read to its end, if it was not.
pub(super) fn doubt(steps: &[Step]) -> Option<Unread> {
    match read(steps).last() {
        Some(Event::Unread(reason)) => Some(*reason),
        _ => None,
    }
}
