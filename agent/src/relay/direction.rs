//! One direction of a relayed connection: a small state machine that reads only when everything read before was
//! written, so a slow reader slows its writer exactly as it would have without us.

use std::{
    io::{self, ErrorKind},
    mem,
    net::Shutdown,
    pin::pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::task::yield_now;

use super::{
    pipe::Pipe,
    side::{Said, Side},
};

/// How many chunks a direction moves before the other one, and other connections of the thread, have their turn.
const TURN: usize = 8;

/// A source that says this much at once is likely to have more to say.
const BULK: usize = 16 * 1024;

/// Fewer bytes than this are copied, whoever looks at them: it takes fewer system calls.
const UNSEEN_FROM: u64 = 64 * 1024;

/// Whoever looks at the bytes of a direction.
pub(super) trait Watch {
    /// The sink took these.
    fn written(&mut self, piece: &Bytes);
    /// What to put in place of what was read. `written` then sees what was read once the sink has taken that.
    fn change(&mut self, chunk: &Bytes) -> Option<Bytes>;
    /// How many of the next bytes need not be seen.
    fn unseen(&self) -> u64;
    /// The sink took so many of them.
    fn passed(&mut self, count: u64);
}

/// Where a direction stands after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Waits for the source to say more, or for its next turn.
    WaitsToRead,
    /// Waits for the sink to take what was read.
    WaitsToWrite,
    /// The source ended in order and the sink was told.
    Ended,
    /// The source reset the connection.
    SourceReset,
    /// The sink takes nothing more; the source is no longer read.
    SinkGone,
    /// The same, and the sink had not ended in order before. The failed write has taken the socket's error with it:
    /// whoever reads there meets an end that looks like one in order.
    SinkReset,
}

impl Progress {
    pub(super) fn is_over(self) -> bool {
        !matches!(self, Self::WaitsToRead | Self::WaitsToWrite)
    }
}

pub(super) struct Direction<'s, S> {
    source: &'s S,
    sink: &'s S,
    /// Read, not yet written. Empty while the direction waits to read.
    pending: Bytes,
    /// What was read in place of `pending`, if that is something else; on the heap, for it hardly ever is.
    original: Option<Box<Bytes>>,
    /// What was taken from the source and stays within the kernel. Never beside anything that is pending.
    pipe: Option<Pipe>,
    /// The source said much the last time it was asked.
    bulk: bool,
    last_word: LastWord,
    /// Set once the direction is over for good.
    over: Option<Progress>,
    end_reported: bool,
    source_was_reset: bool,
}

/// That of the source, which may leave its socket open after it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LastWord {
    Unsaid,
    /// Not passed on yet.
    Said,
    PassedOn,
}

/// Wakes the connection once the thread has looked at its sockets again: after a plain wake tokio would do so only once
/// in 61 turns, and others would wait that long to be noticed.
fn next_turn(cx: &mut Context<'_>) {
    let _ = pin!(yield_now()).poll(cx);
}

impl<'s, S: Side> Direction<'s, S> {
    /// `said` was read from the source before.
    pub(super) fn new(source: &'s S, sink: &'s S, said: Bytes) -> Self {
        let (pending, last_word) = (said, LastWord::Unsaid);
        Self {
            source,
            sink,
            pending,
            original: None,
            pipe: None,
            bulk: false,
            last_word,
            over: None,
            end_reported: false,
            source_was_reset: false,
        }
    }

    /// Whether the sink was given everything that was read, and more may follow.
    pub(super) fn is_even(&self) -> bool {
        self.pending.is_empty()
            && self.pipe.is_none()
            && self.last_word == LastWord::Unsaid
            && self.over.is_none()
    }

    /// Gives the sink what the source did not say, and whoever looks at the bytes does not see. The direction is even.
    pub(super) fn interject(&mut self, words: Bytes) {
        self.pending = words;
        self.original = Some(Box::default());
    }

    /// True once, after the source said in order that it says no more, and the sink was told.
    pub(super) fn just_ended(&mut self) -> bool {
        let told = self.over == Some(Progress::Ended) || self.last_word == LastWord::PassedOn;
        let ended = told && !self.end_reported;
        self.end_reported |= ended;
        ended
    }

    /// The other direction found that this one's source was reset. What was received before is still moved.
    pub(super) fn source_was_reset(&mut self) {
        self.source_was_reset = true;
    }

    /// Moves what can be moved.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, watch: &mut impl Watch) -> Progress {
        if let Some(over) = self.over {
            return over;
        }
        for moved in 0.. {
            match self.poll_write(cx, watch) {
                Poll::Pending => return Progress::WaitsToWrite,
                // Linux says EPIPE when the sink had ended before it was reset.
                Poll::Ready(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                    return self.end_as(Progress::SinkGone);
                }
                Poll::Ready(Err(_)) => return self.end_as(Progress::SinkReset),
                Poll::Ready(Ok(())) => {}
            }
            if moved == TURN {
                next_turn(cx);
                break;
            }
            match self.poll_read(cx, watch) {
                Poll::Pending => return Progress::WaitsToRead,
                Poll::Ready(Err(_)) => return self.end_as(Progress::SourceReset),
                // In the pipe.
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(Said::Bytes(chunk)))) => self.pend(chunk, watch),
                Poll::Ready(Ok(Some(Said::LastWord))) => self.last_word = LastWord::Said,
                Poll::Ready(Ok(Some(Said::End))) if self.source_was_reset => {
                    return self.end_as(Progress::SourceReset);
                }
                Poll::Ready(Ok(Some(Said::End))) => {
                    // Refused only when the sink is already gone, which its own direction will find out.
                    let _ = SockRef::from(self.sink.socket()).shutdown(Shutdown::Write);
                    return self.end_as(Progress::Ended);
                }
            }
        }
        Progress::WaitsToRead
    }

    /// What the source says next; None when that is in the pipe.
    fn poll_read(&mut self, cx: &mut Context<'_>, watch: &impl Watch) -> Poll<io::Result<Option<Said>>> {
        if self.bulk
            && let (Some(source), Some(_)) = (self.source.plain(), self.sink.plain())
            && let unseen @ UNSEEN_FROM.. = watch.unseen()
            && let Some(mut pipe) = Pipe::lend()
            && let count @ 1.. = ready!(pipe.poll_fill(source, unseen, cx))?
        {
            self.bulk = count >= BULK;
            self.pipe = Some(pipe);
            return Poll::Ready(Ok(None));
        }
        self.source.poll_read(cx).map_ok(Some)
    }

    fn pend(&mut self, chunk: Bytes, watch: &mut impl Watch) {
        self.bulk = chunk.len() >= BULK;
        if let Some(changed) = watch.change(&chunk) {
            self.original = Some(Box::new(chunk));
            self.pending = changed;
        } else {
            self.pending = chunk;
        }
    }

    fn end_as(&mut self, progress: Progress) -> Progress {
        self.pending = Bytes::new();
        self.pipe = None;
        self.over = Some(progress);
        progress
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, watch: &mut impl Watch) -> Poll<io::Result<()>> {
        if let (Some(pipe), Some(sink)) = (&mut self.pipe, self.sink.plain()) {
            while !pipe.is_empty() {
                watch.passed(ready!(pipe.poll_drain(sink, cx))?);
            }
            self.pipe = None;
        }
        while !self.pending.is_empty() {
            let count = ready!(self.sink.poll_write(cx, &self.pending))?;
            let piece = match count == self.pending.len() {
                true => mem::take(&mut self.pending),
                false => self.pending.split_to(count),
            };
            match self.original.take() {
                None => watch.written(&piece),
                Some(original) if !self.pending.is_empty() => self.original = Some(original),
                Some(original) if original.is_empty() => {}
                Some(original) => watch.written(&original),
            }
        }
        if self.last_word == LastWord::Said {
            ready!(self.sink.poll_last_word(cx))?;
            self.last_word = LastWord::PassedOn;
        }
        Poll::Ready(Ok(()))
    }
}
