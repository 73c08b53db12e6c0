//! How the bytes were cut into chunks must not matter, for legal conversations and for spoilt ones.

use fastrand::Rng;
use proptest::prelude::*;

use super::{
    conversation::{Conversation, conversation},
    *,
};

/// The same steps in smaller pieces.
pub(in crate::wire) fn cut(steps: &[Step], rng: &mut Rng) -> Vec<Step> {
    let longest = [1, 3, 20, 200][rng.usize(..4)];
    let mut pieces = Vec::new();
    for step in steps {
        let (bytes, made): (_, fn(&[u8]) -> Step) = match step {
            Step::Client(bytes) => (bytes, |piece| client(piece)),
            Step::Server(bytes) => (bytes, |piece| server(piece)),
            Step::ClientEof | Step::ServerEof => {
                pieces.push(step.clone());
                continue;
            }
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rng.usize(1..=longest.min(rest.len())));
            pieces.push(made(piece));
            rest = after;
        }
    }
    pieces
}

/// Changes, removes or doubles a byte in a few places, with a liking for the bytes that matter.
pub(in crate::wire) fn spoil(steps: &mut [Step], rng: &mut Rng) {
    for _ in 0..rng.usize(1..4) {
        let step = rng.usize(..steps.len());
        let (Step::Client(bytes) | Step::Server(bytes)) = &mut steps[step] else { continue };
        if bytes.is_empty() {
            continue;
        }
        let at = rng.usize(..bytes.len());
        match rng.usize(..4) {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, bytes[at]),
            2 => bytes[at] = rng.u8(..),
            _ => bytes[at] = b"\r\n \t:;,0f\0\x7f\xa0"[rng.usize(..12)],
        }
    }
}

/// Everything a reader tells of a connection, of whose responses it is shown what needs a look, and some of the rest.
fn read_but_for_data(steps: &[Step], rng: &mut Rng) -> Vec<Event> {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    for step in steps {
        let Step::Server(bytes) = step else {
            step.tell(&mut reader, &mut sink);
            continue;
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let ahead = usize::try_from(reader.response_ahead()).unwrap_or(usize::MAX).min(rest.len());
            let unseen = ahead > 0 && rng.bool();
            let most = if unseen { ahead } else { rest.len() };
            let (piece, after) = rest.split_at(rng.usize(1..=most));
            match unseen {
                true => reader.response_passed(piece.len() as u64, &mut sink),
                false => reader.response(&Bytes::copy_from_slice(piece), &mut sink),
            }
            rest = after;
        }
    }
    sink.events
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_cut_of_a_legal_conversation_is_read_as_it_was_meant(talk in conversation(), seed: u64) {
        let mut rng = Rng::with_seed(seed);
        prop_assert_eq!(&read(&talk.steps), &talk.events);
        for _ in 0..4 {
            prop_assert_eq!(&read(&cut(&talk.steps, &mut rng)), &talk.events);
        }
    }

    #[test]
    fn the_messages_of_a_conversation_are_all_its_bytes(talk in conversation()) {
        let (mut requests, mut responses) = (0, 0);
        for event in read(&talk.steps) {
            match event {
                Event::RequestEnd(_, _, wire_bytes) => requests += wire_bytes,
                Event::ResponseEnd(_, wire_bytes) => responses += wire_bytes,
                _ => {}
            }
        }
        let sent = |talk: &Conversation| talk.bytes(|step| if let Step::Client(bytes) = step { Some(bytes) } else { None });
        let answered = |talk: &Conversation| talk.bytes(|step| if let Step::Server(bytes) = step { Some(bytes) } else { None });
        prop_assert_eq!((requests, responses), (sent(&talk), answered(&talk)));
    }

    #[test]
    fn answers_that_go_by_unseen_are_told_as_if_they_had_been_seen(talk in conversation(), seed: u64, spoilt: bool) {
        let mut rng = Rng::with_seed(seed);
        let mut steps = talk.steps;
        if spoilt {
            spoil(&mut steps, &mut rng);
        }
        prop_assert_eq!(read_but_for_data(&steps, &mut rng), read(&steps));
    }

    #[test]
    fn any_cut_of_a_spoilt_conversation_is_read_alike(talk in conversation(), seed: u64) {
        let mut rng = Rng::with_seed(seed);
        for _ in 0..3 {
            let mut steps = talk.steps.clone();
            spoil(&mut steps, &mut rng);
            let whole = read(&steps);
            for _ in 0..2 {
                prop_assert_eq!(&read(&cut(&steps, &mut rng)), &whole);
            }
        }
    }

    #[test]
    fn random_bytes_never_panic(mut bytes: Vec<u8>, answer: Vec<u8>, seed: u64) {
        let mut rng = Rng::with_seed(seed);
        let mut request = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        request.append(&mut bytes);
        let steps = [client(request), server(answer), Step::ServerEof, Step::ClientEof];
        prop_assert_eq!(read(&cut(&steps, &mut rng)), read(&steps));
    }
}
