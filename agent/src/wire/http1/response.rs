//! The server's stream: interim responses are passed over, final ones are told, each for the oldest request that
//! waits. Bodies are skipped by arithmetic wherever their framing allows.

use std::mem;

use bytes::Bytes;
use http::HeaderMap;

use super::{
    ExchangeId, HEAD_MAX, Sink, Unread,
    block::Block,
    body::Body,
    exchanges::{Asked, Exchanges, Method},
    fields::Fields,
    h2c, head, trailers,
};
use crate::wire::http2::Upgraded;

#[derive(Debug, Default)]
pub(super) struct Responses {
    part: Part,
    /// Of the response under way, with its interim responses.
    wire_bytes: u64,
    /// The last response said that no other follows it.
    closed: bool,
}

#[derive(Debug)]
enum Part {
    Head(Block),
    Body(ExchangeId, Body),
}

impl Default for Part {
    fn default() -> Self {
        Self::Head(Block::default())
    }
}

impl Responses {
    pub(super) fn between_messages(&self) -> bool {
        matches!(&self.part, Part::Head(block) if block.is_empty())
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        match &self.part {
            Part::Head(block) | Part::Body(_, Body::Trailers(block)) => block.heap(),
            Part::Body(..) => 0,
        }
    }

    pub(super) fn read(
        &mut self,
        chunk: &Bytes,
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<Option<(usize, Upgraded)>, Unread> {
        let mut at = 0;
        while at < chunk.len() {
            let bytes = &chunk[at..];
            at += match &mut self.part {
                Part::Head(_) => match self.head(bytes, exchanges, sink)? {
                    (used, Some(upgraded)) => return Ok(Some((at + used, upgraded))),
                    (used, None) => used,
                },
                Part::Body(..) => self.body(bytes, exchanges, sink)?,
            };
        }
        Ok(None)
    }

    /// The server's stream ended, and with it a body that no length ends.
    pub(super) fn eof(&mut self, exchanges: &mut Exchanges, sink: &mut dyn Sink) -> Result<(), Unread> {
        match &self.part {
            Part::Body(id, Body::UntilClose) => self.end(*id, None, exchanges, sink),
            Part::Head(block) if block.is_empty() => {}
            Part::Head(_) | Part::Body(..) => return Err(Unread::Truncated),
        }
        Ok(())
    }

    /// How many bytes were used, and the exchange that goes on in HTTP/2 after them, if one does.
    fn head(
        &mut self,
        bytes: &[u8],
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<(usize, Option<Upgraded>), Unread> {
        let Part::Head(block) = &mut self.part else { return Ok((0, None)) };
        if self.closed {
            return Err(Unread::AfterClose);
        }
        let (id, asked) = exchanges.oldest()?;
        if !b"HTTP/".iter().skip(block.len()).zip(bytes).all(|(expected, byte)| expected == byte) {
            return Err(Unread::NotHttp);
        }
        let Some((block, used)) = block.take(bytes, HEAD_MAX, Unread::HeadTooLong)? else {
            self.wire_bytes += bytes.len() as u64;
            return Ok((bytes.len(), None));
        };
        self.wire_bytes += used as u64;

        let mut room = head::room();
        let (head, fields) = head::response(&block, &mut room)?;
        match meaning(head.status, asked, &fields)? {
            Meaning::Interim => {
                if head.status == 100 {
                    exchanges.continued();
                }
                self.part = Part::default();
            }
            Meaning::Switch => {
                if let Some(settings) = exchanges.offer().filter(|_| h2c::accepted(head.headers)) {
                    let is_head = asked.method == Method::Head;
                    let upgraded = Upgraded { id, is_head, settings, wire_bytes: self.wire_bytes };
                    return Ok((used, Some(upgraded)));
                }
                sink.response_head(id, &head);
                sink.response_end(id, None, self.wire_bytes);
                return Err(Unread::Upgraded);
            }
            Meaning::Final(body) => {
                exchanges.answered();
                self.closed = fields.close;
                sink.response_head(id, &head);
                match body {
                    Some(body) => self.part = Part::Body(id, body),
                    None => self.end(id, None, exchanges, sink),
                }
            }
        }
        Ok((used, None))
    }

    fn body(
        &mut self,
        bytes: &[u8],
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) -> Result<usize, Unread> {
        let Part::Body(id, body) = &mut self.part else { return Ok(0) };
        let id = *id;
        let piece = body.read(bytes)?;
        self.wire_bytes += piece.used as u64;
        if let Some(section) = piece.end {
            self.end(id, trailers::read(&section)?, exchanges, sink);
        }
        Ok(piece.used)
    }

    /// How many of the next bytes are data.
    pub(super) fn ahead(&self) -> u64 {
        if let Part::Body(_, body) = &self.part { body.ahead() } else { 0 }
    }

    /// So many of them went by unseen.
    pub(super) fn pass(&mut self, count: u64, exchanges: &mut Exchanges, sink: &mut dyn Sink) {
        let Part::Body(id, body) = &mut self.part else { return };
        let id = *id;
        self.wire_bytes += count;
        if body.pass(count) {
            self.end(id, None, exchanges, sink);
        }
    }

    fn end(
        &mut self,
        id: ExchangeId,
        trailers: Option<HeaderMap>,
        exchanges: &mut Exchanges,
        sink: &mut dyn Sink,
    ) {
        self.part = Part::default();
        exchanges.close();
        sink.response_end(id, trailers, mem::take(&mut self.wire_bytes));
    }
}

/// What a response is to its request.
enum Meaning {
    Interim,
    /// The connection speaks another protocol from here on.
    Switch,
    Final(Option<Body>),
}

/// RFC 9112 §6.3, in its order.
fn meaning(status: u16, asked: Asked, fields: &Fields) -> Result<Meaning, Unread> {
    match status {
        101 if asked.upgrade => Ok(Meaning::Switch),
        101 => Err(Unread::UnrequestedUpgrade),
        200..=299 if asked.method == Method::Connect => Ok(Meaning::Switch),
        100..=199 | 204 if fields.announce_body() => Err(Unread::BodyForbidden),
        100..=199 => Ok(Meaning::Interim),
        204 | 304 => Ok(Meaning::Final(None)),
        _ if asked.method == Method::Head => Ok(Meaning::Final(None)),
        _ if fields.chunked => Ok(Meaning::Final(Some(Body::chunked()))),
        _ => Ok(Meaning::Final(match fields.length {
            None => Some(Body::UntilClose),
            Some(0) => None,
            Some(length) => Some(Body::Sized(length)),
        })),
    }
}
