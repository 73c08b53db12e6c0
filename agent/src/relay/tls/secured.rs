//! One side of a relayed connection that speaks TLS. Bytes count as written when they are encrypted and the kernel has
//! them, so a slow peer slows the other one as it would without us: what is held is one chunk each way.

use std::{
    cell::RefCell,
    future::poll_fn,
    io::{self, BufRead as _, ErrorKind, IoSlice, Read, Write},
    mem,
    task::{Context, Poll, ready},
};

use rustls::Connection;
use tokio::net::TcpStream;

use crate::relay::{Said, Side, buffer};

/// A socket and the TLS on it.
#[derive(Debug)]
pub struct Secured {
    socket: TcpStream,
    /// Both directions of a connection are polled by one task, one after the other.
    tls: RefCell<Tls>,
}

#[derive(Debug)]
struct Tls {
    connection: Box<Connection>,
    /// Of the bytes that are being written: encrypted, and not with the kernel yet.
    taken: usize,
    /// The peer's `close_notify` came.
    heard_last_word: bool,
    said_last_word: bool,
}

impl Secured {
    pub(super) fn new(socket: TcpStream, connection: impl Into<Connection>) -> Self {
        let connection = Box::new(connection.into());
        let tls = Tls { connection, taken: 0, heard_last_word: false, said_last_word: false };
        Self { socket, tls: RefCell::new(tls) }
    }

    /// Completes the handshake.
    ///
    /// # Errors
    /// The peer does not agree, or is gone; it was told where that is possible.
    pub(super) async fn shake_hands(&self) -> io::Result<()> {
        poll_fn(|cx| {
            let mut tls = self.tls.borrow_mut();
            loop {
                ready!(tls.poll_flush(&self.socket, cx))?;
                if !tls.connection.is_handshaking() {
                    return Poll::Ready(Ok(()));
                }
                if ready!(tls.poll_receive(&self.socket, cx))? == 0 {
                    return Poll::Ready(Err(ErrorKind::UnexpectedEof.into()));
                }
            }
        })
        .await
    }

    /// What was agreed upon in the handshake.
    pub(super) fn agreed<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.tls.borrow().connection)
    }
}

impl Side for Secured {
    fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn poll_read(&self, cx: &mut Context<'_>) -> Poll<io::Result<Said>> {
        let mut tls = self.tls.borrow_mut();
        // Session tickets, answers to key updates: a socket that does not take them shows when it is written to.
        let _ = tls.poll_flush(&self.socket, cx);
        loop {
            if tls.heard_last_word {
                return self.poll_end(cx);
            }
            let mut reader = tls.connection.reader();
            match reader.fill_buf() {
                Ok([]) => {
                    tls.heard_last_word = true;
                    return Poll::Ready(Ok(Said::LastWord));
                }
                Ok(plain) => {
                    let chunk = buffer::copy(plain);
                    reader.consume(chunk.len());
                    return Poll::Ready(Ok(Said::Bytes(chunk)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // Without a last word: passed on as it came.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Poll::Ready(Ok(Said::End)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            ready!(tls.poll_receive(&self.socket, cx))?;
        }
    }

    fn poll_write(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut tls = self.tls.borrow_mut();
        if tls.taken == 0 {
            ready!(tls.poll_flush(&self.socket, cx))?;
            tls.taken = tls.connection.writer().write(bytes)?;
        }
        ready!(tls.poll_flush(&self.socket, cx))?;
        Poll::Ready(Ok(mem::take(&mut tls.taken)))
    }

    fn poll_last_word(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut tls = self.tls.borrow_mut();
        if !mem::replace(&mut tls.said_last_word, true) {
            tls.connection.send_close_notify();
        }
        tls.poll_flush(&self.socket, cx)
    }
}

impl Secured {
    /// After the last word. Whatever else comes is ignored (RFC 8446 §6.1).
    fn poll_end(&self, cx: &mut Context<'_>) -> Poll<io::Result<Said>> {
        loop {
            ready!(self.socket.poll_read_ready(cx))?;
            match self.socket.try_read(&mut [0; 1024]) {
                Ok(0) => return Poll::Ready(Ok(Said::End)),
                Err(error) if !passes(&error) => return Poll::Ready(Err(error)),
                _ => {}
            }
        }
    }
}

impl Tls {
    /// Reads what is there, one read at the least. 0 at the end of the stream.
    fn poll_receive(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(socket.poll_read_ready(cx))?;
            match self.connection.read_tls(&mut Socket(socket)) {
                Ok(count) => {
                    let processed = self.connection.process_new_packets();
                    // What went wrong is told to the peer, as far as it still listens.
                    let _ = self.poll_flush(socket, cx);
                    processed.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if passes(&error) => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn poll_flush(&mut self, socket: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut Socket(socket)) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => ready!(socket.poll_write_ready(cx))?,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(_) => {}
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Without waiting, as rustls wants it.
struct Socket<'s>(&'s TcpStream);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
