//! `Upgrade: h2c` (RFC 7540 §3.2): what a request offers and what a 101 accepts. RFC 9113 no longer has it; curl, Java's
//! client and others still send it with the first request of every connection.

use base64::{
    Engine as _,
    alphabet::URL_SAFE,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

use super::fields::has_token;
use crate::{message::Header, wire::http2::Change};

/// Without padding, says RFC 7540 §3.2.1; some clients pad, and a server that took it has understood it.
const BASE64URL: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The client's settings, if the request offers HTTP/2 in the way a server must insist on: by exactly one `HTTP2-Settings`,
/// which `Connection` lists (§3.2.1).
pub(super) fn offered(headers: &[Header<'_>]) -> Option<Change> {
    if !values(headers, "upgrade").any(|list| has_token(list, "h2c")) {
        return None;
    }
    let mut settings = values(headers, "http2-settings");
    let (Some(settings), None) = (settings.next(), settings.next()) else { return None };
    if !values(headers, "connection").any(|list| has_token(list, "http2-settings")) {
        return None;
    }
    let payload = BASE64URL.decode(settings).ok().filter(|payload| payload.len().is_multiple_of(6))?;
    Change::parse(&payload).ok()
}

/// Whether a 101 changes to HTTP/2, and to nothing else.
pub(super) fn accepted(headers: &[Header<'_>]) -> bool {
    let mut chosen = values(headers, "upgrade");
    matches!((chosen.next(), chosen.next()), (Some(chosen), None) if chosen.eq_ignore_ascii_case(b"h2c"))
}

fn values<'h>(headers: &'h [Header<'_>], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    headers.iter().filter(move |header| header.name.eq_ignore_ascii_case(name)).map(|header| header.value)
}
