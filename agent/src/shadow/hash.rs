//! The numbers that sampling draws from what a request says. Fixed for ever: a session that is mirrored stays mirrored
//! over restarts, releases and nodes.

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

/// MurmurHash3's finaliser: every bit of the outcome depends on every bit that went in.
pub(super) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}
