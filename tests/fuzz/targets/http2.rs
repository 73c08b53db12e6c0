//! Frames of both directions after the client's preface: what [`http1`](super::http1) asks, of many streams at once.

use super::http1::same_however_cut;
use crate::{Step, Target, read, steps};

pub(crate) const TARGET: Target = Target { name: "http2", run, max_len: 4096, words, seeds };

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

// Types and flags of frames (RFC 9113 §6).
pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const PRIORITY: u8 = 2;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PUSH_PROMISE: u8 = 5;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;
pub(super) const CONTINUATION: u8 = 9;
pub(super) const END_STREAM: u8 = 1;
pub(super) const END_HEADERS: u8 = 4;
pub(super) const PADDED: u8 = 8;
pub(super) const PRIORITISED: u8 = 0x20;

/// `GET http://a/`: three fields of the static table and a literal authority.
const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
const POST: &[u8] = b"\x83\x86\x84\x01\x01a";
/// `:status: 200`
const OK: &[u8] = b"\x88";
/// A literal that enters the dynamic table, and a reference to it.
const LEARN: &[u8] = b"\x40\x01x\x01y";
const LEARNT: &[u8] = b"\xbe";

pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// As `steps` reads it.
fn said(by: u8, frames: &[Vec<u8>]) -> Vec<u8> {
    let bytes =
        frames.concat().into_iter().flat_map(|byte| if byte == 0xff { vec![byte; 2] } else { vec![byte] });
    [0xff, by].into_iter().chain(bytes).collect()
}

fn words() -> Vec<String> {
    // Frames are bytes: mutations find them in the seeds.
    Vec::new()
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let settings = frame(SETTINGS, 0, 0, b"\0\x01\0\0\x10\0");
    let ack = frame(SETTINGS, 1, 0, b"");
    let get = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, GET);
    let ok = |stream| frame(HEADERS, END_HEADERS | END_STREAM, stream, OK);
    let conversation = |client: &[Vec<u8>], server: &[Vec<u8>]| {
        let begin = [said(b'C', &[frame(SETTINGS, 0, 0, b"")]), said(b'S', &[settings.clone(), ack.clone()])];
        [begin.concat(), said(b'C', std::slice::from_ref(&ack)), said(b'C', client), said(b'S', server)]
            .concat()
    };
    let learning = |end| [GET, if end { LEARNT } else { LEARN }].concat();
    vec![
        conversation(&[get(1), get(3)], &[ok(3), ok(1)]),
        conversation(
            &[
                frame(HEADERS, END_HEADERS, 1, POST),
                frame(DATA, PADDED, 1, b"\x02body\0\0"),
                frame(DATA, 0, 1, b"more"),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, LEARN),
            ],
            &[frame(HEADERS, END_HEADERS, 1, OK), frame(DATA, END_STREAM, 1, b"answer")],
        ),
        conversation(
            &[
                frame(HEADERS, END_STREAM, 1, &learning(false)),
                frame(CONTINUATION, END_HEADERS, 1, b""),
                frame(HEADERS, END_HEADERS | END_STREAM, 3, &learning(true)),
            ],
            &[ok(1), frame(RST_STREAM, 0, 3, b"\0\0\0\x08")],
        ),
        conversation(
            &[get(1), frame(RST_STREAM, 0, 1, b"\0\0\0\x08"), get(3)],
            &[
                frame(PUSH_PROMISE, END_HEADERS, 3, &[b"\0\0\0\x02", GET].concat()),
                ok(3),
                frame(GOAWAY, 0, 0, b"\0\0\0\x03\0\0\0\0"),
            ],
        ),
    ]
}

fn run(data: &[u8]) {
    let steps = spoken(data);
    let whole = read(&steps);
    same_however_cut(&steps, &whole.events, data.len() as u64);
}

/// The conversation after the client's preface.
pub(super) fn spoken(data: &[u8]) -> Vec<Step> {
    let mut steps = steps(data);
    if let Some(Step::Client(first)) = steps.first_mut() {
        first.splice(..0, PREFACE.iter().copied());
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Event;

    /// A seed that is refused at its beginning leads a fuzzer nowhere.
    #[test]
    fn every_seed_is_read_to_its_end() {
        for seed in seeds() {
            let events = read(&spoken(&seed)).events;
            let count = |is: fn(&Event) -> bool| events.iter().filter(|event| is(event)).count();
            assert!(count(|event| matches!(event, Event::RequestEnd(..))) > 0, "{events:?}");
            assert!(count(|event| matches!(event, Event::ResponseEnd(..))) > 0, "{events:?}");
            assert_eq!(count(|event| matches!(event, Event::Unread(_))), 0, "{events:?}");
        }
    }
}
