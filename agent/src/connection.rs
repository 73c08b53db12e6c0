//! THE STORY: one connection, from accept to record. Read this first.
//!
//! A client's connection arrives from a [`capture`](crate::capture::Inbound). We connect to the application it was
//! meant for and [`relay`] bytes both ways, untouched. A passive [`Reader`] watches the bytes go by and tells us of
//! requests; for each we ask the [`Snapshot`] which rule it matches, and offer a copy to the shadow
//! [`Plane`] for each mirror of that rule. Whatever goes wrong from the reader on is counted and costs the copy at
//! most; the relay does not know of it.

mod open;
#[cfg(test)]
mod tests;

use std::{net::SocketAddr, sync::Arc};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::net::TcpStream;

use crate::{
    capture::{ConnectError, Inbound, Seed, canonical},
    message::{RequestHead, ResponseHead, Slice},
    record::{Connection, DropReason, Ending, Observer, Origin, Workload},
    relay::{
        self, Leaving, Peer, Tap,
        tls::{self, Certificates, Opened, Sealed},
    },
    route::{Decision, Snapshot},
    shadow::{self, Call, Draws, Plane, Sender},
    wire::{Cut, ExchangeId, Place, Protocol, Reader, Sink, Skipped, Unread},
};
use open::Open;

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
pub async fn serve(
    (client_stream, client): (TcpStream, SocketAddr),
    inbound: &Inbound,
    node: &Node,
    leaving: &Leaving,
) {
    let Ok(destination) = inbound.original_destination(&client_stream) else {
        return; // The client was gone before we looked.
    };
    let client = canonical(client);
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

/// The app cannot be reached. The client learns it by a reset, and for a moment the kernel answers in our stead, so
/// that probes and retries see what they would see without us.
fn refuse(client_stream: &TcpStream, inbound: &Inbound, destination: SocketAddr, error: &ConnectError) {
    if !matches!(error, ConnectError::Refused) {
        tracing::warn!(%destination, %error, "cannot reach the app; its client is reset");
    }
    inbound.release(destination);
    relay::reset(client_stream);
}

/// What is known of a connection while it lasts. Dropped before it is finished, the agent has ended the connection.
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
                source: None,
                encrypted: false,
                sealed: None,
                truncated_by: Ending::Unread,
                ended_by: Ending::Agent,
                open: Vec::new(),
            },
            protocol_counted: false,
        }
    }

    /// The connection is over: what was still open saw its last byte. Unless the client is known to have ended it, the app
    /// did, which owed an answer.
    fn finish(mut self) {
        if self.exchanges.ended_by == Ending::Agent {
            self.exchanges.ended_by = Ending::App;
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

impl Drop for Story<'_> {
    fn drop(&mut self) {
        self.count_protocol(true);
        let ending = self.exchanges.ended_by;
        for exchange in std::mem::take(&mut self.exchanges.open) {
            self.exchanges.end(exchange, ending);
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

    fn request_unseen(&self) -> u64 {
        match self.reader.request_ahead() {
            (Some(id), _) if self.exchanges.is_fed(id) => 0,
            (_, count) => count,
        }
    }

    fn response_unseen(&self) -> u64 {
        self.reader.response_ahead()
    }

    fn request_passed(&mut self, count: u64) {
        self.reader.request_passed(count, &mut self.exchanges);
    }

    fn response_passed(&mut self, count: u64) {
        self.reader.response_passed(count, &mut self.exchanges);
    }

    fn request_end(&mut self) {
        self.exchanges.truncated_by = Ending::Client;
        self.reader.request_eof(&mut self.exchanges);
    }

    fn response_end(&mut self) {
        self.exchanges.truncated_by = Ending::App;
        self.reader.response_eof(&mut self.exchanges);
    }

    fn reset(&mut self, by: Peer) {
        self.exchanges.ended_by = match by {
            Peer::Client => Ending::Client,
            Peer::App => Ending::App,
        };
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
    /// The client's workload, once known.
    source: Option<Arc<Workload>>,
    /// The client's TLS ends here.
    encrypted: bool,
    /// Why it does not, where it was meant to.
    sealed: Option<Sealed>,
    /// Who has just said that it says no more.
    truncated_by: Ending,
    /// Of the connection, with whatever is open.
    ended_by: Ending,
    /// In the order of their heads, which is that of their numbers; bounded by the reader's limit on outstanding requests.
    open: Vec<Open>,
}

impl Exchanges<'_> {
    fn get(&mut self, id: ExchangeId) -> Option<&mut Open> {
        let at = self.find(id)?;
        self.open.get_mut(at)
    }

    fn find(&self, id: ExchangeId) -> Option<usize> {
        self.open.binary_search_by_key(&id, |exchange| exchange.id).ok()
    }

    /// Whether the body of its request goes to a copy.
    fn is_fed(&self, id: ExchangeId) -> bool {
        self.find(id).is_some_and(|at| !self.open[at].feeds.is_empty())
    }

    fn end_if_whole(&mut self, id: ExchangeId) {
        let whole = |e: &Open| e.request_bytes.is_some() && e.response_bytes.is_some();
        if let Some(at) = self.find(id).filter(|at| whole(&self.open[*at])) {
            let mut exchange = self.open.remove(at);
            exchange.calls.drain(..).for_each(Call::over);
            self.end(exchange, Ending::Complete);
        }
    }

    /// Tells of a request that is over.
    fn end(&self, exchange: Open, ending: Ending) {
        let observer = &*self.node.observer;
        let (exchange, origin) = exchange.end(self, ending);
        observer.exchange(&exchange);
        if let Some(origin) = origin.filter(|_| exchange.copies > 0) {
            origin.primary_ended(&exchange, observer);
        }
    }
}

impl Sink for Exchanges<'_> {
    fn request_head(&mut self, id: ExchangeId, head: &RequestHead<'_>) {
        let head = &RequestHead { encrypted: self.encrypted, ..*head };
        let snapshot = self.node.snapshot.load();
        let mut exchange = Open::new(id, head);
        if self.source.is_none() {
            self.source = snapshot.workload(self.client.ip()).cloned();
        }
        let judged = snapshot.inbound(self.destination).map(|rules| rules.judge(head, self.client.ip()));
        let (owner, decision) = judged.unwrap_or((None, Decision::NoRule));
        let at_home = || snapshot.workload(self.destination.ip()).cloned();
        exchange.served = owner.map(|owner| Arc::clone(owner.served(at_home)));
        let rule = if let Decision::Rule(rule) = decision { Some(rule) } else { None };
        let mirrors = rule.map_or(&[][..], |rule| &rule.mirrors);
        if self.node.observer.looks() {
            exchange.origin = Some(Origin::new(shadow::text(head, mirrors)));
        }
        if let Some(rule) = rule {
            exchange.rule = Some(Arc::clone(&rule.account));
            exchange.mirrors = u16::try_from(mirrors.len()).unwrap_or(u16::MAX);
            let draws = Draws { request: fastrand::u64(..), connection: self.draw };
            let sender = Sender {
                address: self.client,
                workload: self.source.as_ref(),
                trace: exchange.trace,
                origin: exchange.origin.as_ref(),
            };
            let offer = |mirror| self.node.plane.offer(mirror, head, draws, sender);
            exchange.feeds.extend(mirrors.iter().filter_map(offer));
        }
        if self.open.capacity() == 0 {
            // On HTTP/1 there is one, and the room for it is kept as long as the connection.
            self.open.reserve_exact(1);
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
            exchange.answered(head.status);
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
        let (dropped, ending) = match cut {
            Cut::ByClient => (DropReason::Cancelled, Ending::Client),
            Cut::ByApp => (DropReason::Cancelled, Ending::App),
            Cut::Doubt(reason) => {
                self.skipped(reason);
                (DropReason::Unread, Ending::Unread)
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
            self.end(exchange, ending);
        }
    }

    fn skipped(&mut self, reason: Skipped) {
        self.node.observer.unread_request(reason.as_str());
    }

    fn unread(&mut self, reason: Unread) {
        let sealed = self.sealed.filter(|_| reason == Unread::Tls);
        self.node.observer.unread(sealed.map_or(reason.as_str(), Sealed::as_str));
        // A message cut short is no doubt of the reader's: client or app have broken it off.
        let (dropped, ending) = match reason {
            Unread::Truncated => (DropReason::Cancelled, self.truncated_by),
            // The answer was the last of HTTP.
            Unread::Upgraded => (DropReason::Unread, Ending::Complete),
            _ => (DropReason::Unread, Ending::Unread),
        };
        for mut exchange in std::mem::take(&mut self.open) {
            exchange.calls.drain(..).for_each(Call::over);
            exchange.feeds.drain(..).for_each(|feed| feed.abandon(dropped));
            self.end(exchange, ending);
        }
    }
}
