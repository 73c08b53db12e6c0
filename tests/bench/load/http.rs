//! As much HTTP/1.1 as the bench's own ends speak: heads, and bodies with a Content-Length.

use std::io::{self, Read};

/// Reads messages one after the other; what came too early is kept for the next.
pub(crate) struct Messages<S> {
    pub(crate) stream: S,
    buffer: Vec<u8>,
    filled: usize,
}

/// The most a head may take, and what is read at once of a body.
const BUFFER: usize = 256 << 10;

/// What a first line says, the length of the head, and of the body; None before the head is there.
type Parsed<T> = Result<Option<(T, usize, u64)>, httparse::Error>;

impl<S: Read> Messages<S> {
    pub(crate) fn of(stream: S) -> Self {
        Self { stream, buffer: vec![0; BUFFER], filled: 0 }
    }

    /// Goes on with another connection, in the same memory.
    pub(crate) fn go_on_with(&mut self, stream: S) {
        self.stream = stream;
        self.filled = 0;
    }

    /// Waits until the other side closes, as it said it would.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match self.more() {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            Err(error) => Err(error),
            Ok(()) => Err(io::Error::other("more than an answer")),
        }
    }

    /// Reads a whole answer and tells its status.
    pub(crate) fn answer(&mut self) -> io::Result<u16> {
        let (status, head, body) = self.head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut answer = httparse::Response::new(&mut headers);
            let httparse::Status::Complete(head) = answer.parse(bytes)? else { return Ok(None) };
            Ok(Some((answer.code.unwrap_or(0), head, content_length(answer.headers))))
        })?;
        self.skip(head, body)?;
        Ok(status)
    }

    /// Reads a whole request.
    pub(crate) fn request(&mut self) -> io::Result<()> {
        let ((), head, body) = self.head(|bytes| {
            let mut headers = [httparse::EMPTY_HEADER; 32];
            let mut request = httparse::Request::new(&mut headers);
            let httparse::Status::Complete(head) = request.parse(bytes)? else { return Ok(None) };
            Ok(Some(((), head, content_length(request.headers))))
        })?;
        self.skip(head, body)
    }

    fn head<T>(&mut self, parse: impl Fn(&[u8]) -> Parsed<T>) -> io::Result<(T, usize, u64)> {
        loop {
            let parsed = parse(&self.buffer[..self.filled]).map_err(io::Error::other)?;
            if let Some(found) = parsed {
                return Ok(found);
            }
            self.more()?;
        }
    }

    /// Takes a head and its body out of the stream.
    fn skip(&mut self, head: usize, body: u64) -> io::Result<()> {
        let mut left = body;
        self.take(head);
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.filled);
            self.take(here);
            left -= here as u64;
            if left == 0 {
                return Ok(());
            }
            self.more()?;
        }
    }

    fn take(&mut self, count: usize) {
        self.buffer.copy_within(count..self.filled, 0);
        self.filled -= count;
    }

    fn more(&mut self) -> io::Result<()> {
        let read = self.stream.read(&mut self.buffer[self.filled..])?;
        self.filled += read;
        if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }
}

fn content_length(headers: &[httparse::Header<'_>]) -> u64 {
    let header = headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    header.and_then(|header| str::from_utf8(header.value).ok()?.trim().parse().ok()).unwrap_or(0)
}
