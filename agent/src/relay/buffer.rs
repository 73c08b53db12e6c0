//! One read buffer a thread, lent to whichever connection has bytes to read: idle connections hold none.

use std::{
    cell::RefCell,
    io::{self, ErrorKind},
};

use bytes::{Bytes, BytesMut};
use tokio::{io::Interest, net::TcpStream};

/// The size of a block; chunks cut from it share it by reference count.
const BLOCK: usize = 64 * 1024;
/// Below this much room a new block is begun (or the old one reclaimed, when every chunk of it is gone).
const LEAST: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// Reads what is there, without waiting. An empty chunk is the end of the stream.
///
/// # Errors
/// `WouldBlock` when nothing is there yet; otherwise the connection's own error.
pub(super) fn read(stream: &TcpStream) -> io::Result<Bytes> {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.capacity() - buffer.len() < LEAST {
            buffer.reserve(BLOCK);
        }
        let room = buffer.capacity() - buffer.len();
        let count = stream.try_read_buf(buffer)?;
        if count < room {
            nothing_more(stream);
        }
        Ok(buffer.split().freeze())
    })
}

/// A copy of bytes that lie elsewhere, such as decrypted ones.
pub(super) fn copy(bytes: &[u8]) -> Bytes {
    BUFFER.with_borrow_mut(|buffer| {
        if buffer.capacity() - buffer.len() < bytes.len() {
            buffer.reserve(BLOCK.max(bytes.len()));
        }
        buffer.extend_from_slice(bytes);
        buffer.split().freeze()
    })
}

/// A read that left room has emptied the socket: what comes later is announced by epoll, and asking before would be a
/// system call for nothing on each message. An end of the stream that was announced already stays announced.
fn nothing_more(stream: &TcpStream) {
    let _ = stream.try_io(Interest::READABLE, || io::Result::<()>::Err(ErrorKind::WouldBlock.into()));
}
