//! A header block under way: the fragments of one HEADERS or PUSH_PROMISE frame and of the CONTINUATION frames after
//! it (RFC 9113 §4.3).

use std::{borrow::Cow, mem};

use super::{
    HEAD_MAX, Unread,
    frame::{Frame, Kind},
};

#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    /// The stream that is promised, on PUSH_PROMISE.
    pub(super) promised: Option<u32>,
    pub(super) ends_stream: bool,
    /// Of all its frames.
    pub(super) wire_bytes: u64,
    /// The fragments before the last. Up to 64 KiB.
    kept: Vec<u8>,
}

impl Block {
    /// Begins with a HEADERS or PUSH_PROMISE frame; returns its fragment too.
    pub(super) fn begin<'p>(frame: &Frame, payload: &'p [u8]) -> Result<(Self, &'p [u8]), Unread> {
        let mut rest = payload;
        let mut padding = 0;
        if frame.is_padded() {
            padding = usize::from(take::<1>(&mut rest)?[0]);
        }
        let mut promised = None;
        if frame.kind == Kind::PushPromise {
            promised = Some(u32::from_be_bytes(*take(&mut rest)?) & 0x7fff_ffff);
        } else if frame.has_priority() {
            take::<5>(&mut rest)?;
        }
        let fragment = rest.len().checked_sub(padding).ok_or(Unread::Padding)?;
        let block = Self {
            stream: frame.stream,
            promised,
            // PUSH_PROMISE has no such flag.
            ends_stream: frame.ends_stream() && frame.kind == Kind::Headers,
            wire_bytes: 0,
            kept: Vec::new(),
        };
        Ok((block, &rest[..fragment]))
    }

    pub(super) fn keep(&mut self, fragment: &[u8]) -> Result<(), Unread> {
        if self.kept.len() + fragment.len() > HEAD_MAX {
            return Err(Unread::HeadTooLong);
        }
        self.kept.extend_from_slice(fragment);
        Ok(())
    }

    /// The whole block, with its last fragment.
    pub(super) fn whole<'p>(&mut self, last: &'p [u8]) -> Result<Cow<'p, [u8]>, Unread> {
        if self.kept.is_empty() && last.len() <= HEAD_MAX {
            return Ok(Cow::Borrowed(last));
        }
        self.keep(last)?;
        Ok(Cow::Owned(mem::take(&mut self.kept)))
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.kept.capacity()
    }
}

fn take<'p, const N: usize>(rest: &mut &'p [u8]) -> Result<&'p [u8; N], Unread> {
    let (taken, after) = rest.split_first_chunk().ok_or(Unread::FrameSize)?;
    *rest = after;
    Ok(taken)
}
