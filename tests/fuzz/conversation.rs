//! What the targets of the readers share, and the suite of strictness: a conversation, written as bytes or not, and
//! cuts of it.

use bytes::Bytes;
use fastrand::Rng;
use umbra::wire::Reader;

use crate::Recorder;

/// What happens on a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    Client(Vec<u8>),
    Server(Vec<u8>),
    ClientEof,
    ServerEof,
}

/// The client speaks first. `FF C` and `FF S` change the speaker, `FF c` and `FF s` end a side, `FF` before anything
/// else is that other byte.
pub fn steps(data: &[u8]) -> Vec<Step> {
    let mut steps = vec![Step::Client(Vec::new())];
    let mut bytes = data.iter();
    while let Some(&byte) = bytes.next() {
        let spoken = match byte {
            0xff => match bytes.next() {
                Some(b'C') => Err(Step::Client(Vec::new())),
                Some(b'S') => Err(Step::Server(Vec::new())),
                Some(b'c') => Err(Step::ClientEof),
                Some(b's') => Err(Step::ServerEof),
                Some(&other) => Ok(other),
                None => break,
            },
            byte => Ok(byte),
        };
        match (spoken, steps.last_mut()) {
            (Ok(byte), Some(Step::Client(said) | Step::Server(said))) => said.push(byte),
            (Ok(byte), _) => steps.push(Step::Client(vec![byte])),
            (Err(step), _) => steps.push(step),
        }
    }
    steps
}

/// The same steps in pieces of at most this many bytes.
pub fn cut(steps: &[Step], longest: usize, rng: &mut Rng) -> Vec<Step> {
    pieces(steps, || rng.usize(1..=longest))
}

/// The same steps in pieces of these lengths, over and over again.
pub fn cut_by(steps: &[Step], lengths: &[u8]) -> Vec<Step> {
    let mut lengths = lengths.iter().cycle();
    pieces(steps, || usize::from(*lengths.next().unwrap_or(&0)) + 1)
}

fn pieces(steps: &[Step], mut length: impl FnMut() -> usize) -> Vec<Step> {
    let mut pieces = Vec::new();
    for step in steps {
        let (bytes, made): (_, fn(Vec<u8>) -> Step) = match step {
            Step::Client(bytes) => (bytes, Step::Client),
            Step::Server(bytes) => (bytes, Step::Server),
            Step::ClientEof | Step::ServerEof => {
                pieces.push(step.clone());
                continue;
            }
        };
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(length().min(rest.len()));
            pieces.push(made(piece.to_vec()));
            rest = after;
        }
    }
    pieces
}

impl Step {
    /// Tells a reader of this.
    pub fn tell(&self, reader: &mut Reader, sink: &mut Recorder) {
        match self {
            Self::Client(bytes) => reader.request(&Bytes::copy_from_slice(bytes), sink),
            Self::Server(bytes) => reader.response(&Bytes::copy_from_slice(bytes), sink),
            Self::ClientEof => reader.request_eof(sink),
            Self::ServerEof => reader.response_eof(sink),
        }
    }
}

/// Everything a reader tells of a connection.
pub fn read(steps: &[Step]) -> Recorder {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    for step in steps {
        let stopped = reader.stopped();
        let told = sink.events.len();
        step.tell(&mut reader, &mut sink);
        assert!(!stopped || reader.stopped() && sink.events.len() == told, "it went on after its end");
        assert!(!reader.idle() || sink.open() == 0, "idle with an exchange open");
    }
    assert_eq!(reader.stopped(), sink.unread.is_some());
    sink
}
