//! How the bytes were cut into chunks must not matter, for legal conversations and for spoilt ones.

use fastrand::Rng;
use proptest::prelude::*;

use super::*;
use crate::wire::tests::splits::{cut, spoil};

/// The frames of a header block: one literal in three is remembered, some blocks are continued, padded or prioritised.
fn head(stream: u32, end: bool, fields: &[(&str, &str)], rng: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for field in fields {
        let mut literal = block(&[*field]);
        literal[0] = [0x00, 0x10, 0x40][rng.usize(..3)];
        text.extend(literal);
    }
    let first = rng.usize(..=text.len());
    let (first, rest) = if rng.bool() { text.split_at(first) } else { (&text[..], &[][..]) };
    let mut flags = (u8::from(end) * END_STREAM) | (u8::from(rest.is_empty()) * END_HEADERS);
    let padding = rng.u8(..9);
    let mut payload = Vec::new();
    if rng.bool() {
        flags |= PADDED;
        payload.push(padding);
    }
    if rng.bool() {
        flags |= PRIORITY;
        payload.extend([0, 0, 0, 0, 9]);
    }
    payload.extend(first);
    if flags & PADDED != 0 {
        payload.extend(vec![0; usize::from(padding)]);
    }
    let mut frames = frame(1, flags, stream, &payload);
    if !rest.is_empty() {
        let (middle, last) = rest.split_at(rng.usize(..rest.len()));
        frames.extend(continuation(stream, 0, middle));
        frames.extend(continuation(stream, END_HEADERS, last));
    }
    frames
}

/// The frames of one message, each of them whole.
fn message(stream: u32, fields: &[(&str, &str)], rng: &mut Rng) -> Vec<Vec<u8>> {
    let (pieces, trailers) = (rng.usize(..4), rng.usize(..4) == 0);
    let mut frames = vec![head(stream, pieces == 0 && !trailers, fields, rng)];
    for piece in 1..=pieces {
        let end = u8::from(piece == pieces && !trailers) * END_STREAM;
        let text = vec![b'a' + rng.u8(..26); rng.usize(..40)];
        frames.push(match rng.bool() {
            true => data(stream, end, text),
            false => data(stream, end | PADDED, [&[5][..], &text, &[0; 5]].concat()),
        });
    }
    if trailers {
        frames.push(head(stream, true, &[("x-sum", "1")], rng));
    }
    if rng.usize(..8) == 0 {
        frames.truncate(rng.usize(1..=frames.len()));
        frames.push(reset(stream));
    }
    frames
}

/// Some exchanges at once, and what else is said meanwhile.
fn conversation(rng: &mut Rng) -> Vec<Step> {
    let mut steps = hello();
    // Of each stream, what is still to be sent by either side, in reverse.
    let mut open: Vec<[Vec<Vec<u8>>; 2]> = Vec::new();
    let mut to_begin = rng.u32(1..6);
    let mut next = 1;
    while to_begin > 0 || !open.is_empty() {
        match rng.usize(..8) {
            0 => steps.push(client(frame(6, 0, 0, &[7; 8]))),
            1 => steps.push(server(frame(8, 0, 0, &[0, 0, 1, 0]))),
            2 => steps.extend([client(settings(&[(1, 100)])), server(ack())]),
            3 if to_begin > 0 => {
                to_begin -= 1;
                let length = rng.usize(..9).to_string();
                let fields = if rng.bool() {
                    with(&POST, &[("x", "y")])
                } else {
                    with(&POST, &[("content-length", &length)])
                };
                let mut request = message(next, &fields, rng);
                steps.push(client(request.remove(0)));
                let mut response = message(next, &OK, rng);
                if rng.bool() {
                    response.insert(0, head(next, false, &[(":status", "103")], rng));
                }
                request.reverse();
                response.reverse();
                open.push([request, response]);
                next += 2;
            }
            _ if open.is_empty() => {}
            _ => {
                let at = rng.usize(..open.len());
                let side = rng.usize(..2);
                if let Some(frames) = open[at][side].pop() {
                    steps.push(if side == 0 { client(frames) } else { server(frames) });
                }
                open.retain(|sides| sides.iter().any(|frames| !frames.is_empty()));
            }
        }
    }
    steps
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_a_conversation_is_read_alike(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let steps = conversation(&mut rng);
        let whole = read(&steps);
        for _ in 0..3 {
            prop_assert_eq!(&read(&cut(&steps, &mut rng)), &whole);
        }
    }

    #[test]
    fn any_cut_of_a_spoilt_conversation_is_read_alike(seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let steps = conversation(&mut rng);
        for _ in 0..3 {
            let mut steps = steps.clone();
            spoil(&mut steps, &mut rng);
            let whole = read(&steps);
            for _ in 0..2 {
                prop_assert_eq!(&read(&cut(&steps, &mut rng)), &whole);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, answer: Vec<u8>, flags: u8, kind in 0..11_u8, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let asked = client([headers(1, END_HEADERS, &POST), frame(kind, flags, 1, &bytes), bytes.clone()].concat());
        let steps = talk([asked, server([frame(kind, flags, 1, &answer), answer].concat()), Step::ServerEof]);
        prop_assert_eq!(read(&cut(&steps, &mut rng)), read(&steps));
    }
}
