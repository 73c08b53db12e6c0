//! The first bytes of a connection: a decision, once made, is not changed by what follows, and none needs more than
//! its bound.

use umbra::wire::{SNIFF_MAX, sniff};

use crate::Target;

pub(crate) const TARGET: Target = Target {
    name: "sniff",
    run,
    max_len: 64,
    words: || ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET /", "\x16\x03\x01"].map(str::to_owned).to_vec(),
    seeds: || {
        ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x16\x03\x01"].map(Into::into).to_vec()
    },
};

fn run(data: &[u8]) {
    let mut decided = None;
    for len in 0..=data.len() {
        let now = sniff(&data[..len]);
        assert!(decided.is_none() || now == decided, "{decided:?} became {now:?} at {len}");
        assert!(len < SNIFF_MAX || now.is_some(), "undecided after {len} bytes");
        decided = now;
    }
}
