//! THE STORY: one connection, from accept to record. Read this first.
//!
//! A client's connection arrives from a [`capture`](crate::capture::Inbound). We connect to the application it was
//! meant for and [`relay`] bytes both ways, untouched. A passive [`Reader`] watches the bytes go by and tells us of
//! requests; for each we ask the [`Snapshot`] which rule it matches, and offer a copy to the shadow
//! [`Plane`] for each mirror of that rule. Whatever goes wrong from the reader on is counted and costs the copy at
//! most; the relay does not know of it.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use socket2::SockRef;
use tokio::net::TcpStream;

use crate::{
    capture::{ConnectError, Inbound, Seed, canonical},
    message::{RequestHead, ResponseHead, Slice},
    record::{Connection, DropReason, Exchange, GrpcStatus, Observer, RuleKey},
    relay::{
        self, Leaving, Tap,
        tls::{self, Certificates, Opened, Sealed},
    },
    route::{Decision, Snapshot},
    shadow::{Call, Draws, Feed, Plane},
    wire::{Cut, ExchangeId, Place, Protocol, Reader, Sink, Skipped, Unread},
};

/// What every connection of this agent needs.
pub struct Node {
    /// The rules in force; swapped whole when the configuration changes.
    pub snapshot: ArcSwap<Snapshot>,
    pub plane: Arc<Plane>,
    pub observer: Arc<dyn Observer>,
    /// Of the draws of connections; the kernel's program has the same.
    pub seed: Seed,
    pub certificates: Arc<Certificates>,
    /// Of the whole agent; each listener's connections hear a part of it.
    pub leaving: Leaving,
}

/// Carries one captured connection to its end, or until `leaving` says that it is to end.
pub async fn serve(client_stream: TcpStream, inbound: &Inbound, node: &Node, leaving: &Leaving) {
    let (Ok(client), Ok(destination)) =
        (client_stream.peer_addr(), inbound.original_destination(&client_stream))
    else {
        return; // The client was gone before we looked.
    };
    let client = canonical(client);
    keep_as_the_app_would(&client_stream);
    let app_stream = match inbound.connect(client, destination).await {
        Ok(stream) => stream,
        Err(error) => return refuse(&client_stream, inbound, destination, &error),
    };
    let mut story = Story::new(client, destination, node);
    match node.certificates.at(destination.port()) {
        None => {
            relay::relay(client_stream, app_stream, &mut story, leaving).await;
        }
        // On the heap, so that other connections need no room for it.
        Some(port) => Box::pin(open(port, client_stream, app_stream, inbound, &mut story, leaving)).await,
    }
    story.finish();
}

/// Carries a connection that is encrypted, read where that is possible.
async fn open(
    port: &tls::Port,
    client_stream: TcpStream,
    app_stream: TcpStream,
    inbound: &Inbound,
    story: &mut Story<'_>,
    leaving: &Leaving,
) {
    let Exchanges { client, destination, .. } = story.exchanges;
    let again = async || inbound.connect(client, destination).await;
    match port.open(client_stream, app_stream, again).await {
        Opened::Read { client, app } => {
            story.exchanges.encrypted = true;
            relay::relay(client, app, story, leaving).await;
        }
        Opened::Untouched { client, app, said, why } => {
            story.exchanges.sealed = why;
            relay::relay_after(said, client, app, story, leaving).await;
        }
        Opened::Refused { client, error } => refuse(&client, inbound, destination, &error),
        Opened::Over => {}
    }
}

/// Bytes leave as they come, and a client that vanished is found out although the app only ever talks to us.
fn keep_as_the_app_would(client_stream: &TcpStream) {
    let socket = SockRef::from(client_stream);
    // A socket that refuses either is gone, which the relay will find.
    let _ = client_stream.set_nodelay(true).and_then(|()| socket.set_keepalive(true));
}

/// The app cannot be reached. The client learns it by a reset, and for a moment the kernel answers in our stead, so
/// that probes and retries see what they would see without us.
fn refuse(client_stream: &TcpStream, inbound: &Inbound, destination: SocketAddr, error: &ConnectError) {
    if !matches!(error, ConnectError::Refused) {
        tracing::warn!(%destination, %error, "cannot reach the app; its client is reset");
    }
    inbound.release(destination);
    relay::reset(client_stream);
}

/// What is known of a connection while it lasts.
struct Story<'n> {
    reader: Reader,
    exchanges: Exchanges<'n>,
    protocol_counted: bool,
}

impl<'n> Story<'n> {
    fn new(client: SocketAddr, destination: SocketAddr, node: &'n Node) -> Self {
        Self {
            reader: Reader::new(),
            exchanges: Exchanges {
                client,
                destination,
                draw: node.seed.draw(&client.into(), &destination.into()),
                node,
                encrypted: false,
                sealed: None,
                open: Vec::new(),
            },
            protocol_counted: false,
        }
    }

    /// The connection is over: what was still open saw its last byte.
    fn finish(mut self) {
        self.count_protocol(true);
        for exchange in self.exchanges.open.drain(..) {
            exchange.end(&self.exchanges.node.observer, self.exchanges.client, self.exchanges.destination);
        }
    }

    fn count_protocol(&mut self, at_last: bool) {
        if self.protocol_counted {
            return;
        }
        let known = match self.reader.protocol() {
            // With the server's name, which comes a moment later.
            Some(Protocol::Tls) => self.reader.stopped(),
            protocol => protocol.is_some(),
        };
        if at_last || known {
            let Exchanges { client, destination, node, .. } = self.exchanges;
            let protocol = self.reader.protocol().map_or("unknown", |protocol| protocol.as_str());
            let server_name = self.reader.server_name();
            if let Some(server_name) = server_name {
                tracing::debug!(%client, %destination, server_name, "a connection of TLS");
            }
            node.observer.connection(&Connection { client, destination, protocol, server_name });
            self.protocol_counted = true;
        }
    }
}

impl Tap for Story<'_> {
    fn request(&mut self, chunk: &Bytes) {
        self.reader.request(chunk, &mut self.exchanges);
        self.count_protocol(false);
    }

    fn response(&mut self, chunk: &Bytes) {
        self.reader.response(chunk, &mut self.exchanges);
        self.count_protocol(false);
    }

    fn request_end(&mut self) {
        self.reader.request_eof(&mut self.exchanges);
    }

    fn response_end(&mut self) {
        self.reader.response_eof(&mut self.exchanges);
    }

    fn place(&self) -> Place {
        self.reader.place()
    }
}

/// The requests of a connection that are not over yet: one on HTTP/1, unless the client pipelines; as many as there are
/// streams on HTTP/2.
struct Exchanges<'n> {
    client: SocketAddr,
    destination: SocketAddr,
    /// Of the connection.
    draw: u64,
    node: &'n Node,
    /// The client's TLS ends here.
    encrypted: bool,
    /// Why it does not, where it was meant to.
    sealed: Option<Sealed>,
    /// In the order of their heads, which is that of their numbers; bounded by the reader's limit on outstanding requests.
    open: Vec<Open>,
}

/// One request under way, with the copies that follow it.
struct Open {
    id: ExchangeId,
    started: Instant,
    rule: Option<Arc<RuleKey>>,
    /// A feed for each mirror whose copy was admitted; dropping one cancels its copy.
    feeds: Vec<Feed>,
    /// Those of them that follow a call of gRPC to its end, from the end of the request on; dropping one cancels its copy.
    calls: Vec<Call>,
    is_grpc: bool,
    grpc_status: Option<GrpcStatus>,
    /// Set when the message is whole.
    request_bytes: Option<u64>,
    response_bytes: Option<u64>,
    status: u16,
}

impl Exchanges<'_> {
    fn get(&mut self, id: ExchangeId) -> Option<&mut Open> {
        let at = self.find(id)?;
        self.open.get_mut(at)
    }

    fn find(&self, id: ExchangeId) -> Option<usize> {
        self.open.binary_search_by_key(&id, |exchange| exchange.id).ok()
    }

    fn end_if_whole(&mut self, id: ExchangeId) {
        let whole = |e: &Open| e.request_bytes.is_some() && e.response_bytes.is_some();
        if let Some(at) = self.find(id).filter(|at| whole(&self.open[*at])) {
            let mut exchange = self.open.remove(at);
            exchange.calls.drain(..).for_each(Call::over);
            exchange.end(&self.node.observer, self.client, self.destination);
        }
    }
}

impl Sink for Exchanges<'_> {
    fn request_head(&mut self, id: ExchangeId, head: &RequestHead<'_>) {
        let head = &RequestHead { encrypted: self.encrypted, ..*head };
        let snapshot = self.node.snapshot.load();
        let mut exchange = Open {
            id,
            started: Instant::now(),
            rule: None,
            feeds: Vec::new(),
            calls: Vec::new(),
            is_grpc: head.is_grpc(),
            grpc_status: None,
            request_bytes: None,
            response_bytes: None,
            status: 0,
        };
        if let Some(Decision::Rule(rule)) =
            snapshot.inbound(self.destination).map(|rules| rules.decide(head, self.client.ip()))
        {
            exchange.rule = Some(Arc::clone(&rule.key));
            let draws = Draws { request: fastrand::u64(..), connection: self.draw };
            let offer = |mirror| self.node.plane.offer(mirror, head, draws, self.client);
            exchange.feeds.extend(rule.mirrors.iter().filter_map(offer));
        }
        self.open.push(exchange);
    }

    fn request_data(&mut self, id: ExchangeId, data: Slice<'_>) {
        if let Some(exchange) = self.get(id) {
            exchange.feeds.iter_mut().for_each(|feed| feed.data(data));
        }
    }

    fn request_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64) {
        if let Some(exchange) = self.get(id) {
            exchange.request_bytes = Some(wire_bytes);
            let calls = exchange.feeds.drain(..).filter_map(|feed| feed.end(trailers.clone()));
            exchange.calls.extend(calls);
        }
        self.end_if_whole(id);
    }

    fn response_head(&mut self, id: ExchangeId, head: &ResponseHead<'_>) {
        if let Some(exchange) = self.get(id) {
            exchange.status = head.status;
            exchange.said(head.header("grpc-status"));
        }
    }

    fn response_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64) {
        if let Some(exchange) = self.get(id) {
            exchange.response_bytes = Some(wire_bytes);
            exchange.said(trailers.as_ref().and_then(|it| it.get("grpc-status")).map(HeaderValue::as_bytes));
        }
        self.end_if_whole(id);
    }

    fn exchange_cut(&mut self, id: ExchangeId, cut: Cut) {
        let dropped = match cut {
            Cut::ByClient | Cut::ByApp => DropReason::Cancelled,
            Cut::Doubt(reason) => {
                self.skipped(reason);
                DropReason::Unread
            }
        };
        if let Some(at) = self.find(id) {
            // Of a request that was whole there is no feed any more: its copies complete, unless it is a call of gRPC that
            // its client gave up.
            let mut exchange = self.open.remove(at);
            if cut != Cut::ByClient {
                exchange.calls.drain(..).for_each(Call::over);
            }
            exchange.feeds.drain(..).for_each(|feed| feed.abandon(dropped));
            exchange.end(&self.node.observer, self.client, self.destination);
        }
    }

    fn skipped(&mut self, reason: Skipped) {
        self.node.observer.unread_request(reason.as_str());
    }

    fn unread(&mut self, reason: Unread) {
        let sealed = self.sealed.filter(|_| reason == Unread::Tls);
        self.node.observer.unread(sealed.map_or(reason.as_str(), Sealed::as_str));
        // A message cut short is no doubt of the reader's: client or app have broken it off.
        let dropped = if reason == Unread::Truncated { DropReason::Cancelled } else { DropReason::Unread };
        for mut exchange in self.open.drain(..) {
            exchange.calls.drain(..).for_each(Call::over);
            exchange.feeds.drain(..).for_each(|feed| feed.abandon(dropped));
            exchange.end(&self.node.observer, self.client, self.destination);
        }
    }
}

impl Open {
    fn said(&mut self, grpc_status: Option<&[u8]>) {
        if let Some(status) = grpc_status.filter(|_| self.is_grpc) {
            self.grpc_status = Some(GrpcStatus::parse(status));
        }
    }

    fn end(self, observer: &Arc<dyn Observer>, client: SocketAddr, destination: SocketAddr) {
        observer.exchange(&Exchange {
            client,
            destination,
            rule: self.rule,
            status: self.status,
            grpc_status: self.grpc_status,
            request_bytes: self.request_bytes.unwrap_or(0),
            response_bytes: self.response_bytes.unwrap_or(0),
            duration: self.started.elapsed(),
        });
    }
}

#[cfg(test)]
mod tests;
