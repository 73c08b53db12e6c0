//! HTTP/2 conversations put together from frames that are mostly legal, in header compression that mostly decodes, so
//! that mutations reach streams and tables: what [`http2`](super::http2) asks, of these.

use arbitrary::{Result, Unstructured};

use super::{
    http1::same_however_cut,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITISED,
        PRIORITY, PUSH_PROMISE, RST_STREAM, SETTINGS, WINDOW_UPDATE, frame,
    },
};
use crate::{Step, Target, read};

pub(crate) const TARGET: Target = Target {
    name: "frames",
    run,
    max_len: 2048,
    words: Vec::new,
    seeds: || vec![vec![1; 200], vec![9; 600]],
};

/// Full entries of the static table (RFC 7541 Appendix A): GET, POST, /, http, 200, 204, 304, 404.
const INDEXED: &[u8] = &[2, 3, 4, 6, 8, 9, 11, 13];
const FIELDS: &[(&str, &str)] = &[
    (":authority", "a"),
    (":method", "HEAD"),
    (":method", "CONNECT"),
    (":protocol", "websocket"),
    (":path", "/x?y"),
    (":path", "*"),
    (":status", "103"),
    (":status", "101"),
    ("host", "a"),
    ("host", "b"),
    ("content-length", "3"),
    ("content-length", "0"),
    ("cookie", "a=b"),
    ("x", "y"),
    ("x", ""),
    ("te", "trailers"),
    ("te", "gzip"),
    ("connection", "close"),
    ("Upper", "y"),
    ("x", "a\r\nb"),
    ("", "y"),
];

const SETTING_VALUES: &[(u16, u32)] =
    &[(1, 0), (1, 64), (1, 4096), (1, 65_536), (2, 0), (4, 65_535), (5, 16_384), (5, 100_000)];

fn run(data: &[u8]) {
    // Bytes that are used up read as zeros: there is no error.
    let steps = conversation(&mut Unstructured::new(data)).unwrap_or_default();
    let whole = read(&steps);
    same_however_cut(&steps, &whole.events, data.len() as u64);
}

fn conversation(bytes: &mut Unstructured<'_>) -> Result<Vec<Step>> {
    let ack = frame(SETTINGS, 1, 0, b"");
    let mut steps = vec![
        Step::Client([PREFACE, &settings(bytes)?].concat()),
        Step::Server([settings(bytes)?, ack.clone()].concat()),
        Step::Client(ack.clone()),
    ];
    let mut streams = 0;
    while !bytes.is_empty() && steps.len() < 60 {
        let client = bytes.ratio(3, 5)?;
        if client && bytes.ratio(1, 3)? {
            streams += 1;
        }
        // Mostly the newest, now and then an older one, one never opened, or one of the server's.
        let stream = match bytes.int_in_range(0..=9)? {
            0..=6 => (2_u32 * streams).saturating_sub(1).max(1),
            7 | 8 => 2 * bytes.int_in_range(0..=streams)? + 1,
            _ => 2 * bytes.int_in_range(0..=2)?,
        };
        let end = u8::from(bytes.ratio(1, 2)?) * END_STREAM;
        let said = match bytes.int_in_range(0..=15)? {
            0..=5 => head(bytes, client, stream, end)?,
            6..=9 => data(bytes, stream, end)?,
            10 => frame(RST_STREAM, 0, stream, b"\0\0\0\x08"),
            11 => settings(bytes)?,
            12 => ack.clone(),
            13 if !client => {
                let promised = u32::from(bytes.arbitrary::<u8>()?);
                frame(
                    PUSH_PROMISE,
                    END_HEADERS,
                    stream,
                    &[&promised.to_be_bytes()[..], &block(bytes)?].concat(),
                )
            }
            13 | 14 => [frame(PING, 0, 0, &[0; 8]), frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\x01")].concat(),
            _ => match bytes.int_in_range(0..=3)? {
                0 => frame(GOAWAY, 0, 0, &[&stream.to_be_bytes()[..], &[0; 4]].concat()),
                1 => frame(PRIORITY, 0, stream, &[0; 5]),
                2 => vec![bytes.arbitrary()?; 3],
                _ => {
                    steps.push(if client { Step::ClientEof } else { Step::ServerEof });
                    continue;
                }
            },
        };
        steps.push(if client { Step::Client(said) } else { Step::Server(said) });
    }
    Ok(steps)
}

fn settings(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut payload = Vec::new();
    for _ in 0..bytes.int_in_range(0..=2)? {
        let (id, value) = bytes.choose(SETTING_VALUES)?;
        payload.extend(id.to_be_bytes());
        payload.extend(value.to_be_bytes());
    }
    Ok(frame(SETTINGS, 0, 0, &payload))
}

fn data(bytes: &mut Unstructured<'_>, stream: u32, end: u8) -> Result<Vec<u8>> {
    let mut payload = vec![b'x'; bytes.int_in_range(0..=4)?];
    let padding = bytes.int_in_range(0..=3_u8)?;
    let flags = if padding > 0 { PADDED } else { 0 };
    if padding > 0 {
        payload.insert(0, padding - u8::from(bytes.ratio(7, 8)?));
        payload.resize(payload.len() + usize::from(padding) - 1, 0);
    }
    Ok(frame(DATA, flags | end, stream, &payload))
}

/// A head, or trailers: in one frame or in several.
fn head(bytes: &mut Unstructured<'_>, client: bool, stream: u32, end: u8) -> Result<Vec<u8>> {
    let mut text = match bytes.int_in_range(0..=7)? {
        0 => Vec::new(),
        // GET http://a/, POST, 200: enough to be told of.
        _ if client => [&[0x82 + bytes.int_in_range(0..=1)?, 0x86, 0x84][..], b"\x01\x01a"].concat(),
        _ => vec![0x88],
    };
    text.extend(block(bytes)?);
    let mut flags = end;
    let mut payload = Vec::new();
    if bytes.ratio(1, 8)? {
        flags |= PRIORITISED;
        payload.extend([0, 0, 0, 0, 9]);
    }
    if bytes.ratio(3, 4)? {
        payload.extend(text);
        return Ok(frame(HEADERS, flags | END_HEADERS, stream, &payload));
    }
    let (first, rest) = text.split_at(bytes.int_in_range(0..=text.len())?);
    payload.extend(first);
    let middle = if bytes.ratio(1, 2)? { frame(CONTINUATION, 0, stream, b"") } else { Vec::new() };
    Ok([frame(HEADERS, flags, stream, &payload), middle, frame(CONTINUATION, END_HEADERS, stream, rest)]
        .concat())
}

/// Some fields, in every representation there is (RFC 7541 §6).
fn block(bytes: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    if bytes.ratio(1, 8)? {
        // The table's size: 0, 30, 64, 4096.
        text.extend(*bytes.choose(&[&b"\x20"[..], b"\x3e", b"\x3f\x21", b"\x3f\xe1\x1f"])?);
    }
    for _ in 0..bytes.int_in_range(0..=4)? {
        let (name, value) = bytes.choose(FIELDS)?;
        let string = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
        let dynamic = || 62_u8;
        match bytes.int_in_range(0..=9_u8)? {
            0 => text.push(0x80 | bytes.choose(INDEXED)?),
            1 => text.push(0x80 | (dynamic() + bytes.int_in_range(0..=3)?)),
            // The name of a dynamic entry, the value a literal; in the table or not.
            2 => text.extend([&[0x40 | dynamic()][..], &string(value)].concat()),
            3 => text.extend([&[0x0f, dynamic() - 15][..], &string(value)].concat()),
            // Huffman: "a", and what is no code.
            4 => text.extend([&[0x40][..], &string(name), b"\x81\x1f"].concat()),
            5 if bytes.ratio(1, 8)? => text.extend([&[0x40][..], &string(name), b"\x81\xff"].concat()),
            kind => {
                let first = [0x00, 0x10, 0x40, 0x40][usize::from(kind) % 4];
                text.extend([&[first][..], &string(name), &string(value)].concat());
            }
        }
    }
    Ok(text)
}
