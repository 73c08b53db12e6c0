//! First bytes of known protocols, put together so that what they are is known: the reader finds it out, whatever the
//! pieces they come in and whatever follows.

use arbitrary::{Result, Unstructured};
use umbra::wire::{Protocol, Reader, SNIFF_MAX};

use super::http2::PREFACE;
use crate::{Recorder, Step, Target, cut_by};

pub(crate) const TARGET: Target =
    Target { name: "openings", run, max_len: 256, words: Vec::new, seeds: || vec![vec![0; 40], vec![3; 80]] };

fn run(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok((mut start, protocol)) = opening(&mut bytes) else { return };
    let Ok(lengths) = bytes.arbitrary::<[u8; 4]>() else { return };
    start.extend(bytes.take_rest());
    let pieces = cut_by(&[Step::Client(start.clone())], &lengths);
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    for step in &pieces {
        step.tell(&mut reader, &mut sink);
    }
    assert_eq!(reader.protocol(), protocol, "{}", start.escape_ascii());
}

/// The first bytes of a client, and what they must be taken for; None while they are too few.
fn opening(bytes: &mut Unstructured<'_>) -> Result<(Vec<u8>, Option<Protocol>)> {
    Ok(match bytes.int_in_range(0..=4)? {
        0 => {
            let name = method(bytes)?;
            let known = if name.len() < SNIFF_MAX { Protocol::Http1 } else { Protocol::Opaque };
            ([name, b" /".to_vec()].concat(), Some(known))
        }
        1 => (PREFACE.to_vec(), Some(Protocol::Http2)),
        2 => {
            // A preface that goes wrong after the method and its space is still a request line.
            let at = bytes.int_in_range(4..=PREFACE.len() - 1)?;
            let mut start = PREFACE.to_vec();
            start[at] ^= 1 + bytes.int_in_range(0..=254)?;
            (start, Some(Protocol::Http1))
        }
        3 => {
            let minor = bytes.int_in_range(0..=4)?;
            (vec![0x16, 3, minor], Some(Protocol::Tls))
        }
        _ => {
            // No token begins with this, and it is not a handshake.
            let first = *bytes.choose(b"\0\x01\x15\x17\r\n \"(),/:;<=>?@[\\]{}\x7f\x80\xff")?;
            (vec![first], Some(Protocol::Opaque))
        }
    })
}

fn method(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let length = bytes.int_in_range(1..=SNIFF_MAX + 4)?;
    let letter = |_| Ok(*bytes.choose(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcxyz0189!#$%&'*+-.^_`|~")?);
    (0..length).map(letter).collect()
}
