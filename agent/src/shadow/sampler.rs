//! Which requests of a rule are copied.
//!
//! By itself, one draw per request against the mirror's share: Istio's `mirrorPercentage`. A ShadowPolicy may draw for
//! something steadier than the request (a key of it, or its connection), hold back a part of the share for a while (`adaptive`), or spend a
//! budget within it on rare kinds of requests first (`coverage`).

use std::net::{IpAddr, SocketAddr};

use super::{
    hash,
    kinds::kind_of,
    query::{named, pairs},
};
use crate::{
    message::RequestHead,
    record::Pace,
    route::{Coverage, DrawnFor, Mirror, Share, StickyKey},
};

/// The chances of one request, the same for all its mirrors.
#[derive(Clone, Copy, Debug)]
pub struct Draws {
    pub request: u64,
    /// Of its connection, and the one by which the kernel's program handed it over: a mirror whose share is a tenth of
    /// what was captured copies a tenth of the connections.
    pub connection: u64,
}

/// Whether the draw falls within the mirror's share. `now` is in nanoseconds, on the clock of the plane.
pub(super) fn admits(
    mirror: &Mirror,
    head: &RequestHead<'_>,
    draws: Draws,
    client: SocketAddr,
    now: impl FnOnce() -> u64,
) -> bool {
    let Some(sampling) = mirror.sampling() else { return mirror.share.admits(draws.request) };
    let draw = match &sampling.drawn_for {
        DrawnFor::Request => draws.request,
        DrawnFor::Key(key) => sticky_draw(key, head, client).unwrap_or(draws.request),
        DrawnFor::Connection => draws.connection,
    };
    mirror.share_now().admits(draw)
        && sampling.coverage.is_none_or(|coverage| covers(mirror, coverage, head, draws.request, now()))
}

/// The part of the rule's requests that is copied at this moment: none of one that is paused, or whose time is over.
pub(super) fn share_in_force(mirror: &Mirror) -> Share {
    if mirror.account.is_paused() || mirror.is_expired() {
        return Share(0);
    }
    if mirror.sampling().is_some_and(|sampling| sampling.coverage.is_some()) {
        return mirror.share.part(mirror.account.standing.in_force());
    }
    mirror.share_now()
}

/// The draw of everything with the same key: the same for ever, on every node. None for a request without the key,
/// which is then drawn for by itself.
fn sticky_draw(key: &StickyKey, head: &RequestHead<'_>, client: SocketAddr) -> Option<u64> {
    let value = match key {
        StickyKey::Header(name) => head.header(name)?,
        StickyKey::Cookie(name) => cookie(head, name)?,
        StickyKey::QueryParam(name) => query_param(head, name)?.as_bytes(),
        StickyKey::SourceAddress => {
            return Some(match client.ip().to_canonical() {
                IpAddr::V4(address) => hash::of(&address.octets()),
                IpAddr::V6(address) => hash::of(&address.octets()),
            });
        }
    };
    (!value.is_empty()).then(|| hash::of(value))
}

/// The first cookie of this name (RFC 6265 §5.4), whichever `Cookie` line has it.
fn cookie<'h>(head: &RequestHead<'h>, name: &str) -> Option<&'h [u8]> {
    let lines = head.headers.iter().filter(|field| field.name.eq_ignore_ascii_case("cookie"));
    lines.flat_map(|line| line.value.split(|&byte| byte == b';')).find_map(|pair| {
        let at = pair.iter().position(|&byte| byte == b'=')?;
        (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
    })
}

/// The value of the first parameter of this name, as it was written.
fn query_param<'h>(head: &RequestHead<'h>, name: &str) -> Option<&'h str> {
    let (_, query) = head.path_and_query().split_once('?')?;
    pairs(query)
        .find_map(|pair| pair.split_once('=').filter(|(raw, _)| named(raw, name)).map(|(_, value)| value))
}

/// Rare kinds may spend the whole budget, common ones leave them a fifth of it.
fn covers(mirror: &Mirror, coverage: Coverage, head: &RequestHead<'_>, draw: u64, now: u64) -> bool {
    let Some(kinds) = mirror.kinds() else { return true };
    let kind = kind_of(head);
    let part = kinds.meet(kind, coverage.copies_per_second);
    let pace = Pace::new(coverage.copies_per_second, None);
    let reserve = if part < Share::ALL.0 { pace.reserve() } else { 0 };
    // A draw of its own, so that it does not depend on the share.
    let admitted = Share(part).admits(hash::mix(draw))
        && mirror.account.standing.budget.take_leaving(reserve, pace, now);
    if admitted {
        kinds.copy(kind);
    }
    admitted
}

#[cfg(test)]
#[path = "tests/sampling.rs"]
mod tests;
