//! Bytes that nobody looks at go from socket to socket within the kernel (`splice(2)`): through a pipe, for that is what
//! the call is made of. Measured over loopback, a GiB takes the relay a third of the time that reading and writing it does.

use std::{
    cell::RefCell,
    io::{
        self,
        ErrorKind::{self, InvalidInput, PermissionDenied, Unsupported},
    },
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice};
use tokio::{io::Interest, net::TcpStream};

/// What a pipe is to hold: more is hardly faster, and a sink that is slow may make it wait there.
const ROOM: usize = 256 * 1024;
/// Below this much, for which the kernel's limits are the reason (`pipe-user-pages-soft`), copying is as good.
const LEAST: usize = 64 * 1024;
/// The most pipes of a thread. Connections that find none left copy.
const MOST: usize = 32;

thread_local! {
    static PIPES: RefCell<Pipes> = const { RefCell::new(Pipes { idle: Vec::new(), lent: 0, refused: false }) };
}

struct Pipes {
    idle: Vec<Ends>,
    lent: usize,
    /// The kernel has none to give, or does not let us: asked no more.
    refused: bool,
}

/// The way out, and the way in.
type Ends = (OwnedFd, OwnedFd);

/// A pipe as long as one direction of a connection has bytes in it.
pub(super) struct Pipe {
    /// None once it is dropped.
    ends: Option<Ends>,
    held: usize,
}

impl Pipe {
    /// An empty one of the thread's, if there is one left.
    pub(super) fn lend() -> Option<Self> {
        PIPES.with_borrow_mut(|pipes| {
            if pipes.refused || pipes.lent == MOST {
                return None;
            }
            let ends = pipes.idle.pop().map_or_else(open, Ok);
            pipes.refused = ends.is_err();
            let ends = Some(ends.ok()?);
            pipes.lent += 1;
            Some(Self { ends, held: 0 })
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Takes at most so many bytes from the source into the pipe, which is empty. Ready with 0 where nothing can be taken this
    /// way: at the end of the stream, before an urgent byte, and where the system refuses the call. Reading tells which.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll_fill(
        &mut self,
        source: &TcpStream,
        most: u64,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let most = usize::try_from(most).map_or(ROOM, |most| most.min(ROOM));
        let Some((_, way_in)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(source.poll_read_ready(cx))?;
            let moved = source.try_io(Interest::READABLE, || {
                Ok(splice(source, None, way_in, None, most, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
            });
            match moved {
                Ok(count) => {
                    self.held = count;
                    return Poll::Ready(Ok(count));
                }
                Err(error) if passes(&error) => {}
                // By a filter of system calls. No state of a connection says one of these.
                Err(error) if matches!(error.kind(), InvalidInput | PermissionDenied | Unsupported) => {
                    PIPES.with_borrow_mut(|pipes| pipes.refused = true);
                    return Poll::Ready(Ok(0));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// Gives the sink what it takes. Ready with how much that was.
    ///
    /// # Errors
    /// The sink takes nothing more.
    pub(super) fn poll_drain(&mut self, sink: &TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        let Some((way_out, _)) = &self.ends else { return Poll::Ready(Ok(0)) };
        loop {
            ready!(sink.poll_write_ready(cx))?;
            // Of just what is held: asked for more, the kernel would wait for it before it sends.
            let moved = sink.try_io(Interest::WRITABLE, || {
                Ok(splice(way_out, None, sink, None, self.held, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)?)
            });
            match moved {
                Err(error) if passes(&error) => {}
                // Never seen; a loop without an end if it were.
                Ok(0) => return Poll::Ready(Err(ErrorKind::WriteZero.into())),
                Ok(count) => {
                    self.held -= count;
                    return Poll::Ready(Ok(count as u64));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // One that still holds bytes is closed with them, and so is one that outlives its thread's.
        let ends = self.ends.take().filter(|_| self.held == 0);
        let _ = PIPES.try_with(|pipes| {
            let mut pipes = pipes.borrow_mut();
            pipes.lent -= 1;
            pipes.idle.extend(ends);
        });
    }
}

fn open() -> io::Result<Ends> {
    let (way_out, way_in) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
    // Refused where the machine allows less: then it stays as large as it is.
    let _ = fcntl_setpipe_size(&way_in, ROOM);
    match fcntl_getpipe_size(&way_in)? {
        0..LEAST => Err(ErrorKind::QuotaExceeded.into()),
        LEAST.. => Ok((way_out, way_in)),
    }
}

fn passes(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
