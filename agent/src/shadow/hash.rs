//! The numbers that sampling draws from what a request says. Fixed for ever: a session that is mirrored stays mirrored
//! over restarts, releases and nodes.

pub(super) use umbra_common::mix;

/// FNV-1a, mixed: FNV alone leaves its last byte's bits close together.
pub(super) fn of(bytes: &[u8]) -> u64 {
    mix(extend(OFFSET, bytes))
}

pub(super) const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a's step, for what comes in parts. To be ended by [`mix`].
pub(super) fn extend(hash: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
