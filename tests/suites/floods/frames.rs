//! HTTP/2 frames (RFC 9113 §6), byte by byte.

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

/// Header blocks: `GET http://a/` and `POST http://a/`.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x01\x01a";
pub(crate) const POST: &[u8] = b"\x83\x86\x84\x01\x01a";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

pub(crate) fn data(stream: u32, bytes: &[u8]) -> Vec<u8> {
    frame(0, 0, stream, bytes)
}

pub(crate) fn head(stream: u32, flags: u8, block: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, block)
}

/// A whole request.
pub(crate) fn get(stream: u32) -> Vec<u8> {
    head(stream, END_HEADERS | END_STREAM, GET)
}

pub(crate) fn priority(stream: u32) -> Vec<u8> {
    frame(2, 0, stream, &[0, 0, 0, 0, 9])
}

pub(crate) fn reset(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &8_u32.to_be_bytes())
}

pub(crate) fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let entry = |(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
    frame(4, 0, 0, &values.iter().flat_map(entry).collect::<Vec<_>>())
}

pub(crate) fn ping() -> Vec<u8> {
    frame(6, 0, 0, &[7; 8])
}

/// By one byte.
pub(crate) fn window_update(stream: u32) -> Vec<u8> {
    frame(8, 0, stream, &1_u32.to_be_bytes())
}

pub(crate) fn continuation(stream: u32, flags: u8, fragment: &[u8]) -> Vec<u8> {
    frame(9, flags, stream, fragment)
}

/// At the beginning of a block: the table's new size (RFC 7541 §6.3), 0 or 4096.
pub(crate) fn table_size(size: u16) -> Vec<u8> {
    if size == 0 { vec![0x20] } else { vec![0x3f, 0xe1, 0x1f] }
}
