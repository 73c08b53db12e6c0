//! What the tests of the HTTP/2 reader share: frames, written byte by byte, and conversations made of them.

mod binary;
mod hostile;
mod live;
mod messages;
mod splits;
mod streams;
mod upgrade;

use super::*;
use crate::wire::{
    Cut, Place, Reader, Skipped,
    tests::{Event, Recorder, Step, client, doubt, read, server},
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
/// The flags of a head without a body.
const ALONE: u8 = END_STREAM | END_HEADERS;

const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
const POST: [(&str, &str); 4] =
    [(":method", "POST"), (":scheme", "http"), (":authority", "a"), (":path", "/")];
const OK: [(&str, &str); 1] = [(":status", "200")];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Every field as a literal that no table remembers.
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let string = |text: &str| match text.len() {
        short @ 0..127 => [&[u8::try_from(short).unwrap()], text.as_bytes()].concat(),
        mut long => {
            let mut out = vec![127];
            long -= 127;
            while long >= 128 {
                out.push(u8::try_from(long % 128).unwrap() | 0x80);
                long /= 128;
            }
            out.push(u8::try_from(long).unwrap());
            out.extend(text.bytes());
            out
        }
    };
    fields.iter().flat_map(|(name, value)| [vec![0], string(name), string(value)].concat()).collect()
}

fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(1, flags, stream, &block(fields))
}

fn data(stream: u32, flags: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    frame(0, flags, stream, bytes.as_ref())
}

fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(4, 0, 0, &values.iter().flat_map(entry).collect::<Vec<_>>())
}

fn ack() -> Vec<u8> {
    frame(4, 1, 0, &[])
}

fn promise(stream: u32, promised: u32) -> Vec<u8> {
    frame(5, END_HEADERS, stream, &[&promised.to_be_bytes()[..], &block(&GET)].concat())
}

fn goaway(last: u32) -> Vec<u8> {
    frame(7, 0, 0, &[&last.to_be_bytes()[..], &[0; 4], b"bye"].concat())
}

fn continuation(stream: u32, flags: u8, fragment: &[u8]) -> Vec<u8> {
    frame(9, flags, stream, fragment)
}

/// Both sides' first words.
fn hello() -> Vec<Step> {
    let greeting = [PREFACE, &settings(&[(2, 0)])].concat();
    vec![client(greeting), server([settings(&[]), ack()].concat()), client(ack())]
}

/// A connection on which these things are said after the first words.
fn talk(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    hello().into_iter().chain(steps).collect()
}

/// A head and its fields, with some changed, added, or (where the value is empty) taken away.
fn with<'a>(head: &[(&'a str, &'a str)], fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let changed = |name: &str| fields.iter().any(|(other, _)| *other == name && name.starts_with(':'));
    let pseudo = fields.iter().filter(|(name, value)| name.starts_with(':') && !value.is_empty());
    let others = fields.iter().filter(|(name, _)| !name.starts_with(':'));
    let kept = head.iter().filter(|(name, _)| !changed(name));
    pseudo.chain(kept).chain(others).copied().collect()
}

/// What is told after the first words.
fn after(steps: impl IntoIterator<Item = Step>) -> Vec<Event> {
    read(&talk(steps))
}

fn reader(steps: &[Step]) -> Reader {
    let (mut reader, mut sink) = (Reader::new(), Recorder::default());
    steps.iter().for_each(|step| step.tell(&mut reader, &mut sink));
    reader
}
