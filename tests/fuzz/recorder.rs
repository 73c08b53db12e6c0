//! A sink that writes down what it is told, and refuses what is told in a wrong order.

use std::collections::HashMap;

use http::HeaderMap;
use umbra::{
    message::{Header, RequestHead, ResponseHead, Slice},
    wire::{Cut, ExchangeId, Sink, Skipped, Unread},
};

/// One call of a [`Sink`]; the pieces of a body that follow each other are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    RequestHead(ExchangeId, String),
    RequestData(ExchangeId, Vec<u8>),
    RequestEnd(ExchangeId, String, u64),
    ResponseHead(ExchangeId, String),
    ResponseEnd(ExchangeId, u64),
    Cut(ExchangeId, Cut),
    Skipped(Skipped),
    Unread(Unread),
}

/// What a reader told, in its order.
#[derive(Debug, Default)]
pub struct Recorder {
    pub events: Vec<Event>,
    pub unread: Option<Unread>,
    exchanges: HashMap<ExchangeId, Progress>,
    /// Of whole requests and of whole responses.
    pub wire_bytes: (u64, u64),
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
    pub(crate) fn open(&self) -> usize {
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
