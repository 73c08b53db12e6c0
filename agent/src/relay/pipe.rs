//! Bytes that nobody looks at go from socket to socket within the kernel (`splice(2)`): through a pipe, for that is what
//! the call is made of. A long answer takes a quarter to a third of the relay's time less; uploads, which were tried too, take
//! as much as by copying.

use std::{
    cell::RefCell,
    io::{
        self,
        ErrorKind::{Interrupted, WouldBlock, WriteZero},
    },
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use rustix::{
    io::Errno,
    pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, pipe_with, splice},
};
use tokio::{io::Interest, net::TcpStream};

use crate::process::descriptors;

/// The most that is moved at once. A pipe has places for sixteen pieces, of a page as a rule and of up to 32 KiB.
const MOVED: usize = 256 * 1024;
/// What a pipe has room for unless the kernel is short of pages for pipes (`pipe-user-pages-soft`): then copying is as good.
const ROOM: usize = 64 * 1024;
/// The most pipes of the process: an eighth of the pages that one user's processes may have for pipes, as a rule. Whoever
/// finds none left copies.
const MOST: usize = 128;
/// Of these each thread keeps so many open for the next.
const KEPT: usize = 4;

static OPEN: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static FREE: RefCell<Vec<Ends>> = const { RefCell::new(Vec::new()) };
}

/// The way out and the way in, counted as long as they are open.
struct Ends(OwnedFd, OwnedFd);

impl Drop for Ends {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Relaxed);
    }
}

/// A pipe as long as one direction of a connection has bytes in it.
pub(super) struct Pipe {
    /// None once it is dropped.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty one, if there is one left.
    pub(super) fn lend() -> Option<Self> {
        let ends = FREE.with_borrow_mut(Vec::pop).or_else(open)?;
        Some(Self { ends: Some(ends), held: 0 })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes at most so many bytes from the source into the pipe, which is empty. Ready with 0 where nothing comes this way: no
    /// more has arrived, the stream is over, the next byte is urgent, or the bytes are where only reading finds them (a
    /// sockmap's). Reading tells which.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll_fill(
        &mut self,
        source: &TcpStream,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).map_or(MOVED, |most| most.min(MOVED));
        let Some(Ends(_, way_in)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(source.poll_read_ready(cx))?;
            let moved = source.try_io(Interest::READABLE, || match within(source, way_in, most) {
                // Not passed on: it would count as a read that found nothing.
                Err(Errno::AGAIN) => Ok(0),
                moved => Ok(moved?),
            });
            match moved {
                Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => {}
                moved => {
                    self.held = moved.as_ref().copied().unwrap_or_default();
                    return Poll::Ready(moved);
                }
            }
        }
    }

    /// Gives the sink what it takes. Ready with how much that was.
    ///
    /// # Errors
    /// The sink takes nothing more.
    pub(super) fn poll_drain(&mut self, sink: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let Some(Ends(way_out, _)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            // Of just what is held: asked for more, the kernel would wait for it before it sends.
            match sink.try_io(Interest::WRITABLE, || Ok(within(way_out, sink, self.held)?)) {
                Err(error) if error.kind() == WouldBlock => ready!(sink.poll_write_ready(cx))?,
                Err(error) if error.kind() == Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
                // Never seen; a loop without an end if it were.
                Ok(0) => return Poll::Ready(Err(WriteZero.into())),
                Ok(count) => {
                    self.held -= count;
                    return Poll::Ready(Ok(count as u64));
                }
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // One that still holds bytes is closed with them, and so is one that the thread does not keep, or that outlives it.
        let ends = self.ends.take().filter(|_| self.held == 0);
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            let room = KEPT.saturating_sub(free.len());
            free.extend(ends.into_iter().take(room));
        });
    }
}

fn open() -> Option<Ends> {
    if OPEN.fetch_add(1, Relaxed) >= MOST {
        OPEN.fetch_sub(1, Relaxed);
        return None;
    }
    let opened = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK);
    let Ok((way_out, way_in)) = opened else {
        OPEN.fetch_sub(1, Relaxed);
        return None;
    };
    let ends = Ends(way_out, way_in);
    let Ends(way_out, way_in) = &ends;
    let has_room = fcntl_getpipe_size(way_in).is_ok_and(|size| size >= ROOM);
    // A filter of system calls that refuses the call refuses it here.
    let is_allowed = within(way_out, way_in, 0).is_ok();
    let is_left = !descriptors::is_for_primaries(way_out.as_raw_fd().max(way_in.as_raw_fd()));
    (has_room && is_allowed && is_left).then_some(ends)
}

fn within(from: impl AsFd, to: impl AsFd, most: usize) -> rustix::io::Result<usize> {
    splice(from, None, to, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)
}
