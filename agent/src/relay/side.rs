//! One side of a relayed connection, as the relay sees it: plain TCP here, TLS in [`Secured`](super::tls::Secured).

use std::{
    io::{self, ErrorKind},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::net::TcpStream;

use super::buffer;

/// What a side said.
#[derive(Debug)]
pub enum Said {
    Bytes(Bytes),
    /// It will say nothing more, but its socket is still open: TLS's `close_notify`.
    LastWord,
    /// It has ended its stream.
    End,
}

/// Both directions of a connection use its sides in turn, on one task.
pub trait Side {
    fn socket(&self) -> &TcpStream;

    /// The socket, where what is said is just what goes over it.
    fn plain(&self) -> Option<&TcpStream> {
        None
    }

    /// What the side says next.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<Said>>;

    /// Writes the beginning of `bytes`; ready with its length once the kernel has it. While it is pending it is asked
    /// again with the same bytes.
    ///
    /// # Errors
    /// The side takes nothing more.
    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>>;

    /// Says that nothing more will be said, where the protocol has a word for it.
    ///
    /// # Errors
    /// The side takes nothing more.
    fn poll_last_word(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Side for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }

    fn plain(&self) -> Option<&TcpStream> {
        Some(self)
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<Said>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match buffer::read(self) {
                Ok(chunk) if chunk.is_empty() => return Poll::Ready(Ok(Said::End)),
                Ok(chunk) => return Poll::Ready(Ok(Said::Bytes(chunk))),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.try_write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(self.poll_write_ready(cx))?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_last_word(&self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
