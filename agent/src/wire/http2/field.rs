//! What every field of a message must keep to (RFC 9113 §8.2), whatever it says.

use std::str;

use crate::{
    message::Header,
    wire::{Skipped, values},
};

/// Fields that belong to a connection, and so not to HTTP/2 (§8.2.2).
const OF_A_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Checks a field that is no pseudo-header.
pub(super) fn check<'f>(name: &'f [u8], value: &'f [u8]) -> Result<Header<'f>, Skipped> {
    let is_name_byte = |byte: &u8| values::is_token(*byte) && !byte.is_ascii_uppercase();
    if name.is_empty() || !name.iter().all(is_name_byte) {
        return Err(Skipped::HeaderName);
    }
    check_value(value)?;
    let name = str::from_utf8(name).map_err(|_| Skipped::HeaderName)?;
    if OF_A_CONNECTION.contains(&name) || (name == "te" && !value.eq_ignore_ascii_case(b"trailers")) {
        return Err(Skipped::ConnectionHeader);
    }
    Ok(Header { name, value })
}

/// No control character, and no white space around it (§8.2.1).
pub(super) fn check_value(value: &[u8]) -> Result<(), Skipped> {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let allowed = value.iter().all(|byte| !byte.is_ascii_control() || *byte == b'\t');
    if allowed && !is_blank(value.first()) && !is_blank(value.last()) {
        Ok(())
    } else {
        Err(Skipped::HeaderValue)
    }
}

/// The only `Content-Length` of a message.
pub(super) fn set_length(length: &mut Option<u64>, value: &[u8]) -> Result<(), Skipped> {
    let value = values::length(value).ok_or(Skipped::ContentLength)?;
    if length.replace(value).is_some() { Err(Skipped::ContentLength) } else { Ok(()) }
}
