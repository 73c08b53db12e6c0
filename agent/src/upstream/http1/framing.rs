//! Answers as servers write them: where the head ends, where the body does (RFC 9112 §6.3), and whether the connection may be
//! used again. As tolerant as clients are: what is read here is passed on to nobody.

use std::str;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use httparse::Status;

/// The most fields of a head.
const FIELDS: usize = 100;
/// Digits of a chunk's size: more do not fit 64 bits.
const DIGITS: u8 = 16;

/// The head of an answer.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    /// Nothing but what a copy's record is made of.
    pub(super) grpc_status: Option<HeaderValue>,
    /// Bytes of it.
    pub(super) length: usize,
    pub(super) framing: Framing,
    /// The connection does not end with this answer (RFC 9112 §9.3). One that speaks HTTP/1.0 is not used again.
    pub(super) keeps: bool,
}

/// What is still to come of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Nothing,
    Sized(u64),
    Chunked(Chunked),
    UntilClose,
}

/// Where a chunked body stands (RFC 9112 §7.1).
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunked {
    at: At,
    /// What is left of the chunk, or its size as far as it was read.
    size: u64,
    digits: u8,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum At {
    #[default]
    Size,
    /// What follows the size on its line.
    Extension,
    Data,
    /// The line end behind the data.
    DataEnd,
    /// At the beginning of a trailer's line, which may be the empty one.
    TrailerStart,
    Trailer,
}

/// The next run of an answer's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Run {
    Data(usize),
    Framing(usize),
    /// Framing, the last of the answer.
    Last(usize),
}

/// What is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("what it sent is no HTTP: {0}")]
    Head(httparse::Error),
    #[error("the answer's head is longer than 32 KiB")]
    TooLong,
    #[error("the answer's content-length is no number, or two")]
    Length,
    #[error("the answer's chunks cannot be told apart")]
    Chunk,
}

/// The head at the beginning of these bytes; None while it is not whole. `to_head`: the request was a HEAD.
pub(super) fn head(bytes: &[u8], to_head: bool) -> Result<Option<Head>, Malformed> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Response::new(&mut fields);
    let Status::Complete(length) = parsed.parse(bytes).map_err(Malformed::Head)? else { return Ok(None) };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.ok_or(Malformed::Head(httparse::Error::Status))?;

    let (mut sized, mut coding, mut close, mut grpc_status) = (None, None, false, None);
    for field in &*parsed.headers {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        if is("content-length") {
            for text in field.value.split(|byte| *byte == b',') {
                let length = number(text.trim_ascii()).ok_or(Malformed::Length)?;
                if sized.replace(length).is_some_and(|before| before != length) {
                    return Err(Malformed::Length);
                }
            }
        } else if is("transfer-encoding") {
            // The last coding decides, whatever is beneath it.
            coding = field.value.rsplit(|byte| *byte == b',').next().map(<[u8]>::trim_ascii);
        } else if is("connection") {
            let mut options = field.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            close |= options.any(|option| option.eq_ignore_ascii_case(b"close"));
        } else if is("grpc-status") {
            grpc_status = HeaderValue::from_bytes(field.value).ok();
        }
    }
    let framing = match (status.as_u16(), coding) {
        (100..=199 | 204 | 304, _) => Framing::Nothing,
        _ if to_head => Framing::Nothing,
        (_, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Framing::Chunked(Chunked::default()),
        (_, Some(_)) => Framing::UntilClose,
        (_, None) => sized.map_or(Framing::UntilClose, |length| match length {
            0 => Framing::Nothing,
            length => Framing::Sized(length),
        }),
    };
    let keeps = parsed.version == Some(1)
        && !close
        && framing != Framing::UntilClose
        && status != StatusCode::SWITCHING_PROTOCOLS;
    Ok(Some(Head { status, grpc_status, length, framing, keeps }))
}

/// Of digits alone: Rust would take a sign too.
fn number(text: &[u8]) -> Option<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

impl Head {
    /// Another head follows (RFC 9110 §15.2).
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// What of its fields is kept.
    pub(super) fn fields(&mut self) -> HeaderMap {
        let status = self.grpc_status.take().map(|status| (HeaderName::from_static("grpc-status"), status));
        status.into_iter().collect()
    }
}

impl Framing {
    /// Reads the first run of `bytes`, which are not empty.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        match self {
            Self::Nothing => Ok(Run::Last(0)),
            Self::UntilClose => Ok(Run::Data(bytes.len())),
            Self::Sized(left) => Ok(Run::Data(take(left, bytes))),
            Self::Chunked(chunked) => chunked.read(bytes),
        }
    }

    /// Nothing is to come any more.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Nothing | Self::Sized(0))
    }
}

impl Chunked {
    fn read(&mut self, bytes: &[u8]) -> Result<Run, Malformed> {
        if self.at == At::Data {
            let run = take(&mut self.size, bytes);
            if self.size == 0 {
                self.at = At::DataEnd;
            }
            return Ok(Run::Data(run));
        }
        for (index, &byte) in bytes.iter().enumerate() {
            let used = index + 1;
            self.at = match (self.at, byte) {
                (At::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if self.digits < DIGITS => {
                    let value = char::from(byte).to_digit(16).map_or(0, u64::from);
                    self.size = self.size << 4 | value;
                    self.digits += 1;
                    At::Size
                }
                (At::Size, b';' | b' ' | b'\t' | b'\r') if self.digits > 0 => At::Extension,
                (At::Size | At::Extension, b'\n') if self.digits > 0 => {
                    self.digits = 0;
                    if self.size > 0 {
                        self.at = At::Data;
                        return Ok(Run::Framing(used));
                    }
                    At::TrailerStart
                }
                (At::Size, _) => return Err(Malformed::Chunk),
                (At::Extension, _) => At::Extension,
                (At::DataEnd, b'\r') => At::DataEnd,
                (At::DataEnd, b'\n') => At::Size,
                (At::DataEnd | At::Data, _) => return Err(Malformed::Chunk),
                (At::TrailerStart, b'\n') => return Ok(Run::Last(used)),
                (At::TrailerStart, b'\r') => At::TrailerStart,
                (At::Trailer, b'\n') => At::TrailerStart,
                (At::TrailerStart | At::Trailer, _) => At::Trailer,
            };
        }
        Ok(Run::Framing(bytes.len()))
    }
}

/// As many of the bytes as are left; they are left no more.
fn take(left: &mut u64, bytes: &[u8]) -> usize {
    let run = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
    *left -= run as u64;
    run
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Head {
        head(text.as_bytes(), false).unwrap().unwrap()
    }

    #[test]
    fn the_head_says_where_the_body_ends() {
        let ok = |fields: &str| of(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")).framing;
        let chunked = || Framing::Chunked(Chunked::default());
        assert_eq!(ok("content-length: 5\r\n"), Framing::Sized(5));
        assert_eq!(ok("Content-Length: 5, 5\r\ncontent-length: 5\r\n"), Framing::Sized(5));
        assert_eq!(ok("content-length: 0\r\n"), Framing::Nothing);
        assert_eq!(ok("content-length: 5\r\nTransfer-Encoding: gzip, Chunked\r\n"), chunked());
        assert_eq!(ok("transfer-encoding: gzip\r\n"), Framing::UntilClose);
        assert_eq!(ok(""), Framing::UntilClose);
        for status in [204, 304, 100, 101] {
            let text = format!("HTTP/1.1 {status} X\r\ncontent-length: 5\r\n\r\n");
            assert_eq!(of(&text).framing, Framing::Nothing, "{status}");
        }
        let text = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(head(text, true).unwrap().unwrap().framing, Framing::Nothing, "to a HEAD");
    }

    #[test]
    fn the_head_says_whether_the_connection_may_be_used_again() {
        for (text, keeps) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", true),
            ("HTTP/1.1 204 OK\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\n", false),
            ("HTTP/1.1 101 Switching\r\n\r\n", false),
        ] {
            assert_eq!(of(text).keeps, keeps, "{text}");
        }
    }

    #[test]
    fn what_is_no_head_is_told_from_one_that_is_not_whole() {
        assert!(head(b"HTTP/1.1 200 OK\r\ncontent-len", false).unwrap().is_none());
        for text in
            ["220 smtp\r\n\r\n", "HTTP/1.1 20 x\r\n\r\n", "HTTP/1.1 200\r\ncontent-length: -1\r\n\r\n"]
        {
            assert!(head(text.as_bytes(), false).is_err(), "{text}");
        }
        let two = b"HTTP/1.1 200 OK\r\ncontent-length: 1, 2\r\n\r\n";
        assert_eq!(head(two, false).unwrap_err(), Malformed::Length);
    }

    #[test]
    fn chunks_are_read_in_pieces_of_any_size() {
        let text = b"5;name=x\r\nhello\r\nA  \r\n0123456789\r\n0\r\ntrailer: x\r\n\r\nHTTP/1.1";
        for size in 1..=text.len() {
            let (mut framing, mut data, mut at) = (Framing::Chunked(Chunked::default()), Vec::new(), 0);
            loop {
                let piece = &text[at..text.len().min(at + size)];
                match framing.read(piece).unwrap() {
                    Run::Data(used) => {
                        data.extend_from_slice(&piece[..used]);
                        at += used;
                    }
                    Run::Framing(used) => at += used,
                    Run::Last(used) => break at += used,
                }
            }
            assert_eq!((&*data, &text[at..]), (&b"hello0123456789"[..], &b"HTTP/1.1"[..]), "{size}");
        }
        for text in ["xyz\r\n", "\r\n", "11111111111111111\r\n", "1\r\nab\r\n"] {
            let mut framing = Framing::Chunked(Chunked::default());
            let mut left = text.as_bytes();
            let end = loop {
                match framing.read(left) {
                    Ok(Run::Data(used) | Run::Framing(used)) if used < left.len() => left = &left[used..],
                    end => break end,
                }
            };
            assert_eq!(end, Err(Malformed::Chunk), "{text:?}");
        }
    }
}
