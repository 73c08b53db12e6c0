//! What a connection's reader tells of requests, and what is made of it: which rule, a copy for each of its mirrors, a
//! record at the end.

use std::{mem, net::SocketAddr, sync::Arc};

use http::{HeaderMap, HeaderValue};

use super::{Node, open::Open};
use crate::{
    message::{RequestHead, ResponseHead, Slice},
    record::{DropReason, Ending, Origin, Workload},
    relay::tls::Sealed,
    route::Decision,
    shadow::{self, Call, Draws, Sender},
    wire::{Cut, ExchangeId, Sink, Skipped, Unread},
};

/// The requests of a connection that are not over yet: one on HTTP/1, unless the client pipelines; as many as there are
/// streams on HTTP/2.
pub(super) struct Exchanges<'n> {
    pub(super) client: SocketAddr,
    pub(super) destination: SocketAddr,
    /// Of the connection.
    draw: u64,
    pub(super) node: &'n Node,
    /// The client's workload, once known.
    pub(super) source: Option<Arc<Workload>>,
    /// The client's TLS ends here.
    pub(super) encrypted: bool,
    /// Why it does not, where it was meant to.
    pub(super) sealed: Option<Sealed>,
    /// Who has just said that it says no more.
    pub(super) truncated_by: Ending,
    /// Of the connection, with whatever is open.
    pub(super) ended_by: Ending,
    /// In the order of their heads, which is that of their numbers; bounded by the reader's limit on outstanding requests.
    open: Vec<Open>,
}

impl<'n> Exchanges<'n> {
    pub(super) fn new(client: SocketAddr, destination: SocketAddr, node: &'n Node) -> Self {
        Self {
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
        }
    }

    /// Of the connection: what is still open ends with it.
    pub(super) fn end_all(&mut self) {
        for exchange in mem::take(&mut self.open) {
            self.end(exchange, self.ended_by);
        }
    }

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
        for mut exchange in mem::take(&mut self.open) {
            exchange.calls.drain(..).for_each(Call::over);
            exchange.feeds.drain(..).for_each(|feed| feed.abandon(dropped));
            self.end(exchange, ending);
        }
    }
}
