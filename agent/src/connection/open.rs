//! One request under way: what is known of it so far, and the copies that follow it.

use std::{sync::Arc, time::Instant};

use super::exchanges::Exchanges;
use crate::{
    message::{RequestHead, Version},
    record::{Ending, Exchange, GrpcStatus, Origin, RuleAccount, Serving, Trace},
    shadow::{Call, Feed},
    wire::ExchangeId,
};

pub(super) struct Open {
    pub(super) id: ExchangeId,
    started: Instant,
    answered: Option<Instant>,
    pub(super) served: Option<Arc<Serving>>,
    pub(super) rule: Option<Arc<RuleAccount>>,
    /// How many the rule has for it.
    pub(super) mirrors: u16,
    /// A feed for each mirror whose copy was admitted; dropping one cancels its copy.
    pub(super) feeds: Vec<Feed>,
    /// Those of them that follow a call of gRPC to its end, from the end of the request on; dropping one cancels its copy.
    pub(super) calls: Vec<Call>,
    version: Version,
    is_grpc: bool,
    grpc_status: Option<GrpcStatus>,
    /// Set when the message is whole.
    pub(super) request_bytes: Option<u64>,
    pub(super) response_bytes: Option<u64>,
    status: u16,
    pub(super) trace: Option<Trace>,
    /// While somebody looks.
    pub(super) origin: Option<Arc<Origin>>,
}

impl Open {
    pub(super) fn new(id: ExchangeId, head: &RequestHead<'_>) -> Self {
        Self {
            id,
            started: Instant::now(),
            answered: None,
            served: None,
            rule: None,
            mirrors: 0,
            feeds: Vec::new(),
            calls: Vec::new(),
            version: head.version,
            is_grpc: head.is_grpc(),
            grpc_status: None,
            request_bytes: None,
            response_bytes: None,
            status: 0,
            trace: head.header("traceparent").and_then(Trace::parse),
            origin: None,
        }
    }

    /// The head of the final response is there.
    pub(super) fn answered(&mut self, status: u16) {
        self.status = status;
        self.answered = Some(Instant::now());
    }

    pub(super) fn said(&mut self, grpc_status: Option<&[u8]>) {
        if let Some(status) = grpc_status.filter(|_| self.is_grpc) {
            self.grpc_status = Some(GrpcStatus::parse(status));
        }
    }

    /// What is told of it, and its origin if somebody looks. Copies that still follow it are cancelled.
    pub(super) fn end(self, of: &Exchanges<'_>, ending: Ending) -> (Exchange, Option<Arc<Origin>>) {
        let exchange = Exchange {
            client: of.client,
            destination: of.destination,
            source: of.source.clone(),
            served: self.served,
            rule: self.rule,
            version: match self.version {
                Version::Http10 => http::Version::HTTP_10,
                Version::Http11 => http::Version::HTTP_11,
                Version::Http2 => http::Version::HTTP_2,
            },
            encrypted: of.encrypted,
            is_grpc: self.is_grpc,
            status: self.status,
            grpc_status: self.grpc_status,
            ending,
            request_bytes: self.request_bytes.unwrap_or(0),
            response_bytes: self.response_bytes.unwrap_or(0),
            started: self.started,
            answered: self.answered.map(|answered| answered - self.started),
            duration: self.started.elapsed(),
            trace: self.trace,
            text: self.origin.as_ref().map(|origin| Arc::clone(&origin.text)),
            mirrors: self.mirrors,
            copies: self.origin.as_ref().map_or(0, |origin| origin.copies()),
        };
        (exchange, self.origin)
    }
}
