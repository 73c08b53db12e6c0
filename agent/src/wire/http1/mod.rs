//! The passive HTTP/1.x reader (RFC 9112): two streams of messages, requests and their responses, and what the one
//! must know of the other. An error is the reason for which the connection cannot be read any further.

mod block;
mod body;
mod chunked;
mod exchanges;
mod fields;
mod h2c;
mod head;
mod request;
mod response;
mod target;
mod trailers;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::{exchanges::Exchanges, request::Requests, response::Responses};
use super::{ExchangeId, Place, Sink, Unread, http2::Upgraded};

/// The longest head, request line or status line included.
const HEAD_MAX: usize = 64 * 1024;
/// The most fields of a head or trailer section.
const HEADERS_MAX: usize = 100;
/// The longest trailer section.
const TRAILERS_MAX: usize = 8 * 1024;
/// The longest size line of a chunk, extensions included.
const CHUNK_LINE_MAX: usize = 1024;
/// The most requests of one connection waiting for their responses.
const PIPELINE_MAX: usize = 1024;

/// Reads one HTTP/1.x connection. After an error it must not be given anything more.
#[derive(Debug, Default)]
pub(super) struct Http1 {
    requests: Requests,
    responses: Responses,
    exchanges: Exchanges,
}

impl Http1 {
    pub(super) fn request(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        self.requests.read(chunk, &mut self.exchanges, sink)
    }

    /// Returns where in the chunk HTTP/2 begins, if it does, and what goes on there: then no more must be given.
    pub(super) fn response(
        &mut self,
        chunk: &Bytes,
        sink: &mut dyn Sink,
    ) -> Result<Option<(usize, Upgraded)>, Unread> {
        let switched = self.responses.read(chunk, &mut self.exchanges, sink)?;
        // A client sends its request whole before it speaks HTTP/2 (RFC 7540 §3.2); servers that say 101 earlier are few.
        if switched.is_some() && !self.requests.between_messages() {
            return Err(Unread::Upgraded);
        }
        Ok(switched)
    }

    /// How many of the app's next bytes are data of a response.
    pub(super) fn response_ahead(&self) -> u64 {
        self.responses.ahead()
    }

    /// So many of them went by unseen.
    pub(super) fn response_passed(&mut self, count: u64, sink: &mut dyn Sink) {
        self.responses.pass(count, &mut self.exchanges, sink);
    }

    pub(super) fn request_eof(&mut self) -> Result<(), Unread> {
        self.requests.eof()
    }

    pub(super) fn response_eof(&mut self, sink: &mut dyn Sink) -> Result<(), Unread> {
        self.responses.eof(&mut self.exchanges, sink)
    }

    /// Whether both directions stand between messages and no response is owed.
    pub(super) fn idle(&self) -> bool {
        self.requests.between_messages() && self.responses.between_messages() && self.exchanges.none_waiting()
    }

    pub(super) fn place(&self) -> Place {
        let between = self.requests.between_messages() && self.responses.between_messages();
        match between {
            true if self.exchanges.none_waiting() => Place::Between,
            true if self.exchanges.one_waits_for_an_answer() => Place::AnswerDue,
            _ => Place::Within,
        }
    }
}
