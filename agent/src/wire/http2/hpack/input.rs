//! The primitives of a header block: integers and strings (RFC 7541 §5).

use super::huffman;

/// What is left of a header block.
#[derive(Debug)]
pub(super) struct Input<'b>(pub(super) &'b [u8]);

impl Input<'_> {
    /// The next byte, not taken.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// An integer in the last `prefix` bits of the next byte and those after it. None beyond five bytes after the
    /// first or beyond 32 bits: decoders differ on those (§5.1).
    pub(super) fn integer(&mut self, prefix: u32) -> Option<usize> {
        let mask = (1_u64 << prefix) - 1;
        let mut value = u64::from(self.take()?) & mask;
        if value == mask {
            for shift in [0, 7, 14, 21, 28] {
                let byte = self.take()?;
                value += u64::from(byte & 0x7f) << shift;
                if byte & 0x80 == 0 {
                    return u32::try_from(value).ok()?.try_into().ok();
                }
            }
            return None;
        }
        usize::try_from(value).ok()
    }

    /// Appends the next string.
    pub(super) fn string(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let huffman = self.peek()? & 0x80 != 0;
        let length = self.integer(7)?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        if huffman {
            huffman::decode(text, out)
        } else {
            out.extend_from_slice(text);
            Some(())
        }
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }
}
