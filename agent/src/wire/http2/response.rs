//! From the fields of a response to its head (RFC 9113 §8.3.2).

use super::{field, hpack::Fields};
use crate::{
    message::{ResponseHead, Version},
    wire::Skipped,
};

/// Reads a response's head, interim or final, and tells of it, with the length of its body if it says one.
pub(super) fn read(
    fields: &Fields,
    tell: impl FnOnce(&ResponseHead<'_>, Option<u64>) -> Result<(), Skipped>,
) -> Result<(), Skipped> {
    if let Some(reason) = fields.over() {
        return Err(reason);
    }
    let mut all = fields.iter();
    let status = match all.next() {
        Some((b":status", [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'])) => {
            [a, b, c].into_iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        _ => return Err(Skipped::Status),
    };
    let mut headers = Vec::with_capacity(fields.len());
    let mut length = None;
    for (name, value) in all {
        let header = field::check(name, value)?;
        if header.name == "content-length" {
            field::set_length(&mut length, value)?;
        }
        headers.push(header);
    }
    tell(&ResponseHead { status, version: Version::Http2, headers: &headers }, length)
}
