//! Tells a connection's protocol from the first bytes the client sent, without ever waiting for more: the relay has
//! written them on already.

use super::values::is_token;

/// What a connection carries, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// With prior knowledge; an upgrade begins as HTTP/1.
    Http2,
    Tls,
    /// Something else; also every protocol in which the server speaks first.
    Opaque,
}

impl Protocol {
    /// The value of the metrics' `protocol` label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::Http2 => "http2",
            Self::Tls => "tls",
            Self::Opaque => "opaque",
        }
    }
}

/// The preface of an HTTP/2 client (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// No decision needs more bytes than this. A method therefore has at most 23 characters; the longest registered one,
/// UPDATEREDIRECTREF, has 17.
pub const SNIFF_MAX: usize = PREFACE.len();

/// Decides from everything the client has sent so far; None while that is too little, never from [`SNIFF_MAX`] bytes on.
pub fn sniff(start: &[u8]) -> Option<Protocol> {
    match start {
        [] | [0x16] | [0x16, 0x03] => None,
        // A handshake record of SSL 3.0 to TLS 1.3 (RFC 8446 §5.1).
        [0x16, 0x03, 0..=4, ..] => Some(Protocol::Tls),
        _ if start.starts_with(PREFACE) => Some(Protocol::Http2),
        _ if PREFACE.starts_with(start) => None,
        _ => request_line(start),
    }
}

fn request_line(start: &[u8]) -> Option<Protocol> {
    let start = &start[..start.len().min(SNIFF_MAX)];
    match start.iter().position(|byte| !is_token(*byte)) {
        Some(end) if end > 0 && start[end] == b' ' => Some(Protocol::Http1),
        None if start.len() < SNIFF_MAX => None,
        _ => Some(Protocol::Opaque),
    }
}

/// Whether what the server said, before the client said enough, can be the beginning of HTTP/2: a SETTINGS frame, which
/// many servers send at once (RFC 9113 §3.4).
pub(super) fn may_be_settings(start: &[u8]) -> bool {
    let expected = [Some(0), None, None, Some(4), Some(0), Some(0), Some(0), Some(0), Some(0)];
    start.iter().zip(expected).all(|(byte, expected)| expected.is_none_or(|it| it == *byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_tell_the_protocol() {
        let table: &[(&[u8], Option<Protocol>)] = &[
            (b"", None),
            (b"G", None),
            (b"GET", None),
            (b"GET ", Some(Protocol::Http1)),
            (b"M-SEARCH * HTTP/1.1\r\n", Some(Protocol::Http1)),
            (b"PRI", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r", None),
            (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Some(Protocol::Http2)),
            (b"PRI /", Some(Protocol::Http1)),
            (b"PRIME", None),
            (b"\x16", None),
            (b"\x16\x03", None),
            (b"\x16\x03\x01\x02\x00\x01", Some(Protocol::Tls)),
            (b"\x16\x02", Some(Protocol::Opaque)),
            (b" GET / HTTP/1.1", Some(Protocol::Opaque)),
            (b"\r\nGET / HTTP/1.1", Some(Protocol::Opaque)),
            (b"PING\r\n", Some(Protocol::Opaque)),
            (b"\0\0\0\x08\x04\xd2\x16\x2f", Some(Protocol::Opaque)),
            (b"ABCDEFGHIJKLMNOPQRSTUVW", None),
            (b"ABCDEFGHIJKLMNOPQRSTUVW ", Some(Protocol::Http1)),
            (b"ABCDEFGHIJKLMNOPQRSTUVWX", Some(Protocol::Opaque)),
            (b"ABCDEFGHIJKLMNOPQRSTUVWX ", Some(Protocol::Opaque)),
        ];
        for (start, expected) in table {
            assert_eq!(sniff(start), *expected, "{}", start.escape_ascii());
        }
    }
}
