//! From a whole head to its parts, with httparse, which works in place. httparse takes some things two servers could
//! read differently; [`Block`](super::block::Block) has refused those before.

use std::mem::MaybeUninit;

use httparse::{ParserConfig, Status};

use super::{HEADERS_MAX, Unread, fields::Fields, target};
use crate::message::{BodyLength, Header, RequestHead, ResponseHead, Version};

/// Room for the fields of a head, on the stack of the caller and not written before it is used.
pub(super) type Room<'b> = [MaybeUninit<Header<'b>>; HEADERS_MAX];

pub(super) fn room<'b>() -> Room<'b> {
    [const { MaybeUninit::uninit() }; HEADERS_MAX]
}

/// Parses the head of a request and checks everything on which its meaning hangs.
pub(super) fn request<'r, 'b: 'r>(
    block: &'b [u8],
    room: &'r mut Room<'b>,
) -> Result<(RequestHead<'r>, Fields), Unread> {
    let mut parsed = httparse::Request::new(&mut []);
    let end = parsed.parse_with_uninit_headers(block, room);
    is_whole(block, end, Unread::RequestLine)?;
    let httparse::Request { method: Some(method), path: Some(target), version: Some(minor), headers } =
        parsed
    else {
        return Err(Unread::RequestLine);
    };
    let version = version(minor);
    let fields = Fields::read(block, version, headers)?;
    let body = match fields.length {
        _ if fields.chunked => BodyLength::Streamed,
        None | Some(0) => BodyLength::None,
        Some(length) => BodyLength::Known(length),
    };
    let head = RequestHead { method, target, version, headers, body, encrypted: false };
    target::check(&head)?;
    Ok((head, fields))
}

/// Parses the head of a response.
pub(super) fn response<'r, 'b: 'r>(
    block: &'b [u8],
    room: &'r mut Room<'b>,
) -> Result<(ResponseHead<'r>, Fields), Unread> {
    let mut parsed = httparse::Response::new(&mut []);
    let end = ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, block, room);
    is_whole(block, end, Unread::StatusLine)?;
    let httparse::Response { version: Some(minor), code: Some(status @ 100..), headers, .. } = parsed else {
        return Err(Unread::StatusLine);
    };
    let version = version(minor);
    let fields = Fields::read(block, version, headers)?;
    Ok((ResponseHead { status, version, headers }, fields))
}

/// Why a section was refused, as exactly as can be told. `first_line` is the reason when its first line is at fault.
pub(super) fn doubt(section: &[u8], error: httparse::Error, first_line: Unread) -> Unread {
    use httparse::Error;
    let followed_by_lf = |cr: usize| section.get(cr + 1) == Some(&b'\n');
    if error == Error::TooManyHeaders {
        Unread::TooManyHeaders
    } else if memchr::memchr_iter(b'\r', section).any(|cr| !followed_by_lf(cr)) {
        Unread::BareCr
    } else if section.iter().any(|byte| byte.is_ascii_control() && !b"\r\n\t".contains(byte)) {
        Unread::ControlByte
    } else {
        match error {
            Error::HeaderName => Unread::HeaderName,
            Error::HeaderValue => Unread::HeaderValue,
            Error::Version => Unread::Version,
            Error::TooManyHeaders | Error::NewLine | Error::Status | Error::Token => first_line,
        }
    }
}

fn is_whole(block: &[u8], end: httparse::Result<usize>, first_line: Unread) -> Result<(), Unread> {
    match end {
        Ok(Status::Complete(end)) if end == block.len() => Ok(()),
        // A block ends where httparse ends, so this does not happen; were it to, the two would disagree.
        Ok(_) => Err(first_line),
        Err(error) => Err(doubt(block, error, first_line)),
    }
}

/// httparse knows the two minor versions 0 and 1 only.
fn version(minor: u8) -> Version {
    if minor == 0 { Version::Http10 } else { Version::Http11 }
}
