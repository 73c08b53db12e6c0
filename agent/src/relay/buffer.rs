//! One read buffer a thread, lent to whichever connection has bytes to read: idle connections hold none.

use std::{cell::RefCell, io};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

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
        stream.try_read_buf(buffer)?;
        Ok(buffer.split().freeze())
    })
}
