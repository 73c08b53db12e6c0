//! The passive HTTP/2 reader (RFC 9113) of a connection that began with the client's preface, or changed to HTTP/2 by
//! `Upgrade: h2c` (RFC 7540 §3.2): frames of both directions, header compression, and the streams in which requests and responses meet.
//!
//! Where two readers could differ on the frames or on header compression, everything after is in doubt: reading ends,
//! with the reason. What is wrong with one message only is a matter of its stream: its request is not mirrored, and the
//! others are read on.
//!
//! A connection holds, at the very most, 1 MiB: two tables of header compression (200 KiB each), two header blocks under
//! way (256 KiB each) and 1024 open streams (80 KiB). Where both sides keep to the defaults and no head is cut by the end
//! of a read, it is 13 KiB a table and 80 bytes a stream. What makes no progress (PING, PRIORITY, empty DATA, streams
//! reset at once) costs its bytes and no memory.

mod binary;
mod block;
mod field;
mod frame;
mod frames;
mod hpack;
mod request;
mod response;
mod settings;
mod stream;
mod streams;
mod trailers;

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use bytes::Bytes;

pub(super) use self::settings::Change;
use self::{
    block::Block,
    frame::{Frame, Kind},
    frames::{Frames, Part},
    hpack::{Decoder, Fields, HEAD_MAX},
    settings::Limits,
    streams::Streams,
};
use super::{ExchangeId, Place, Sink, Unread, sniff::PREFACE};
use crate::message::Slice;

/// The most streams open at once. Servers allow 100 to 256, as a rule.
const STREAMS_MAX: usize = 1024;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Server,
}

/// The request by which a connection was changed to HTTP/2: it is whole, and answered as stream 1.
#[derive(Debug)]
pub(super) struct Upgraded {
    pub(super) id: ExchangeId,
    pub(super) is_head: bool,
    /// The client's, which the 101 acknowledges (RFC 7540 §3.2.1).
    pub(super) settings: Change,
    /// Of the answer so far: the 101.
    pub(super) wire_bytes: u64,
}

/// Reads one HTTP/2 connection from the end of the client's preface on, or from the end of a 101. After an error it must
/// not be given anything more.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    /// What is to come of the client's preface.
    preface: &'static [u8],
    client: Direction,
    server: Direction,
    streams: Streams,
}

/// What one side sends.
#[derive(Debug, Default)]
struct Direction {
    frames: Frames,
    limits: Limits,
    hpack: Decoder,
    block: Option<Block>,
}

impl Http2 {
    pub(super) fn upgraded(request: &Upgraded) -> Self {
        let mut http2 = Self { preface: PREFACE, streams: Streams::upgraded(request), ..Self::default() };
        if let Some(table) = http2.server.limits.put(request.settings) {
            http2.server.hpack.limit(table);
        }
        http2
    }

    pub(super) fn request(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        if self.preface.is_empty() {
            return self.read(Side::Client, chunk, sink);
        }
        let (expected, rest) = self.preface.split_at(self.preface.len().min(chunk.len()));
        if !chunk.starts_with(expected) {
            return Err(Unread::NotHttp2);
        }
        self.preface = rest;
        self.read(Side::Client, &chunk.slice(expected.len()..), sink)
    }

    pub(super) fn response(&mut self, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        self.read(Side::Server, chunk, sink)
    }

    /// The client's stream ended: the requests that are not whole will never be.
    pub(super) fn request_eof(&mut self, sink: &mut dyn Sink) {
        self.streams.client_ended(sink);
    }

    /// The server's stream ended: no exchange goes on.
    pub(super) fn response_eof(&mut self, sink: &mut dyn Sink) {
        self.streams.server_ended(sink);
    }

    /// Whether both directions stand between frames and no stream is open.
    pub(super) fn idle(&self) -> bool {
        let between = |direction: &Direction| direction.frames.between_frames();
        self.preface.is_empty() && between(&self.client) && between(&self.server) && self.streams.none_open()
    }

    pub(super) fn place(&self) -> Place {
        // The app's SETTINGS come before anything else (RFC 9113 §3.4).
        match self.server.frames.begun() && self.server.frames.between_frames() {
            true => Place::Frames { idle: self.idle(), last: self.streams.last_of_client() },
            false => Place::Within,
        }
    }

    fn direction(&mut self, side: Side) -> &mut Direction {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn read(&mut self, side: Side, chunk: &Bytes, sink: &mut dyn Sink) -> Result<(), Unread> {
        let mut at = 0;
        while at < chunk.len() {
            let own = self.direction(side);
            let frame_max = own.limits.frame_max();
            let (used, part) = own.frames.read(&chunk[at..], frame_max)?;
            match part {
                None => {}
                Some(Part::Data { frame, data, last }) => {
                    self.streams.data(side, &frame, Slice::new(chunk, at, at + data), last, sink)?;
                }
                Some(Part::Whole(frame, payload)) => self.frame(side, &frame, &payload, sink)?,
            }
            at += used;
        }
        Ok(())
    }

    /// A frame other than DATA.
    fn frame(
        &mut self,
        side: Side,
        frame: &Frame,
        payload: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        match frame.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation => {
                self.headers(side, frame, payload, sink)
            }
            Kind::Settings if frame.is_ack() => {
                let own = self.direction(side);
                if let Some(table) = own.limits.agreed()? {
                    own.hpack.limit(table);
                }
                Ok(())
            }
            Kind::Settings => {
                let change = Change::parse(payload)?;
                let other = if side == Side::Client { Side::Server } else { Side::Client };
                self.direction(other).limits.asked(change)
            }
            Kind::RstStream => self.streams.reset(side, frame.stream, sink),
            Kind::Goaway if side == Side::Server => {
                if let Some(last) = payload.first_chunk() {
                    self.streams.refuse_above(u32::from_be_bytes(*last) & 0x7fff_ffff, sink);
                }
                Ok(())
            }
            // The client's GOAWAY is about streams the server began.
            Kind::Goaway | Kind::Data | Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other => {
                Ok(())
            }
        }
    }

    fn headers(
        &mut self,
        side: Side,
        frame: &Frame,
        payload: &[u8],
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        if frame.kind == Kind::PushPromise && side == Side::Client {
            return Err(Unread::FrameStream);
        }
        let own = self.direction(side);
        let (mut block, fragment) = match own.block.take() {
            Some(block) => (block, payload),
            None => Block::begin(frame, payload)?,
        };
        block.wire_bytes += frame.wire_bytes();
        if !frame.ends_headers() {
            block.keep(fragment)?;
            own.block = Some(block);
            return Ok(());
        }
        let text: Cow<'_, [u8]> = block.whole(fragment)?;
        let mut fields = Fields::for_block(text.len());
        own.hpack.decode(&text, own.limits.table_max(), &mut fields)?;
        if own.limits.binary() {
            fields = binary::spelt_out(fields);
        }
        match (side, block.promised) {
            (Side::Client, _) => self.streams.request_headers(&block, &fields, sink),
            (Side::Server, Some(promised)) => self.streams.promise(block.stream, promised),
            (Side::Server, None) => self.streams.response_headers(&block, &fields, sink),
        }
    }
}
