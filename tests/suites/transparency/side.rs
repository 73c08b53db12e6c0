//! One end of a connection, as a process has it: what it says, what it hears, and what its kernel tells of it.

#![allow(unsafe_code, reason = "no crate here knows TCP_INFO")]

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    mem,
    net::{Shutdown, TcpStream},
    os::fd::{AsFd, AsRawFd as _},
    time::Duration,
};

use nix::{errno::Errno, libc};
use socket2::SockRef;
use support::{eventually, patience};

pub(crate) struct Side {
    pub(crate) stream: TcpStream,
}

impl Side {
    pub(crate) fn of(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(patience())).unwrap();
        stream.set_write_timeout(Some(patience())).unwrap();
        Self { stream }
    }

    pub(crate) fn says(&mut self, words: impl AsRef<[u8]>) {
        self.stream.write_all(words.as_ref()).unwrap();
    }

    /// Half-closes.
    pub(crate) fn ends(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Ends the connection with RST.
    pub(crate) fn resets(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Exactly so many bytes.
    pub(crate) fn hears(&mut self, count: usize) -> Vec<u8> {
        let mut words = vec![0; count];
        self.stream.read_exact(&mut words).unwrap();
        words
    }

    /// Everything there is to hear, and how it ends: `end`, or the error.
    pub(crate) fn hears_out(&mut self) -> (Vec<u8>, String) {
        let mut words = Vec::new();
        let end = self.stream.read_to_end(&mut words);
        (words, end.map_or_else(|error| named(&error), |_| "end".to_owned()))
    }

    /// The same as text: `words, then end`.
    pub(crate) fn hears_all(&mut self) -> String {
        let (words, end) = self.hears_out();
        format!("{}, then {end}", words.escape_ascii())
    }

    /// Waits until so much can be heard, and leaves it there.
    pub(crate) fn could_hear(&self, count: usize) {
        eventually("words to lie there", || {
            (self.stream.peek(&mut vec![0; count]).unwrap() == count).then_some(())
        });
    }

    /// Talks on until nothing is taken any more; with what error.
    pub(crate) fn talks_until_refused(&mut self) -> String {
        eventually("a word to be refused", || self.stream.write_all(b"?").err().map(|error| named(&error)))
    }

    pub(crate) fn info(&self) -> libc::tcp_info {
        info(&self.stream)
    }

    /// Waits until the connection is in this state here.
    pub(crate) fn is(&self, state: &'static str) -> &'static str {
        eventually(&format!("the state {state}"), || (state_of(&self.stream) == state).then_some(state))
    }
}

/// `ECONNRESET` and the like.
pub(crate) fn named(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => format!("{:?}", Errno::from_raw(code)),
        None if error.kind() == ErrorKind::UnexpectedEof => "end".to_owned(),
        None => error.to_string(),
    }
}

/// Of a connection or a listener.
pub(crate) fn info(socket: &impl AsFd) -> libc::tcp_info {
    // SAFETY: zeros are a value of this struct of integers.
    let mut info: libc::tcp_info = unsafe { mem::zeroed() };
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&info)).unwrap();
    // SAFETY: the kernel writes `length` bytes at most, which is the struct's size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "TCP_INFO: {}", io::Error::last_os_error());
    info
}

/// As tcp_states.h names them.
pub(crate) fn state_of(socket: &impl AsFd) -> &'static str {
    const STATES: [&str; 12] = [
        "none",
        "ESTABLISHED",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "TIME_WAIT",
        "CLOSE",
        "CLOSE_WAIT",
        "LAST_ACK",
        "LISTEN",
        "CLOSING",
    ];
    STATES[usize::from(info(socket).tcpi_state)]
}

/// Whether the connection speaks Multipath TCP (`TCP_IS_MPTCP`, Linux 6.0).
pub(crate) fn is_multipath(socket: &impl AsFd) -> bool {
    let mut is: libc::c_int = 0;
    let mut length = libc::socklen_t::try_from(mem::size_of_val(&is)).unwrap();
    // SAFETY: as above, with an integer.
    let result = unsafe {
        const TCP_IS_MPTCP: libc::c_int = 43;
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_IS_MPTCP,
            (&raw mut is).cast(),
            &raw mut length,
        )
    };
    assert_eq!(result, 0, "TCP_IS_MPTCP: {}", io::Error::last_os_error());
    is == 1
}
