//! One stream: the two messages of an exchange, and how far each has come.

use super::{Side, Sink};
use crate::{
    message::Slice,
    wire::{Cut, ExchangeId, Skipped},
};

/// An open stream.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: u32,
    /// What the sink knows it by.
    pub(super) exchange: ExchangeId,
    /// The sink knows of it.
    pub(super) told: bool,
    /// Its answer has no body, whatever its length says.
    pub(super) is_head: bool,
    pub(super) request: Half,
    pub(super) response: Half,
}

/// One message.
#[derive(Debug)]
pub(super) struct Half {
    pub(super) stage: Stage,
    /// How much of the body is still to come, if its head said so.
    pub(super) left: Option<u64>,
    pub(super) wire_bytes: u64,
}

/// What a message is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Its head has not come.
    Expected,
    Body,
    Ended,
}

impl Stream {
    pub(super) fn new(id: u32, exchange: ExchangeId) -> Self {
        let half = || Half { stage: Stage::Expected, left: None, wire_bytes: 0 };
        Self { id, exchange, told: false, is_head: false, request: half(), response: half() }
    }

    pub(super) fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.request,
            Side::Server => &mut self.response,
        }
    }

    /// Some of a body, possibly empty. What exceeds the length its head said is not told.
    pub(super) fn body(&mut self, side: Side, data: Slice<'_>, sink: &mut dyn Sink) {
        let half = self.half(side);
        match half.stage {
            Stage::Expected => return self.doubt(Skipped::Sequence, sink),
            Stage::Ended => return self.doubt(Skipped::AfterEnd, sink),
            Stage::Body => {}
        }
        let announced = half.left.and_then(|left| usize::try_from(left).ok()).unwrap_or(usize::MAX);
        let within = data.first(announced);
        if let Some(left) = &mut half.left {
            *left -= within.len() as u64;
        }
        if self.told && side == Side::Client && !within.is_empty() {
            sink.request_data(self.exchange, within);
        }
        if within.len() < data.len() {
            self.doubt(Skipped::ContentLength, sink);
        }
    }

    /// One of its messages is not what HTTP allows: nothing more is told of it.
    pub(super) fn doubt(&mut self, reason: Skipped, sink: &mut dyn Sink) {
        self.cut(Cut::Doubt(reason), sink);
    }

    pub(super) fn cut(&mut self, cut: Cut, sink: &mut dyn Sink) {
        if self.told {
            self.told = false;
            sink.exchange_cut(self.exchange, cut);
        }
    }
}

/// Begun by the server.
pub(super) fn is_pushed(id: u32) -> bool {
    id.is_multiple_of(2)
}
