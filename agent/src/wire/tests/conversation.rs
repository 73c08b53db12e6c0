//! Legal conversations made by chance, and what a reader must tell of them.

use proptest::{collection::vec, prelude::*};

use super::{Event, Step};

/// One body and how it is framed.
#[derive(Clone, Debug)]
enum Content {
    None,
    Empty,
    Sized(Vec<u8>),
    Chunked { chunks: Vec<Vec<u8>>, extension: &'static str, trailers: &'static str },
}

#[derive(Clone, Debug)]
struct Exchange {
    method: &'static str,
    target: &'static str,
    blank_before: bool,
    request: Content,
    interim: usize,
    status: u16,
    response: Content,
    order: Order,
}

#[derive(Clone, Debug, PartialEq)]
enum Order {
    /// The next request is sent without waiting for this response.
    Pipelined,
    Sequential,
    /// The client waits for permission to send its body.
    Continue,
    /// The response comes before the request's body.
    Early,
}

/// What happens and what is to be told of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Conversation {
    pub(super) steps: Vec<Step>,
    pub(super) events: Vec<Event>,
}

impl Content {
    fn headers(&self) -> String {
        match self {
            Self::None => String::new(),
            Self::Empty => "content-length:0\r\n".into(),
            Self::Sized(data) => format!("Content-Length: {}\r\n", data.len()),
            Self::Chunked { .. } => "TRANSFER-ENCODING: Chunked \r\n".into(),
        }
    }

    fn wire(&self) -> Vec<u8> {
        match self {
            Self::None | Self::Empty => Vec::new(),
            Self::Sized(data) => data.clone(),
            Self::Chunked { chunks, extension, trailers } => {
                let mut wire = Vec::new();
                for chunk in chunks {
                    wire.extend(format!("{:02X}{extension}\r\n", chunk.len()).bytes());
                    wire.extend(chunk);
                    wire.extend(b"\r\n");
                }
                wire.extend(format!("0{extension}\r\n{trailers}\r\n").bytes());
                wire
            }
        }
    }

    fn data(&self) -> Vec<u8> {
        match self {
            Self::None | Self::Empty => Vec::new(),
            Self::Sized(data) => data.clone(),
            Self::Chunked { chunks, .. } => chunks.concat(),
        }
    }

    fn trailers(&self) -> String {
        match self {
            Self::Chunked { trailers, .. } if !trailers.is_empty() => r#""x-sum":"1" "#.into(),
            _ => String::new(),
        }
    }

    fn length(&self) -> String {
        match self {
            Self::None | Self::Empty => "None".into(),
            Self::Sized(data) => format!("Known({})", data.len()),
            Self::Chunked { .. } => "Streamed".into(),
        }
    }
}

impl Exchange {
    fn bodiless(&self) -> bool {
        self.method == "HEAD" || matches!(self.status, 204 | 304)
    }

    fn request_head(&self) -> String {
        let blank = if self.blank_before { "\r\n" } else { "" };
        let expect = if self.order == Order::Continue { "Expect: 100-continue\r\n" } else { "" };
        let framing = self.request.headers();
        format!("{blank}{} {} HTTP/1.1\r\nHost: a\r\n{expect}{framing}\r\n", self.method, self.target)
    }

    fn response(&self) -> Vec<u8> {
        let framing = if self.status == 204 { String::new() } else { self.response.headers() };
        let mut wire = format!("HTTP/1.1 {} Some Reason\r\n{framing}\r\n", self.status).into_bytes();
        if !self.bodiless() {
            wire.extend(self.response.wire());
        }
        wire
    }

    fn tell_request_head(&self, id: u64) -> Event {
        let mut text = format!("{} {} Http11 {} Host:a", self.method, self.target, self.request.length());
        if self.order == Order::Continue {
            text += " Expect:100-continue";
        }
        text += &wire_headers(&self.request);
        Event::RequestHead(id, text)
    }

    fn tell_rest(&self, id: u64) -> impl Iterator<Item = Event> {
        let wire_bytes = self.request_head().len() + self.request.wire().len();
        let data = Some(self.request.data()).filter(|data| !data.is_empty());
        data.map(|data| Event::RequestData(id, data)).into_iter().chain([Event::RequestEnd(
            id,
            self.request.trailers(),
            wire_bytes as u64,
        )])
    }

    fn tell_response(&self, id: u64, wire_bytes: usize) -> Vec<Event> {
        let framing = if self.status == 204 { String::new() } else { wire_headers(&self.response) };
        let head = format!("Http11 {}{framing}", self.status);
        let trailers = if self.bodiless() { String::new() } else { self.response.trailers() };
        let trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        [Event::ResponseHead(id, head)]
            .into_iter()
            .chain(trailers.map(|trailers| Event::ResponseTrailers(id, trailers)))
            .chain([Event::ResponseEnd(id, wire_bytes as u64)])
            .collect()
    }
}

fn wire_headers(content: &Content) -> String {
    content.headers().trim_end().lines().map(|line| format!(" {}", line.trim().replace(": ", ":"))).collect()
}

impl Conversation {
    fn of(exchanges: &[Exchange], until_close: bool) -> Self {
        let mut talk = Self::default();
        let mut owed: (Vec<u8>, Vec<Event>) = Default::default();
        for (id, exchange) in exchanges.iter().enumerate() {
            let id = id as u64;
            let head = exchange.request_head().into_bytes();
            let interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(exchange.interim);
            let response = [interim, exchange.response()].concat();
            talk.events.push(exchange.tell_request_head(id));
            match exchange.order {
                Order::Pipelined | Order::Sequential => {
                    talk.steps.push(Step::Client([head, exchange.request.wire()].concat()));
                    talk.events.extend(exchange.tell_rest(id));
                    owed.1.extend(exchange.tell_response(id, response.len()));
                    owed.0.extend(response);
                    if exchange.order == Order::Sequential {
                        talk.steps.push(Step::Server(std::mem::take(&mut owed.0)));
                        talk.events.append(&mut owed.1);
                    }
                }
                Order::Continue => {
                    talk.steps.push(Step::Client(head));
                    let permission = b"HTTP/1.1 100 Continue\r\n\r\n";
                    talk.events.append(&mut owed.1);
                    owed.0.extend(permission);
                    talk.steps.push(Step::Server(std::mem::take(&mut owed.0)));
                    talk.steps.push(Step::Client(exchange.request.wire()));
                    talk.events.extend(exchange.tell_rest(id));
                    talk.events.extend(exchange.tell_response(id, permission.len() + response.len()));
                    talk.steps.push(Step::Server(response));
                }
                Order::Early => {
                    talk.steps.push(Step::Client(head));
                    talk.events.append(&mut owed.1);
                    talk.events.extend(exchange.tell_response(id, response.len()));
                    owed.0.extend(response);
                    talk.steps.push(Step::Server(std::mem::take(&mut owed.0)));
                    talk.steps.push(Step::Client(exchange.request.wire()));
                    talk.events.extend(exchange.tell_rest(id));
                }
            }
        }
        talk.steps.push(Step::Server(owed.0));
        talk.events.append(&mut owed.1);
        if until_close {
            talk.close_delimited(exchanges.len() as u64);
        }
        talk.steps.extend([Step::ClientEof, Step::ServerEof]);
        talk
    }

    fn close_delimited(&mut self, id: u64) {
        let (request, response) = ("GET /last HTTP/1.0\r\n\r\n", "HTTP/1.0 200\r\n\r\nuntil the end");
        self.steps.extend([super::client(request), super::server(response)]);
        self.events.extend([
            Event::RequestHead(id, "GET /last Http10 None".into()),
            Event::RequestEnd(id, String::new(), request.len() as u64),
            Event::ResponseHead(id, "Http10 200".into()),
            Event::ResponseEnd(id, response.len() as u64),
        ]);
    }

    pub(super) fn bytes(&self, of: impl Fn(&Step) -> Option<&Vec<u8>>) -> u64 {
        self.steps.iter().filter_map(of).map(|bytes| bytes.len() as u64).sum()
    }
}

fn content() -> impl Strategy<Value = Content> {
    let data = || vec(any::<u8>(), 1..60);
    let extension = prop_oneof![Just(""), Just(";a"), Just(";name=\"a b\";c=d")];
    let trailers = prop_oneof![Just(""), Just("X-Sum:  1\r\n")];
    prop_oneof![
        Just(Content::None),
        Just(Content::Empty),
        data().prop_map(Content::Sized),
        (vec(data(), 0..4), extension, trailers).prop_map(|(chunks, extension, trailers)| Content::Chunked {
            chunks,
            extension,
            trailers
        }),
    ]
}

fn exchange() -> impl Strategy<Value = Exchange> {
    let method = prop_oneof![Just("GET"), Just("POST"), Just("HEAD"), Just("X-Y")];
    let target = prop_oneof![Just("/"), Just("/a?b=c"), Just("http://A/x")];
    let status = prop_oneof![Just(200u16), Just(204), Just(304), Just(404), Just(999)];
    let order = prop_oneof![
        Just(Order::Pipelined),
        Just(Order::Sequential),
        Just(Order::Continue),
        Just(Order::Early)
    ];
    (method, target, any::<bool>(), content(), 0..3usize, status, content(), order).prop_map(
        |(method, target, blank_before, request, interim, status, response, order)| {
            // Without a length the response would end with the connection.
            let response = if let Content::None = response { Content::Empty } else { response };
            // Without a body there is nothing to wait for or to answer early.
            let bodiless = matches!(request, Content::None | Content::Empty);
            let order = if bodiless && order != Order::Pipelined { Order::Sequential } else { order };
            Exchange { method, target, blank_before, request, interim, status, response, order }
        },
    )
}

pub(super) fn conversation() -> impl Strategy<Value = Conversation> {
    (vec(exchange(), 1..5), any::<bool>()).prop_map(|(mut exchanges, until_close)| {
        // The first bytes of a connection must be a method.
        exchanges[0].blank_before = false;
        Conversation::of(&exchanges, until_close)
    })
}
