//! The chunked coding (RFC 9112 §7.1) up to the last chunk: tells framing from data, byte by byte where lines are,
//! by arithmetic where data is. Stricter than the grammar: no white space beside the size.

use super::{CHUNK_LINE_MAX, Unread};

#[derive(Debug, Default)]
pub(super) struct Chunked {
    at: At,
    /// Of the chunk whose line is read, then what is left of its data.
    size: u64,
    digits: u8,
    /// Length of the size line so far.
    line: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Size,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
}

/// What a run of bytes is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run {
    Framing(usize),
    Data(usize),
    /// Framing up to the end of the last chunk's line; trailers follow.
    Last(usize),
}

impl Chunked {
    /// Reads the first run of `bytes`, which are not empty.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Run, Unread> {
        if let At::Data = self.at {
            let run = usize::try_from(self.size).map_or(bytes.len(), |left| left.min(bytes.len()));
            self.pass(run as u64);
            return Ok(Run::Data(run));
        }
        for (index, &byte) in bytes.iter().enumerate() {
            self.at = self.framing(byte)?;
            if let At::Data = self.at {
                return Ok(if self.size == 0 { Run::Last(index + 1) } else { Run::Framing(index + 1) });
            }
        }
        Ok(Run::Framing(bytes.len()))
    }

    /// How many of the next bytes are data.
    pub(super) fn ahead(&self) -> u64 {
        if let At::Data = self.at { self.size } else { 0 }
    }

    /// So many of them went by unseen.
    pub(super) fn pass(&mut self, count: u64) {
        self.size -= count;
        if self.size == 0 {
            self.at = At::DataCr;
        }
    }

    fn framing(&mut self, byte: u8) -> Result<At, Unread> {
        match (self.at, byte) {
            (At::Size, _) if byte.is_ascii_hexdigit() => self.digit(byte),
            (At::Size, b'\r') if self.digits > 0 => Ok(At::SizeLf),
            (At::Size, b';') if self.digits > 0 => self.lengthen_line(),
            (At::Size | At::Extension, b'\n') => Err(Unread::BareLf),
            (At::Size, _) => Err(Unread::ChunkSize),
            (At::Extension, b'\r') => Ok(At::SizeLf),
            (At::Extension, b'\t' | b' '..=b'~') => self.lengthen_line(),
            (At::Extension, _) => Err(Unread::ChunkExtension),
            (At::SizeLf, b'\n') => {
                (self.digits, self.line) = (0, 0);
                Ok(At::Data)
            }
            (At::SizeLf, _) => Err(Unread::BareCr),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::DataCr | At::DataLf | At::Data, _) => Err(Unread::ChunkEnd),
        }
    }

    /// Sixteen digits fill 64 bits; leading zeros count, for parsers differ on them.
    fn digit(&mut self, byte: u8) -> Result<At, Unread> {
        if self.digits == 16 {
            return Err(Unread::ChunkSize);
        }
        let value = char::from(byte).to_digit(16).map_or(0, u64::from);
        self.size = self.size << 4 | value;
        self.digits += 1;
        self.line += 1;
        Ok(At::Size)
    }

    fn lengthen_line(&mut self) -> Result<At, Unread> {
        self.line += 1;
        if self.line > CHUNK_LINE_MAX { Err(Unread::ChunkLineTooLong) } else { Ok(At::Extension) }
    }
}
