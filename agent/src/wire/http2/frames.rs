//! One direction as a sequence of frames (RFC 9113 §4 and §6), in pieces of any size. The data of DATA frames is passed on
//! as it comes; of other frames what matters is collected, and the rest passed over by arithmetic.

use std::{borrow::Cow, mem};

use super::{
    Unread,
    frame::{Frame, HEAD_LENGTH, Kind},
};

/// Where a direction stands. Holds what has come of a header frame, up to 64 KiB.
#[derive(Debug, Default)]
pub(super) struct Frames {
    place: Place,
    /// The first frame has come.
    begun: bool,
    /// The stream whose header block must go on with the next frame.
    continued: Option<u32>,
}

#[derive(Debug)]
enum Place {
    Head {
        held: [u8; HEAD_LENGTH],
        len: usize,
    },
    Payload {
        frame: Frame,
        held: Vec<u8>,
    },
    PadLength(Frame),
    Data {
        frame: Frame,
        data: usize,
        padding: usize,
    },
    /// This much is of no interest; more than zero.
    Rest(usize),
}

impl Default for Place {
    fn default() -> Self {
        Self::Head { held: [0; HEAD_LENGTH], len: 0 }
    }
}

/// What a run of bytes means.
#[derive(Debug)]
pub(super) enum Part<'c> {
    /// Of a DATA frame: the run begins with this much data. `last`: the frame ends with the run.
    Data { frame: Frame, data: usize, last: bool },
    /// Of another frame, all that is wanted of its payload.
    Whole(Frame, Cow<'c, [u8]>),
}

impl Frames {
    pub(super) fn between_frames(&self) -> bool {
        matches!(self.place, Place::Head { len: 0, .. }) && self.continued.is_none()
    }

    /// Whether the head of the first frame has come.
    pub(super) fn begun(&self) -> bool {
        self.begun
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        if let Place::Payload { held, .. } = &self.place { held.capacity() } else { 0 }
    }

    /// Reads the first run of `bytes`, which are not empty: how long it is, and what it means if it means something.
    /// `frame_max` is the longest payload allowed.
    pub(super) fn read<'c>(
        &mut self,
        bytes: &'c [u8],
        frame_max: usize,
    ) -> Result<(usize, Option<Part<'c>>), Unread> {
        match &mut self.place {
            Place::Head { held, len } => {
                let used = bytes.len().min(HEAD_LENGTH - *len);
                held[*len..*len + used].copy_from_slice(&bytes[..used]);
                *len += used;
                if *len < HEAD_LENGTH {
                    return Ok((used, None));
                }
                let frame = Frame::parse(held);
                self.check(&frame, frame_max)?;
                Ok((used, self.enter(frame)))
            }
            Place::Payload { frame, held } => {
                let (frame, missing) = (*frame, frame.wanted() - held.len());
                let used = bytes.len().min(missing);
                if used < missing {
                    held.extend_from_slice(&bytes[..used]);
                    return Ok((used, None));
                }
                let payload = if held.is_empty() {
                    Cow::Borrowed(&bytes[..used])
                } else {
                    held.extend_from_slice(&bytes[..used]);
                    Cow::Owned(mem::take(held))
                };
                self.pass_over(frame.len() - frame.wanted());
                Ok((used, Some(Part::Whole(frame, payload))))
            }
            Place::PadLength(frame) => {
                let (frame, padding) = (*frame, usize::from(bytes[0]));
                let data = (frame.len() - 1).checked_sub(padding).ok_or(Unread::Padding)?;
                Ok((1, self.data(frame, 0, data, padding)))
            }
            Place::Data { frame, data, padding } => {
                let (frame, run) = (*frame, bytes.len().min(*data));
                let padding_run = (bytes.len() - run).min(*padding);
                let (data, padding) = (*data - run, *padding - padding_run);
                Ok((run + padding_run, self.data(frame, run, data, padding)))
            }
            Place::Rest(left) => {
                let (used, left) = (bytes.len().min(*left), *left);
                self.pass_over(left - used);
                Ok((used, None))
            }
        }
    }

    fn check(&mut self, frame: &Frame, frame_max: usize) -> Result<(), Unread> {
        let opens = frame.kind == Kind::Settings && !frame.is_ack() && frame.stream == 0;
        if !mem::replace(&mut self.begun, true) && !opens {
            return Err(Unread::NotHttp2);
        }
        frame.check_stream()?;
        frame.check_length(frame_max)?;
        let continues = (frame.kind == Kind::Continuation).then_some(frame.stream);
        if continues != self.continued {
            return Err(Unread::Continuation);
        }
        if matches!(frame.kind, Kind::Headers | Kind::PushPromise | Kind::Continuation) {
            self.continued = (!frame.ends_headers()).then_some(frame.stream);
        }
        Ok(())
    }

    /// A frame's head is whole.
    fn enter(&mut self, frame: Frame) -> Option<Part<'static>> {
        match frame.kind {
            Kind::Data if frame.is_padded() => {
                self.place = Place::PadLength(frame);
                None
            }
            Kind::Data => {
                let last = self.data(frame, 0, frame.len(), 0);
                last.filter(|_| frame.len() == 0)
            }
            _ if frame.wanted() > 0 => {
                self.place = Place::Payload { frame, held: Vec::new() };
                None
            }
            _ => {
                self.pass_over(frame.len());
                let collected = matches!(
                    frame.kind,
                    Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Settings
                );
                collected.then_some(Part::Whole(frame, Cow::Borrowed(&[])))
            }
        }
    }

    fn data(&mut self, frame: Frame, run: usize, data: usize, padding: usize) -> Option<Part<'static>> {
        let last = data + padding == 0;
        self.place = if last { Place::default() } else { Place::Data { frame, data, padding } };
        Some(Part::Data { frame, data: run, last })
    }

    fn pass_over(&mut self, left: usize) {
        self.place = if left > 0 { Place::Rest(left) } else { Place::default() };
    }
}
