//! The seed of the draws that decide which connections are sampled.

use std::fs;

use umbra_common::Seed;

/// The kernel makes one up each time it starts.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The same for every agent until this machine starts again: while one takes over from another both programs draw
/// alike, so that the share stays the share, and a handshake by cookie that began at one can end at the other. Unknown
/// to clients elsewhere.
pub fn seed_of_this_boot() -> Seed {
    // Without one the share still holds; it is only no secret.
    fs::read_to_string(BOOT_ID).ok().and_then(|text| first_half(&text)).unwrap_or_default()
}

/// Of a UUID.
fn first_half(text: &str) -> Option<Seed> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).ok().map(Seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_is_the_machines_until_it_starts_again() {
        assert_eq!(first_half("0123abcd-4567-4e01-89ab-cdef01234567\n"), Some(Seed(0x0123_abcd_4567_4e01)));
        assert_eq!(first_half("\n"), None);
        assert_ne!(seed_of_this_boot(), Seed::default());
        assert_eq!(seed_of_this_boot(), seed_of_this_boot());
    }
}
