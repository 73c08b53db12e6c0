//! Where the bytes of a conversation are cut is chosen by the input too: whatever the protocol, each cut is told alike.

use super::{http1, http2};
use crate::{Target, cut_by, read, steps};

/// How many bytes of an input are lengths of pieces.
const LENGTHS: usize = 8;

pub(crate) const TARGET: Target = Target { name: "splits", run, max_len: 2048, words: http1::words, seeds };

/// Those of HTTP/1 are kept inputs of `http1`, by their bytes alone.
fn seeds() -> Vec<Vec<u8>> {
    let lengths = |first: u8| (first..).take(LENGTHS);
    let kept = crate::files(&http1::TARGET.corpus());
    let http1 = kept.into_iter().map(|(_, bytes)| [vec![0], lengths(3).collect(), bytes].concat());
    let http2 = http2::seeds().into_iter().map(|bytes| [vec![1], lengths(5).collect(), bytes].concat());
    http1.chain(http2).collect()
}

fn run(data: &[u8]) {
    let Some((&protocol, data)) = data.split_first() else { return };
    let Some((lengths, data)) = data.split_first_chunk::<LENGTHS>() else { return };
    let steps = if protocol % 2 == 1 { http2::spoken(data) } else { steps(data) };
    assert_eq!(read(&cut_by(&steps, lengths)).events, read(&steps).events);
}
