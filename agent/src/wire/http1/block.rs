//! A block of lines that an empty line ends: a head, or a trailer section. Finds its end in pieces of any size,
//! looks at each byte once, and keeps a copy only of a block that does not lie within one piece. Refuses the line
//! ends and foldings on which parsers disagree.

use std::{borrow::Cow, mem};

use memchr::memchr_iter;

use super::Unread;

/// A block under way. The default is one of which nothing has arrived.
#[derive(Debug, Default)]
pub(super) struct Block {
    /// Everything so far, when the block spans pieces.
    kept: Vec<u8>,
    /// Where in `kept` the line under way begins.
    line: usize,
}

/// A whole block with its empty line, and how many bytes of the last piece belong to it.
pub(super) type Ended<'a> = (Cow<'a, [u8]>, usize);

impl Block {
    /// How much has arrived and did not end the block.
    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Bytes of heap held.
    #[cfg(test)]
    pub(super) fn heap(&self) -> usize {
        self.kept.capacity()
    }

    /// Takes the next piece. After the end of one block the next may follow. `too_long` is the reason beyond `limit`
    /// bytes.
    pub(super) fn take<'a>(
        &mut self,
        piece: &'a [u8],
        limit: usize,
        too_long: Unread,
    ) -> Result<Option<Ended<'a>>, Unread> {
        let room = limit - self.kept.len();
        let within = &piece[..piece.len().min(room)];
        match self.find_end(within)? {
            Some(used) if self.kept.is_empty() => Ok(Some((Cow::Borrowed(&piece[..used]), used))),
            Some(used) => {
                let mut whole = mem::take(self).kept;
                whole.extend_from_slice(&piece[..used]);
                Ok(Some((Cow::Owned(whole), used)))
            }
            None if within.len() == room => Err(too_long),
            None => {
                self.kept.extend_from_slice(piece);
                Ok(None)
            }
        }
    }

    /// Where the block ends within the piece. Reports doubts in the order of the bytes, so that the reason does not
    /// depend on how they were cut.
    fn find_end(&mut self, piece: &[u8]) -> Result<Option<usize>, Unread> {
        let before = self.kept.len();
        let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
        // A first line that begins with a blank is for the parser to refuse.
        if self.line > 0 && self.line == before && is_blank(piece.first()) {
            return Err(Unread::ObsFold);
        }
        for lf in memchr_iter(b'\n', piece) {
            let previous = if lf > 0 { piece.get(lf - 1) } else { self.kept.last() };
            if previous != Some(&b'\r') {
                return Err(Unread::BareLf);
            }
            let only_cr = before + lf == self.line + 1;
            self.line = before + lf + 1;
            if only_cr {
                self.line = 0;
                return Ok(Some(lf + 1));
            }
            if is_blank(piece.get(lf + 1)) {
                return Err(Unread::ObsFold);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_within_one_piece_is_borrowed() {
        let piece = b"a: b\r\n\r\nrest";
        let mut block = Block::default();
        let (whole, used) = block.take(piece, 100, Unread::HeadTooLong).unwrap().unwrap();
        assert!(matches!(whole, Cow::Borrowed(b"a: b\r\n\r\n")));
        assert_eq!(used, 8);
        assert!(block.is_empty() && block.kept.capacity() == 0);
    }

    #[test]
    fn a_block_over_many_pieces_is_collected_and_released() {
        let text = b"a: b\r\nc: d\r\n\r\n";
        let mut block = Block::default();
        for byte in &text[..text.len() - 1] {
            assert!(block.take(&[*byte], 100, Unread::HeadTooLong).unwrap().is_none());
        }
        let (whole, used) = block.take(b"\nx", 100, Unread::HeadTooLong).unwrap().unwrap();
        assert_eq!((&*whole, used), (&text[..], 1));
        assert!(block.is_empty() && block.kept.capacity() == 0);
    }

    #[test]
    fn a_block_may_fill_its_limit_and_no_more() {
        let limit = |limit| {
            Block::default().take(b"a: b\r\n\r\n", limit, Unread::HeadTooLong).map(|end| end.is_some())
        };
        assert_eq!(limit(8), Ok(true));
        assert_eq!(limit(7), Err(Unread::HeadTooLong));
    }
}
