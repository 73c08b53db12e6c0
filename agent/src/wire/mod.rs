//! Passive readers: they watch the bytes of a connection after they were written on, and tell a [`Sink`] what HTTP
//! they carry. They never write, never wait and never guess: what a strict server could read in two ways ends the
//! reading of that connection, with a reason, while the relay goes on.

mod http1;
mod http2;
mod reader;
mod sniff;
mod tls;
mod unread;
mod values;

#[cfg(test)]
mod tests;

use http::HeaderMap;

pub use self::{
    reader::Reader,
    sniff::{Protocol, SNIFF_MAX, sniff},
    unread::{Skipped, Unread},
};
use crate::message::{RequestHead, ResponseHead, Slice};

/// One request and its response on a connection: counts from 0 on HTTP/1, the stream's number on HTTP/2. After an upgrade
/// from the one to the other stream 1 keeps the number it had, and the others are above it.
pub type ExchangeId = u64;

/// Why an exchange ends before its messages do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The client reset the stream, or ended the connection within the request.
    ByClient,
    /// The app reset the stream, refused it, or ended the connection.
    ByApp,
    /// What one of its messages says cannot be told for sure.
    Doubt(Skipped),
}

/// Where a connection stands, for whoever would end it without losing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// HTTP/1, or nothing was said yet: no message has begun and no response is owed.
    Between,
    /// HTTP/1: one request is whole, and the next bytes of the app begin the answer to it, which no other one follows.
    AnswerDue,
    /// HTTP/2: the app stands between two frames, so that one may be put there.
    Frames {
        /// No stream is open, and the client stands between two frames too.
        idle: bool,
        /// The client's newest stream, 0 before there was any.
        last: u32,
    },
    /// Within a message or a frame, or several answers are due.
    Within,
    /// The connection is not read (any more).
    Unknown,
}

/// Is told what was read, in the order of the bytes of each direction.
pub trait Sink {
    /// A request's head is whole.
    fn request_head(&mut self, id: ExchangeId, head: &RequestHead<'_>);
    /// A piece of its body, framing removed. Never empty.
    fn request_data(&mut self, id: ExchangeId, data: Slice<'_>);
    /// The request is whole. `wire_bytes` counts head, framing, body and trailers. It may come after the end of the
    /// response, when the server answered early.
    fn request_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64);
    /// The final response's head is whole. 101 counts as final, unless it is to HTTP/2 (`Upgrade: h2c`): then the request
    /// is answered there.
    fn response_head(&mut self, id: ExchangeId, head: &ResponseHead<'_>);
    /// The response is whole. `wire_bytes` counts its interim (1xx) responses too.
    fn response_end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, wire_bytes: u64);
    /// The exchange ends early, and alone: nothing more is told of it. Either message may be whole already.
    fn exchange_cut(&mut self, id: ExchangeId, cut: Cut);
    /// A request was passed over; nothing is told of it.
    fn skipped(&mut self, reason: Skipped);
    /// Reading ends here; exchanges still open will see nothing more. Told at most once.
    fn unread(&mut self, reason: Unread);
}
