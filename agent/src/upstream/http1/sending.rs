//! A request on its way to a socket: its head, then its body as it comes, framed as the head says. What a caller lends for
//! the body is dropped as soon as it is written.

use std::{
    io::{self, IoSlice, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use http::{
    HeaderMap, HeaderName, Request, Version,
    header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING},
};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::Broken;

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
const END_OF_CHUNK: &[u8] = b"\r\n";
const END_OF_LAST: &[u8] = b"\r\n0\r\n\r\n";

/// What is left of a request.
pub(super) struct Sending<B: Body> {
    body: B,
    framing: Framing,
    /// The head, sizes of chunks and trailers, as far as they are not written.
    before: Bytes,
    piece: Option<B::Data>,
    /// The end of the chunk.
    after: &'static [u8],
    /// Of the body nothing more is to come.
    ended: bool,
}

/// How the head says that the body ends.
enum Framing {
    None,
    /// This much is still to come.
    Sized(u64),
    /// By chunks; trailers that were not announced are left out (RFC 9110 §6.6.2).
    Chunked(Vec<HeaderName>),
}

impl<B: Body + Unpin> Sending<B> {
    pub(super) fn new(request: Request<B>) -> Self {
        let mut head = Vec::with_capacity(512);
        write_head(&request, &mut head);
        let (parts, body) = request.into_parts();
        let framing = Framing::of(&parts.headers);
        let ended = matches!(framing, Framing::None | Framing::Sized(0));
        Self { body, framing, before: head.into(), piece: None, after: &[], ended }
    }

    /// Ready when all of it is written.
    pub(super) fn poll<S: AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut S,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let mut waits = false;
            // Asked before the head is written, so that the two go together.
            while self.piece.is_none() && self.after.is_empty() && !self.ended && !waits {
                match self.next_piece(cx) {
                    Poll::Ready(more) => more?,
                    Poll::Pending => waits = true,
                }
            }
            while !self.is_written() {
                let count = ready!(self.write(cx, socket)).map_err(Broken::Io)?;
                self.advance(count);
            }
            ready!(Pin::new(&mut *socket).poll_flush(cx)).map_err(Broken::Io)?;
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if waits {
                return Poll::Pending;
            }
        }
    }

    fn is_written(&self) -> bool {
        self.before.is_empty() && self.piece.is_none() && self.after.is_empty()
    }

    /// Takes the next piece of the body, or its end.
    fn next_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
            Some(frame) => frame.map_err(|_| Broken::Stopped)?,
            None => {
                self.ended = true;
                return Poll::Ready(match self.framing {
                    Framing::Sized(1..) => Err(Broken::Stopped),
                    Framing::Chunked(_) => {
                        self.put_before(LAST_CHUNK);
                        Ok(())
                    }
                    Framing::Sized(0) | Framing::None => Ok(()),
                });
            }
        };
        match frame.into_data() {
            Ok(data) if data.has_remaining() => self.begin(data)?,
            Ok(_) => {}
            Err(frame) => {
                if let Ok(trailers) = frame.into_trailers() {
                    self.end(&trailers);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    fn begin(&mut self, data: B::Data) -> Result<(), Broken> {
        match &mut self.framing {
            Framing::Sized(left) => {
                *left = left.checked_sub(data.remaining() as u64).ok_or(Broken::Stopped)?;
                self.ended = *left == 0;
            }
            Framing::Chunked(_) => {
                let mut line = [0; 18];
                let mut rest = &mut line[..];
                // Sixteen digits at the most, and a line end.
                let _ = write!(rest, "{:X}\r\n", data.remaining());
                let left = rest.len();
                self.put_before(&line[..line.len() - left]);
                self.ended = self.body.is_end_stream();
                self.after = if self.ended { END_OF_LAST } else { END_OF_CHUNK };
            }
            Framing::None => return Err(Broken::Stopped),
        }
        self.piece = Some(data);
        Ok(())
    }

    fn end(&mut self, trailers: &HeaderMap) {
        self.ended = true;
        let Framing::Chunked(announced) = &self.framing else { return };
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers.iter().filter(|(name, _)| announced.contains(name)) {
            put_field(&mut end, name, value.as_bytes());
        }
        end.extend_from_slice(b"\r\n");
        self.put_before(&end);
    }

    /// After what waits already: the head, at the most.
    fn put_before(&mut self, text: &[u8]) {
        self.before = match self.before.is_empty() {
            true => Bytes::copy_from_slice(text),
            false => [&self.before, text].concat().into(),
        };
    }

    fn write<S: AsyncWrite + Unpin>(&self, cx: &mut Context<'_>, socket: &mut S) -> Poll<io::Result<usize>> {
        let piece = self.piece.as_ref().map_or(&[][..], Buf::chunk);
        let is_whole = self.piece.as_ref().is_none_or(|whole| whole.remaining() == piece.len());
        let slices = [&*self.before, piece, if is_whole { self.after } else { &[] }].map(IoSlice::new);
        let count = ready!(Pin::new(socket).poll_write_vectored(cx, &slices))?;
        Poll::Ready(if count > 0 { Ok(count) } else { Err(io::ErrorKind::WriteZero.into()) })
    }

    fn advance(&mut self, mut count: usize) {
        let of_before = count.min(self.before.len());
        self.before.advance(of_before);
        count -= of_before;
        if let Some(piece) = &mut self.piece {
            let of_piece = count.min(piece.remaining());
            piece.advance(of_piece);
            count -= of_piece;
            if !piece.has_remaining() {
                self.piece = None;
            }
        }
        self.after = &self.after[count.min(self.after.len())..];
    }
}

impl Framing {
    fn of(headers: &HeaderMap) -> Self {
        if headers.contains_key(TRANSFER_ENCODING) {
            let announced = headers.get_all(TRAILER).iter().filter_map(|list| list.to_str().ok());
            let names =
                announced.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok());
            return Self::Chunked(names.collect());
        }
        let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        length.map_or(Self::None, Self::Sized)
    }
}

fn write_head<B>(request: &Request<B>, head: &mut Vec<u8>) {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let version: &[u8] =
        if request.version() == Version::HTTP_10 { b"HTTP/1.0\r\n" } else { b"HTTP/1.1\r\n" };
    for part in [request.method().as_str().as_bytes(), b" ", path.as_bytes(), b" ", version] {
        head.extend_from_slice(part);
    }
    for (name, value) in request.headers() {
        put_field(head, name, value.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}

fn put_field(text: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    for part in [name.as_str().as_bytes(), b": ", value, b"\r\n"] {
        text.extend_from_slice(part);
    }
}
