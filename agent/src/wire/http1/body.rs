//! Where a body ends (RFC 9112 §6): by length, by its chunks and trailers, or with the connection.

use std::borrow::Cow;

use super::{
    TRAILERS_MAX, Unread,
    block::Block,
    chunked::{Chunked, Run},
};

/// A body under way.
#[derive(Debug)]
pub(super) enum Body {
    /// This much is still to come; more than zero.
    Sized(u64),
    Chunked(Chunked),
    /// The last chunk was read.
    Trailers(Block),
    /// Responses only.
    UntilClose,
}

/// The next run of a body's bytes.
#[derive(Debug)]
pub(super) struct Piece<'a> {
    /// How many bytes it is.
    pub(super) used: usize,
    /// Whether they are data, and not framing.
    pub(super) data: bool,
    /// When the body ends with them: its trailer section, as it stands on the wire.
    pub(super) end: Option<Cow<'a, [u8]>>,
}

impl Body {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunked::default())
    }

    /// How many of the next bytes are data, whatever they are.
    pub(super) fn ahead(&self) -> u64 {
        match self {
            Self::Sized(left) => *left,
            Self::Chunked(chunked) => chunked.ahead(),
            Self::Trailers(_) => 0,
            Self::UntilClose => u64::MAX,
        }
    }

    /// So many of them went by unseen. Whether the body ends with them.
    pub(super) fn pass(&mut self, count: u64) -> bool {
        match self {
            Self::Sized(left) => {
                *left -= count;
                return *left == 0;
            }
            Self::Chunked(chunked) => chunked.pass(count),
            Self::Trailers(_) | Self::UntilClose => {}
        }
        false
    }

    /// Reads the first run of `bytes`, which are not empty.
    pub(super) fn read<'a>(&mut self, bytes: &'a [u8]) -> Result<Piece<'a>, Unread> {
        match self {
            Self::Sized(left) => {
                let used = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                *left -= used as u64;
                let end = (*left == 0).then_some(Cow::Borrowed(&[][..]));
                Ok(Piece { used, data: true, end })
            }
            Self::Chunked(chunked) => match chunked.read(bytes)? {
                Run::Data(used) => Ok(Piece { used, data: true, end: None }),
                Run::Framing(used) => Ok(Piece { used, data: false, end: None }),
                Run::Last(used) => {
                    *self = Self::Trailers(Block::default());
                    Ok(Piece { used, data: false, end: None })
                }
            },
            Self::Trailers(block) => match block.take(bytes, TRAILERS_MAX, Unread::TrailersTooLong)? {
                Some((trailers, used)) => Ok(Piece { used, data: false, end: Some(trailers) }),
                None => Ok(Piece { used: bytes.len(), data: false, end: None }),
            },
            Self::UntilClose => Ok(Piece { used: bytes.len(), data: true, end: None }),
        }
    }
}
