//! Which connections are sampled: by a number made of both endpoints and a seed, the same each time it is asked for.
//! Not by chance: a SYN sent again and the last packet of a handshake by cookie are looked up anew, and a connection
//! must not change sides between them. The agent finds by itself what the program found.

use crate::{Address, Endpoint};

/// What shares are counted in.
pub const MILLION: u32 = 1_000_000;

/// The key of the draws of connections: a client that does not know it cannot choose to be sampled.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// The draw of a connection, out of all 64 bits.
    #[inline(always)]
    pub fn draw(self, source: &Endpoint, destination: &Endpoint) -> u64 {
        let [a, b] = words(&source.address);
        let [c, d] = words(&destination.address);
        let port = |endpoint: &Endpoint| u64::from(u16::from_be_bytes(endpoint.port));
        let ports = port(source) << 16 | port(destination);
        [a, b, c, d, ports].into_iter().fold(self.0, |hash, word| mix(hash ^ word))
    }
}

/// Whether a draw falls within a share, in millionths. What is within a share is within every larger one.
#[inline(always)]
pub const fn admits(share: u32, draw: u64) -> bool {
    draw % (MILLION as u64) < share as u64
}

/// MurmurHash3's finaliser: every bit of the outcome depends on every bit that went in.
#[inline(always)]
pub const fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ (bits >> 33)
}

#[inline(always)]
const fn words(address: &Address) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.0;
    [u64::from_be_bytes([a, b, c, d, e, f, g, h]), u64::from_be_bytes([i, j, k, l, m, n, o, p])]
}

#[cfg(test)]
mod tests {
    use super::*;

    const APP: Endpoint = Endpoint::new(Address::v4([10, 0, 0, 1]), 8080);

    fn client(number: u32) -> Endpoint {
        let [_, _, c, d] = (number / 50).to_be_bytes();
        Endpoint::new(Address::v4([10, 1, c, d]), 30_000 + (number % 50) as u16)
    }

    /// Within five standard deviations of a binomial distribution; nothing here is left to chance.
    #[test]
    fn a_share_of_connections_is_admitted() {
        const ALL: u32 = 1_000_000;
        for share in [0, 100, 10_000, 500_000, 999_900, MILLION] {
            let hits = (0..ALL).filter(|&n| admits(share, Seed(7).draw(&client(n), &APP))).count();
            let (expected, p) = (f64::from(share), f64::from(share) / f64::from(MILLION));
            let deviation = (f64::from(ALL) * p * (1.0 - p)).sqrt();
            #[allow(clippy::cast_precision_loss, reason = "a million at most")]
            let off = (hits as f64 - expected).abs();
            assert!(off <= 5.0 * deviation, "{hits} of {ALL} at {share}");
        }
    }

    #[test]
    fn every_part_of_a_connection_and_the_seed_count() {
        let draw = |seed, source: Endpoint, destination| Seed(seed).draw(&source, &destination);
        let plain = draw(7, client(0), APP);
        let v6 = Endpoint::new(Address([0xfd; 16]), 8080);
        let others = [
            draw(8, client(0), APP),
            draw(7, client(1), APP),
            draw(7, client(50), APP),
            draw(7, client(0), Endpoint { port: [0, 1], ..APP }),
            draw(7, client(0), v6),
            draw(7, APP, client(0)),
        ];
        assert!(!others.contains(&plain), "{others:?}");
        assert_eq!(plain, draw(7, client(0), APP));
    }
}
