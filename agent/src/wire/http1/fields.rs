//! The fields that say where a message ends and what becomes of the connection. Requests and responses are held to
//! the same strict reading.

use super::Unread;
use crate::{
    message::{Header, Version},
    wire::values,
};

/// What a head says of its message's framing and of the connection.
#[derive(Debug, Default)]
pub(super) struct Fields {
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Transfer-Encoding: chunked`.
    pub(super) chunked: bool,
    /// The connection does not outlive this message and its answer (RFC 9112 §9.3).
    pub(super) close: bool,
    /// An `Upgrade` is there, whatever it names.
    pub(super) upgrade: bool,
    /// `Expect: 100-continue`.
    pub(super) expects_continue: bool,
}

impl Fields {
    /// `headers` were parsed from `block`.
    pub(super) fn read(block: &[u8], version: Version, headers: &[Header<'_>]) -> Result<Self, Unread> {
        let mut fields = Self::default();
        let mut keep_alive = false;
        for header in headers {
            let is = |name: &str| header.name.eq_ignore_ascii_case(name);
            match header.name.len() {
                6 if is("expect") => {
                    fields.expects_continue |= header.value.eq_ignore_ascii_case(b"100-continue");
                }
                7 if is("upgrade") => fields.upgrade = true,
                10 if is("connection") => {
                    fields.close |= has_token(header.value, "close");
                    keep_alive |= has_token(header.value, "keep-alive");
                }
                14 if is("content-length") => {
                    let length = values::length(header.value).filter(|_| !has_tab(block, header));
                    if fields.length.replace(length.ok_or(Unread::ContentLength)?).is_some() {
                        return Err(Unread::ContentLength);
                    }
                }
                17 if is("transfer-encoding") => {
                    let chunked = header.value.eq_ignore_ascii_case(b"chunked") && !has_tab(block, header);
                    if !chunked || fields.chunked {
                        return Err(Unread::TransferEncoding);
                    }
                    fields.chunked = true;
                }
                _ => {}
            }
        }
        if fields.chunked && fields.length.is_some() {
            return Err(Unread::LengthAndEncoding);
        }
        if version == Version::Http10 {
            fields.close |= !keep_alive;
            if fields.chunked {
                return Err(Unread::EncodingInHttp10);
            }
        }
        Ok(fields)
    }

    /// Whether a body is announced.
    pub(super) fn announce_body(&self) -> bool {
        self.chunked || self.length.is_some_and(|length| length > 0)
    }
}

/// Whether a comma-separated list has this member, in any spelling.
pub(super) fn has_token(list: &[u8], token: &str) -> bool {
    list.split(|byte| *byte == b',').any(|item| item.trim_ascii().eq_ignore_ascii_case(token.as_bytes()))
}

/// Whether a tab stands beside the value: allowed, trimmed by httparse, and a known way to hide a field from some
/// servers. Name and value are parts of the block, so their places in it can be told.
fn has_tab(block: &[u8], header: &Header<'_>) -> bool {
    let start = header.name.as_ptr().addr().saturating_sub(block.as_ptr().addr());
    let line = block.get(start..).unwrap_or_default();
    let end = memchr::memchr(b'\n', line).unwrap_or(line.len());
    line[..end].contains(&b'\t')
}
