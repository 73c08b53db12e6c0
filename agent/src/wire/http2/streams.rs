//! The streams of a connection (RFC 9113 §5.1): which are open, which numbers were used, and what of their frames the
//! sink is told.

use http::HeaderMap;

use super::{
    STREAMS_MAX, Side, Sink, Unread, Upgraded,
    block::Block,
    frame::Frame,
    hpack::Fields,
    request, response,
    stream::{Stage, Stream, is_pushed},
    trailers,
};
use crate::{
    message::Slice,
    wire::{Cut, ExchangeId, Skipped},
};

/// The open streams, and which numbers were used.
#[derive(Debug)]
pub(super) struct Streams {
    /// By number. Streams nothing is told of are among them: they end like any other.
    open: Vec<Stream>,
    /// What the sink knows stream 1 by; the others count on from there.
    first: ExchangeId,
    last_of_client: u32,
    last_promised: u32,
    /// The server will not look at the client's streams above this one (RFC 9113 §6.8).
    refused_above: u32,
    client_ended: bool,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            open: Vec::new(),
            first: 1,
            last_of_client: 0,
            last_promised: 0,
            refused_above: u32::MAX,
            client_ended: false,
        }
    }
}

impl Streams {
    /// Stream 1 is open, its request whole.
    pub(super) fn upgraded(request: &Upgraded) -> Self {
        let mut stream = Stream::new(1, request.id);
        stream.told = true;
        stream.is_head = request.is_head;
        stream.request.stage = Stage::Ended;
        stream.response.wire_bytes = request.wire_bytes;
        Self { open: vec![stream], first: request.id, last_of_client: 1, ..Self::default() }
    }

    pub(super) fn none_open(&self) -> bool {
        self.open.is_empty()
    }

    pub(super) fn last_of_client(&self) -> u32 {
        self.last_of_client
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.open.capacity() * size_of::<Stream>()
    }

    /// A header block of the client: a request's head, or its trailers.
    pub(super) fn request_headers(
        &mut self,
        block: &Block,
        fields: &Fields,
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        if is_pushed(block.stream) {
            return Err(Unread::FrameStream);
        }
        if block.stream > self.last_of_client {
            return self.open(block, fields, sink);
        }
        let Some(at) = self.find(block.stream) else {
            // Late trailers of a stream that was reset, or another request, which some server might read.
            let is_request = fields.iter().any(|(name, _)| name.first() == Some(&b':'));
            return if is_request { Err(Unread::StreamReused) } else { Ok(()) };
        };
        self.trailers(at, Side::Client, block, fields, sink);
        Ok(())
    }

    fn open(&mut self, block: &Block, fields: &Fields, sink: &mut dyn Sink) -> Result<(), Unread> {
        self.last_of_client = block.stream;
        if block.stream > self.refused_above {
            sink.skipped(Skipped::AfterGoaway);
            return Ok(());
        }
        self.check_room()?;
        let exchange = self.first + u64::from(block.stream - 1);
        let mut stream = Stream::new(block.stream, exchange);
        stream.request.stage = Stage::Body;
        stream.request.wire_bytes = block.wire_bytes;
        let told = request::read(fields, block.ends_stream, |head, length| {
            sink.request_head(exchange, head);
            stream.is_head = head.method == "HEAD";
            stream.request.left = length;
        });
        match told {
            Ok(()) => stream.told = true,
            Err(reason) => sink.skipped(reason),
        }
        let at = self.add(stream);
        if block.ends_stream {
            self.end(at, Side::Client, None, sink);
        }
        Ok(())
    }

    /// A header block of the server: an interim response, a response's head, or its trailers.
    pub(super) fn response_headers(
        &mut self,
        block: &Block,
        fields: &Fields,
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        self.check_used(block.stream)?;
        let Some(at) = self.find(block.stream) else { return Ok(()) };
        let stream = &mut self.open[at];
        if !stream.told || stream.response.stage != Stage::Expected {
            self.trailers(at, Side::Server, block, fields, sink);
            return Ok(());
        }
        stream.response.wire_bytes += block.wire_bytes;
        let (exchange, is_head) = (stream.exchange, stream.is_head);
        let told = response::read(fields, |head, length| {
            let final_one = head.status >= 200;
            if final_one {
                stream.response.stage = Stage::Body;
                stream.response.left = length.filter(|_| !is_head && !matches!(head.status, 204 | 304));
                sink.response_head(exchange, head);
            }
            // RFC 9113 §8.1: an interim response does not end a stream, and 101 has no place here (§8.6).
            if final_one || (!block.ends_stream && head.status != 101) {
                Ok(())
            } else {
                Err(Skipped::Status)
            }
        });
        if let Err(reason) = told {
            stream.doubt(reason, sink);
        }
        if block.ends_stream {
            self.end(at, Side::Server, None, sink);
        }
        Ok(())
    }

    /// The server announces a stream of its own.
    pub(super) fn promise(&mut self, on: u32, promised: u32) -> Result<(), Unread> {
        self.check_used(on)?;
        if !is_pushed(promised) || promised <= self.last_promised {
            return Err(Unread::FrameStream);
        }
        self.check_room()?;
        self.last_promised = promised;
        // Nothing is told of it.
        let mut stream = Stream::new(promised, 0);
        stream.request.stage = Stage::Ended;
        self.add(stream);
        Ok(())
    }

    /// Some of a DATA frame, and whether it ends with this.
    pub(super) fn data(
        &mut self,
        side: Side,
        frame: &Frame,
        data: Slice<'_>,
        last: bool,
        sink: &mut dyn Sink,
    ) -> Result<(), Unread> {
        if side == Side::Client && is_pushed(frame.stream) {
            return Err(Unread::FrameStream);
        }
        self.check_used(frame.stream)?;
        let Some(at) = self.find(frame.stream) else { return Ok(()) };
        let stream = &mut self.open[at];
        stream.body(side, data, sink);
        if last {
            stream.half(side).wire_bytes += frame.wire_bytes();
            if frame.ends_stream() {
                self.end(at, side, None, sink);
            }
        }
        Ok(())
    }

    pub(super) fn reset(&mut self, side: Side, id: u32, sink: &mut dyn Sink) -> Result<(), Unread> {
        self.check_used(id)?;
        if let Some(at) = self.find(id) {
            let cut = if side == Side::Client { Cut::ByClient } else { Cut::ByApp };
            self.remove(at).cut(cut, sink);
        }
        Ok(())
    }

    /// GOAWAY: the client's streams above this one are not looked at, and may be tried again elsewhere.
    pub(super) fn refuse_above(&mut self, last: u32, sink: &mut dyn Sink) {
        self.refused_above = self.refused_above.min(last);
        self.cut_where(|stream| !is_pushed(stream.id) && stream.id > last, Cut::ByApp, sink);
    }

    pub(super) fn client_ended(&mut self, sink: &mut dyn Sink) {
        self.client_ended = true;
        self.cut_where(|stream| stream.request.stage != Stage::Ended, Cut::ByClient, sink);
    }

    /// A server that ends after its client does so because of it: what it leaves unanswered is the client's doing.
    pub(super) fn server_ended(&mut self, sink: &mut dyn Sink) {
        let cut = if self.client_ended { Cut::ByClient } else { Cut::ByApp };
        self.cut_where(|_| true, cut, sink);
    }

    /// A header block that is no head: the last word of its message.
    fn trailers(&mut self, at: usize, side: Side, block: &Block, fields: &Fields, sink: &mut dyn Sink) {
        let stream = &mut self.open[at];
        let told = stream.told;
        let half = stream.half(side);
        half.wire_bytes += block.wire_bytes;
        let read = match half.stage {
            _ if !told => Ok(None),
            Stage::Ended => Err(Skipped::AfterEnd),
            Stage::Expected | Stage::Body if !block.ends_stream => Err(Skipped::Sequence),
            Stage::Expected | Stage::Body => trailers::read(fields),
        };
        let trailers = read.unwrap_or_else(|reason| {
            stream.doubt(reason, sink);
            None
        });
        if block.ends_stream {
            self.end(at, side, trailers, sink);
        }
    }

    /// One half is whole; with the other, the stream is over.
    fn end(&mut self, at: usize, side: Side, trailers: Option<HeaderMap>, sink: &mut dyn Sink) {
        let stream = &mut self.open[at];
        let half = stream.half(side);
        half.stage = Stage::Ended;
        let (wire_bytes, complete) = (half.wire_bytes, half.left.unwrap_or(0) == 0);
        if !complete {
            stream.doubt(Skipped::ContentLength, sink);
        }
        if stream.told {
            match side {
                Side::Client => sink.request_end(stream.exchange, trailers, wire_bytes),
                Side::Server => sink.response_end(stream.exchange, trailers, wire_bytes),
            }
        }
        if stream.request.stage == Stage::Ended && stream.response.stage == Stage::Ended {
            self.remove(at);
        }
    }

    /// Frames on a stream that is not open yet are an error of the connection (RFC 9113 §5.1).
    fn check_used(&self, id: u32) -> Result<(), Unread> {
        let last = if is_pushed(id) { self.last_promised } else { self.last_of_client };
        if id <= last { Ok(()) } else { Err(Unread::FrameStream) }
    }

    fn find(&self, id: u32) -> Option<usize> {
        self.open.binary_search_by_key(&id, |stream| stream.id).ok()
    }

    fn check_room(&self) -> Result<(), Unread> {
        if self.open.len() == STREAMS_MAX { Err(Unread::TooManyStreams) } else { Ok(()) }
    }

    fn add(&mut self, stream: Stream) -> usize {
        let at = self.open.partition_point(|other| other.id < stream.id);
        self.open.insert(at, stream);
        at
    }

    fn remove(&mut self, at: usize) -> Stream {
        let stream = self.open.remove(at);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        stream
    }

    fn cut_where(&mut self, over: impl Fn(&Stream) -> bool, cut: Cut, sink: &mut dyn Sink) {
        self.open.retain_mut(|stream| {
            let over = over(stream);
            if over {
                stream.cut(cut, sink);
            }
            !over
        });
    }
}
