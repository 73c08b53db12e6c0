//! The head of a frame (RFC 9113 §4.1 and §6), and what of it is an error of the connection.

use super::{HEAD_MAX, Unread};

pub(super) const HEAD_LENGTH: usize = 9;
/// What a header frame has at most besides its fragment: padding and its length, priority or promised stream.
const HEADERS_EXTRA: usize = 1 + 5 + 255;
/// The longest SETTINGS frame: 2730 settings, of which RFC 9113 knows six.
const SETTINGS_MAX: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    Priority,
    RstStream,
    Settings,
    PushPromise,
    Ping,
    Goaway,
    WindowUpdate,
    Continuation,
    /// Of an extension; ignored (§5.5).
    Other,
}

/// The head of a frame.
#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    flags: u8,
    /// 0 is the connection.
    pub(super) stream: u32,
    /// Of its payload.
    length: u32,
}

impl Frame {
    pub(super) fn parse(head: &[u8; HEAD_LENGTH]) -> Self {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *head;
        let kind = match kind {
            0 => Kind::Data,
            1 => Kind::Headers,
            2 => Kind::Priority,
            3 => Kind::RstStream,
            4 => Kind::Settings,
            5 => Kind::PushPromise,
            6 => Kind::Ping,
            7 => Kind::Goaway,
            8 => Kind::WindowUpdate,
            9 => Kind::Continuation,
            _ => Kind::Other,
        };
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        // The highest bit is reserved and ignored.
        let stream = u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]);
        Self { kind, flags, stream, length }
    }

    pub(super) fn ends_stream(&self) -> bool {
        self.flags & 0x1 != 0
    }

    /// The same bit, on SETTINGS.
    pub(super) fn is_ack(&self) -> bool {
        self.flags & 0x1 != 0
    }

    pub(super) fn ends_headers(&self) -> bool {
        self.flags & 0x4 != 0
    }

    pub(super) fn is_padded(&self) -> bool {
        self.flags & 0x8 != 0
    }

    pub(super) fn has_priority(&self) -> bool {
        self.flags & 0x20 != 0
    }

    /// With its head.
    pub(super) fn wire_bytes(&self) -> u64 {
        HEAD_LENGTH as u64 + u64::from(self.length)
    }

    /// Of its payload.
    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    /// How much of the payload is collected before it is looked at.
    pub(super) fn wanted(&self) -> usize {
        match self.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Settings | Kind::RstStream => {
                self.len()
            }
            // The last stream; then come a code and a text.
            Kind::Goaway => 8,
            Kind::Data | Kind::Priority | Kind::Ping | Kind::WindowUpdate | Kind::Other => 0,
        }
    }

    /// The sizes that are errors of the connection (§6).
    pub(super) fn check_length(&self, frame_max: usize) -> Result<(), Unread> {
        let legal = match self.kind {
            Kind::RstStream | Kind::WindowUpdate => self.len() == 4,
            Kind::Ping => self.len() == 8,
            Kind::Goaway => self.len() >= 8,
            Kind::Settings if self.is_ack() => self.len() == 0,
            Kind::Settings => self.len().is_multiple_of(6) && self.len() <= SETTINGS_MAX,
            Kind::Data => !self.is_padded() || self.len() > 0,
            // A PRIORITY of another size is an error of its stream only.
            Kind::Headers | Kind::PushPromise | Kind::Continuation | Kind::Priority | Kind::Other => true,
        };
        if !legal || self.len() > frame_max {
            return Err(Unread::FrameSize);
        }
        match self.kind {
            Kind::Headers | Kind::PushPromise | Kind::Continuation
                if self.len() > HEAD_MAX + HEADERS_EXTRA =>
            {
                Err(Unread::HeadTooLong)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn check_stream(&self) -> Result<(), Unread> {
        let legal = match self.kind {
            Kind::Settings | Kind::Ping | Kind::Goaway => self.stream == 0,
            Kind::WindowUpdate | Kind::Other => true,
            Kind::Data | Kind::Headers | Kind::Priority => self.stream != 0,
            Kind::RstStream | Kind::PushPromise | Kind::Continuation => self.stream != 0,
        };
        if legal { Ok(()) } else { Err(Unread::FrameStream) }
    }
}
