//! Whether there is a place for a copy: the limits of the plane and those of its mirror's policies. Asked on the data
//! thread, so nothing here waits; a mirror without a policy pays one comparison for it.

use std::{sync::atomic::Ordering, time::Duration};

use super::{
    Plane,
    budget::{Part, Slot},
    entry::Entry,
    hash,
    head::PackedHead,
};
use crate::{
    message::{BodyLength, RequestHead},
    record::{DropReason, Turn},
    route::{CopyFaults, Mirror, OnExceed, Policy},
};

/// The place of a copy.
pub(super) struct Admitted {
    pub(super) slot: Slot,
    pub(super) turn: Option<Turn>,
    /// How long the copy is held back.
    pub(super) delay: Option<Duration>,
}

impl Plane {
    /// Takes a place for a copy that the share admits.
    pub(super) fn admit(
        &self,
        entry: &Entry,
        head: &RequestHead<'_>,
        draw: u64,
    ) -> Result<Admitted, DropReason> {
        let mirror = &entry.mirror;
        if self.shared.stopping.load(Ordering::Relaxed) {
            return Err(DropReason::Draining);
        }
        if self.is_paused() || mirror.account.is_paused() {
            return Err(DropReason::Paused);
        }
        if mirror.cluster.endpoints.is_empty() {
            return Err(DropReason::NoEndpoint);
        }
        if self.shared.budget.is_scarce() {
            return Err(DropReason::Pressure);
        }
        let policy = mirror.policy();
        let (mut turn, mut delay) = (None, None);
        if let Some(policy) = policy {
            delay = policy.faults.map_or(Ok(None), |faults| strike(faults, draw))?;
            if let Some(limit) = policy.concurrency {
                turn = Some(mirror.account.turn(limit).ok_or(DropReason::Concurrency)?);
            }
        }
        let part = Part::new(&self.shared.budget, &mirror.account);
        let mut slot = part.admit().ok_or(DropReason::QueueFull)?;
        if !slot.hold(PackedHead::size(head)) {
            return Err(DropReason::BytesBudget);
        }
        if let Some(pace) = policy.and_then(|policy| policy.rate)
            && !mirror.account.standing.rate.take(pace, self.shared.now())
        {
            return Err(DropReason::RateLimited);
        }
        Ok(Admitted { slot, turn, delay })
    }
}

/// Why no copy of this request is ever made, whatever the share.
pub(super) fn never(marked: bool, mirror: &Mirror, head: &RequestHead<'_>) -> Option<DropReason> {
    if marked {
        Some(DropReason::Marked)
    } else if head.method == "CONNECT" || (head.asks_upgrade() && !wants_upgrades(mirror)) {
        Some(DropReason::Upgrade)
    } else if head.is_grpc()
        && mirror.cluster.settings.protocol.for_copy_of(head.version) != http::Version::HTTP_2
    {
        // No gRPC server reads HTTP/1.1.
        Some(DropReason::Unsendable)
    } else {
        if mirror.is_expired() { Some(DropReason::Expired) } else { refused(mirror.policy()?, head) }
    }
}

/// Whether a policy wants the handshake of another protocol as the plain request it also is.
fn wants_upgrades(mirror: &Mirror) -> bool {
    mirror.policy().and_then(|policy| policy.upgrades).unwrap_or(false)
}

fn refused(policy: &Policy, head: &RequestHead<'_>) -> Option<DropReason> {
    if !policy.allows(head.method) {
        return Some(DropReason::Method);
    }
    let limit = policy.body.filter(|limit| limit.on_exceed == OnExceed::Drop)?;
    matches!(head.body, BodyLength::Known(length) if length > limit.max).then_some(DropReason::BodyTooLarge)
}

/// A delay, or the end of the copy. Each has a draw of its own, so that neither depends on the share or the other.
fn strike(faults: CopyFaults, draw: u64) -> Result<Option<Duration>, DropReason> {
    let delayed = hash::mix(draw);
    if faults.abort.is_some_and(|share| share.admits(hash::mix(delayed))) {
        return Err(DropReason::Fault);
    }
    Ok(faults.delay.filter(|(share, _)| share.admits(delayed)).map(|(_, delay)| delay))
}

/// A copy that will be cut off says so from the start, or is chunked.
pub(super) fn body_of_copy(body: BodyLength, policy: Option<&Policy>) -> BodyLength {
    let limit = policy.and_then(|policy| policy.body).filter(|limit| limit.on_exceed == OnExceed::Truncate);
    match (body, limit) {
        (BodyLength::Known(length), Some(limit)) => BodyLength::Known(length.min(limit.max)),
        (body, _) => body,
    }
}
