//! The client's stream: requests, one after the other, with at most one empty line before each (RFC 9112 §2.2: old
//! clients put one after a body).

use std::mem;

use bytes::Bytes;
use http::HeaderMap;

use super::{
    ExchangeId, HEAD_MAX, Sink, Unread,
    block::Block,
    body::Body,
    exchanges::{Asked, Exchanges, Method},
    h2c, head, trailers,
};
use crate::{
    message::{BodyLength, Slice},
    wire::values::is_token,
};

#[derive(Debug, Default)]
pub(super) struct Requests {
    part: Part,
    /// Of the request under way, with the empty line before it.
    wire_bytes: u64,
    /// The last request said that no other follows it.
    closed: bool,
}

#[derive(Debug)]
enum Part {
    /// Before a request, possibly within or after an empty line: 0, 1 or 2 bytes of it.
    Between {
        blank: u8,
    },
    Head(Block),
    Body(ExchangeId, Body),
}

impl Default for Part {
    fn default() -> Self {
        Self::Between { blank: 0 }
    }
}

impl Requests {
    pub(super) fn between_messages(&self) -> bool {
        matches!(self.part, Part::Between { .. })
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        match &self.part {
            Part::Head(block) | Part::Body(_, Body::Trailers(block)) => block.heap(),
            Part::Between { .. } | Part::Body(..) => 0,
        }
    }

    pub(super) fn read(
        &mut self,
        chunk: &Bytes,
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        let mut at = 0;
        while at < chunk.len() {
            let used = match &mut self.part {
                Part::Between { .. } => self.between(chunk[at], exchanges)?,
                Part::Head(_) => self.head(&chunk[at..], exchanges, sink)?,
                Part::Body(..) => self.body(chunk, at, exchanges, sink)?,
            };
            at += used;
        }
        Ok(())
    }

    /// The client's stream ended.
    pub(super) fn eof(&self) -> Result<(), Unread> {
        if self.between_messages() { Ok(()) } else { Err(Unread::Truncated) }
    }

    /// Passes over an empty line, else begins a head with this byte still unread.
    fn between(&mut self, byte: u8, exchanges: &Exchanges) -> Result<usize, Unread> {
        exchanges.may_ask()?;
        let Part::Between { blank } = &mut self.part else { return Ok(0) };
        match (*blank, byte) {
            (0, b'\r') | (1, b'\n') => {
                *blank += 1;
                self.wire_bytes += 1;
                return Ok(1);
            }
            (1, _) => Err(Unread::BareCr),
            (0, b'\n') => Err(Unread::BareLf),
            (_, b'\r' | b'\n') => Err(Unread::EmptyLine),
            _ if self.closed => Err(Unread::AfterClose),
            _ if !is_token(byte) => Err(Unread::RequestLine),
            _ => Ok(()),
        }?;
        self.part = Part::Head(Block::default());
        Ok(0)
    }

    fn head(
        &mut self,
        bytes: &[u8],
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<usize, Unread> {
        let Part::Head(block) = &mut self.part else { return Ok(0) };
        let Some((block, used)) = block.take(bytes, HEAD_MAX, Unread::HeadTooLong)? else {
            self.wire_bytes += bytes.len() as u64;
            return Ok(bytes.len());
        };
        self.wire_bytes += used as u64;

        let mut room = head::room();
        let (head, fields) = head::request(&block, &mut room)?;
        let method = match head.method {
            "HEAD" => Method::Head,
            "CONNECT" if head.body != BodyLength::None => return Err(Unread::ConnectBody),
            "CONNECT" => Method::Connect,
            // Methods are case-sensitive; a server that thinks otherwise would frame its answer otherwise.
            other if ["HEAD", "CONNECT"].iter().any(|method| method.eq_ignore_ascii_case(other)) => {
                return Err(Unread::RequestLine);
            }
            _ => Method::Other,
        };
        let asks_permission = fields.expects_continue && head.body != BodyLength::None;
        let offer = if fields.upgrade { h2c::offered(head.headers) } else { None };
        let id = exchanges.open(Asked { method, upgrade: fields.upgrade }, offer, asks_permission)?;
        self.closed = fields.close;
        sink.request_head(id, &head);
        match head.body {
            BodyLength::None => self.end(id, None, sink),
            BodyLength::Known(length) => self.part = Part::Body(id, Body::Sized(length)),
            BodyLength::Streamed => self.part = Part::Body(id, Body::chunked()),
        }
        Ok(used)
    }

    fn body(
        &mut self,
        chunk: &Bytes,
        at: usize,
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<usize, Unread> {
        let Part::Body(id, body) = &mut self.part else { return Ok(0) };
        let id = *id;
        exchanges.body_arrives()?;
        let piece = body.read(&chunk[at..])?;
        self.wire_bytes += piece.used as u64;
        if piece.data {
            sink.request_data(id, Slice::new(chunk, at, at + piece.used));
        }
        if let Some(section) = piece.end {
            self.end(id, trailers::read(&section)?, sink);
        }
        Ok(piece.used)
    }

    fn end(&mut self, id: ExchangeId, trailers: Option<HeaderMap>, sink: &mut dyn Sink) {
        self.part = Part::default();
        sink.request_end(id, trailers, mem::take(&mut self.wire_bytes));
    }
}
