//! The head of an HTTP message as it stood on the wire: what readers produce, the matcher judges and a copy is
//! made from. Borrowed, so that a request nobody mirrors costs no allocation.

use bytes::Bytes;
pub use httparse::Header;

/// The HTTP version of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Http10,
    Http11,
    Http2,
}

/// How the length of a request's body is known (RFC 9112 §6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body follows the head.
    None,
    /// Exactly this many bytes, more than zero.
    Known(u64),
    /// Ends by its own framing: chunked, or an HTTP/2 stream.
    Streamed,
}

/// A request's head. `headers` are in wire order with their wire spelling, `Host` among them: on HTTP/2, where it is
/// called `:authority`, it stands first, and a cookie is one field.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a> {
    pub method: &'a str,
    /// As sent: origin form (`/a?b`, always on HTTP/2), absolute form, authority form (CONNECT) or `*`.
    pub target: &'a str,
    pub version: Version,
    pub headers: &'a [Header<'a>],
    pub body: BodyLength,
    /// It arrived over TLS, which ends here.
    pub encrypted: bool,
}

impl<'a> RequestHead<'a> {
    /// The first value of a header, by its lower-case or any other spelling.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }

    /// Whether it is a call of gRPC: `application/grpc`, `application/grpc+proto` and their like. gRPC-Web is not: it is at home
    /// on HTTP/1.1.
    pub fn is_grpc(&self) -> bool {
        let rest = self.header("content-type").and_then(|kind| kind.strip_prefix(b"application/grpc"));
        matches!(rest, Some([] | [b'+' | b';', ..]))
    }

    /// Whether it asks for another protocol on its connection, HTTP/2 (`Upgrade: h2c`) aside: that is the same request,
    /// whichever protocol answers it.
    pub fn asks_upgrade(&self) -> bool {
        let lists = self.headers.iter().filter(|header| header.name.eq_ignore_ascii_case("upgrade"));
        let mut members = lists.flat_map(|list| list.value.split(|byte| *byte == b','));
        members.any(|protocol| !protocol.trim_ascii().eq_ignore_ascii_case(b"h2c"))
    }

    /// Path and query, without scheme and authority: what rules compare and copies carry.
    pub fn path_and_query(&self) -> &'a str {
        match self.target.find("://") {
            Some(scheme_end) if !self.target.starts_with('/') => {
                let rest = &self.target[scheme_end + 3..];
                match rest.find(['/', '?']) {
                    Some(path) => &rest[path..],
                    None => "/",
                }
            }
            _ => self.target,
        }
    }

    /// The authority the client named: of an absolute target, else of `Host` (RFC 9112 §3.2.2).
    pub fn authority(&self) -> Option<&'a str> {
        if !self.target.starts_with('/')
            && let Some((_, rest)) = self.target.split_once("://")
        {
            return rest.split(['/', '?']).next();
        }
        std::str::from_utf8(self.header("host")?).ok().map(str::trim)
    }
}

/// A response's final head: interim (1xx) responses are passed over by the readers.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    pub status: u16,
    pub version: Version,
    pub headers: &'a [Header<'a>],
}

impl<'a> ResponseHead<'a> {
    /// The first value of a header, by its lower-case or any other spelling.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
    }
}

/// A piece of a body inside the chunk it arrived in; shared only when somebody keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Slice<'a> {
    chunk: &'a Bytes,
    start: usize,
    end: usize,
}

impl<'a> Slice<'a> {
    /// `start..end` must lie within the chunk.
    pub fn new(chunk: &'a Bytes, start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= chunk.len());
        Self { chunk, start, end }
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub fn as_bytes(&self) -> &'a [u8] {
        &self.chunk[self.start..self.end]
    }

    /// Its first bytes, `len` at most.
    #[must_use]
    pub fn first(&self, len: usize) -> Self {
        Self { end: self.end.min(self.start.saturating_add(len)), ..*self }
    }

    /// Keeps the piece alive by a reference count on the whole chunk.
    pub fn share(&self) -> Bytes {
        self.chunk.slice(self.start..self.end)
    }
}
