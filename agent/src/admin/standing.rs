//! What every list says of one mirror: how it stands, and the books of its copies.

use std::{collections::BTreeMap, sync::Arc};

use serde::Serialize;

use super::View;
use crate::{
    record::{Account, Balance, DropReason, FailReason, MirrorKey},
    route::{Mirror, Mirroring},
};

/// One mirror and its copies: offered = completed + failed + dropped + sampledOut + inFlight.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Standing {
    /// Names it in `pause` and `resume`.
    id: String,
    /// `host:port` or `host:port/subset`
    mirror: String,
    /// False for one that a reload took away, and that is paused or has copies under way.
    in_force: bool,
    /// No copies are sent, because this mirror or everything is paused.
    paused: bool,
    /// The `ttl` of its policy is over.
    expired: bool,
    /// Of the rule's requests; None when it is not in force.
    percentage: Option<f64>,
    /// The part of them that is copied at this moment.
    in_force_percentage: Option<f64>,
    offered: u64,
    completed: u64,
    /// By reason, those that happened.
    failed: BTreeMap<&'static str, u64>,
    dropped: BTreeMap<&'static str, u64>,
    /// Those that failed, and those that were dropped for a reason nobody asked for.
    lost: u64,
    sampled_out: u64,
    in_flight: u64,
}

/// How a person names one mirror: `namespace/name rule host:port/subset`.
pub(super) fn id(key: &MirrorKey) -> String {
    format!("{} {} {}", key.rule.virtual_service, key.rule.rule, key.mirror)
}

/// The percentage of a mirror, and the one in force at this moment.
pub(super) fn shares(view: &View, mirror: &Mirror) -> (f64, f64) {
    (Mirroring::new(mirror).percentage, f64::from(view.plane.share_in_force(mirror).0) / 10_000.0)
}

/// Those counts that are not zero, by name.
pub(super) fn happened<const N: usize>(
    names: impl Iterator<Item = &'static str>,
    counts: [u64; N],
) -> BTreeMap<&'static str, u64> {
    names.zip(counts).filter(|(_, count)| *count > 0).collect()
}

impl Standing {
    pub(super) fn new(
        view: &View,
        account: &Account,
        mirror: Option<&Arc<Mirror>>,
        balance: &Balance,
    ) -> Self {
        let shares = mirror.map(|mirror| shares(view, mirror));
        Self {
            id: id(&account.key),
            mirror: account.key.mirror.to_string(),
            in_force: mirror.is_some(),
            paused: view.plane.is_paused() || account.is_paused(),
            expired: mirror.is_some_and(|mirror| mirror.is_expired()),
            percentage: shares.map(|(whole, _)| whole),
            in_force_percentage: shares.map(|(_, now)| now),
            offered: balance.offered,
            completed: balance.completed,
            failed: happened(FailReason::ALL.iter().map(|reason| reason.as_str()), balance.failed),
            dropped: happened(DropReason::ALL.iter().map(|reason| reason.as_str()), balance.dropped),
            lost: lost(balance),
            sampled_out: balance.sampled_out,
            in_flight: balance.in_flight(),
        }
    }
}

fn lost(balance: &Balance) -> u64 {
    let dropped = DropReason::ALL.iter().zip(balance.dropped);
    let unwanted = dropped.filter(|(reason, _)| !reason.is_asked_for()).map(|(_, count)| count);
    balance.failed.iter().sum::<u64>() + unwanted.sum::<u64>()
}
