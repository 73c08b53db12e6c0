//! The way of one copy's body from a data thread to a shadow worker. The data thread only ever pushes: what does
//! not fit stops the copy, never the primary.

use std::{
    collections::VecDeque,
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Waker,
};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::budget::Part;
use crate::{
    message::Slice,
    record::DropReason,
    route::{OnExceed, Policy},
};

/// Pieces from this size on are shared with the chunk they arrived in; smaller ones are copied and joined. A shared
/// piece keeps its whole chunk alive, so a relay that reads 64 KiB at a time holds at most eight times the budget.
const SHARE_FROM: usize = 8 << 10;

/// Joined pieces grow to this size: a body that trickles in costs its bytes, not an entry per byte.
const JOIN_UP_TO: usize = 16 << 10;

/// The data thread's end. Dropping it before `end` cancels the copy.
#[derive(Debug)]
#[must_use = "a feed dropped before its end cancels the copy"]
pub struct Feed {
    /// None once nothing more will be pushed.
    pipe: Option<Arc<Pipe>>,
}

/// The data thread's end once the request of a gRPC call is whole: its copy lives as long as the call. Dropping it cancels
/// the copy.
#[derive(Debug)]
#[must_use = "a call dropped before it is over cancels the copy"]
pub struct Call {
    /// None once it is over.
    pipe: Option<Arc<Pipe>>,
}

/// What both ends share. The lock is held for one push or one pop, by either side.
#[derive(Debug)]
pub(super) struct Pipe {
    /// Of the budget, as the copy's mirror has it.
    part: Part,
    /// Limits the body and redacts its trailers.
    pub(super) policy: Option<Arc<Policy>>,
    /// A call of gRPC, whose answer may stream for as long as the primary's.
    pub(super) is_call: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) phase: Phase,
    /// The primary's answer is over too, or of no interest.
    pub(super) answered: bool,
    pub(super) queue: VecDeque<Bytes>,
    /// The last of the queue, still growing.
    pub(super) tail: BytesMut,
    /// Bytes of the body so far.
    pub(super) received: u64,
    /// Bytes charged to the budget: queued, or lent to the connection and not yet written.
    held: usize,
    /// The copy has ended; whatever still arrives is of no use.
    closed: bool,
    pub(super) body_waker: Option<Waker>,
    pub(super) end_waker: Option<Waker>,
}

#[derive(Debug)]
pub(super) enum Phase {
    /// More of the body may come.
    Open,
    /// The request is whole.
    Ended { trailers: Option<HeaderMap> },
    /// The request will never be whole, or came faster than the shadow took it.
    Stopped(DropReason),
}

impl Feed {
    pub(super) fn new(pipe: &Arc<Pipe>) -> Self {
        Self { pipe: Some(Arc::clone(pipe)) }
    }

    /// The next piece of the body. Over budget, the copy is stopped and everything it holds is given back.
    pub fn data(&mut self, piece: Slice<'_>) {
        if let Some(pipe) = &self.pipe
            && !pipe.push(piece)
            && !pipe.is_call
        {
            self.pipe = None;
        }
    }

    /// The request is whole. Of a gRPC call the copy goes on following the primary.
    pub fn end(mut self, trailers: Option<HeaderMap>) -> Option<Call> {
        let pipe = self.pipe.take()?;
        pipe.finish(Phase::Ended { trailers });
        // Not `then_some`: a call that is made and dropped cancels the copy.
        pipe.is_call.then(|| Call { pipe: Some(pipe) })
    }

    /// The request will not become whole, for a reason known better than [`DropReason::Cancelled`].
    pub fn abandon(mut self, reason: DropReason) {
        if let Some(pipe) = self.pipe.take() {
            pipe.finish(Phase::Stopped(reason));
            pipe.answered();
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        match self.pipe.take() {
            // The copy may have all of a body that was cut off, and still follow its call.
            Some(pipe) if pipe.is_call => pipe.cancel(),
            Some(pipe) => pipe.finish(Phase::Stopped(DropReason::Cancelled)),
            None => {}
        }
    }
}

impl Call {
    /// The primary's answer ended, or nothing more will be known of it: from now on the copy's time runs.
    pub fn over(mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.answered();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if let Some(pipe) = self.pipe.take() {
            pipe.cancel();
        }
    }
}

impl Pipe {
    /// `whole`: no body follows the head, so the request has ended already.
    pub(super) fn new(part: Part, whole: bool, is_call: bool, policy: Option<Arc<Policy>>) -> Self {
        let state = State {
            phase: if whole { Phase::Ended { trailers: None } } else { Phase::Open },
            answered: !is_call,
            queue: VecDeque::new(),
            tail: BytesMut::new(),
            received: 0,
            held: 0,
            closed: false,
            body_waker: None,
            end_waker: None,
        };
        Self { part, policy, is_call, state: Mutex::new(state) }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False when no further piece is wanted.
    fn push(&self, piece: Slice<'_>) -> bool {
        if piece.is_empty() {
            return true;
        }
        let mut state = self.lock();
        if state.closed || !matches!(state.phase, Phase::Open) {
            return false;
        }
        let (piece, limited) = self.within_limit(piece, state.received);
        let over = if limited == Some(OnExceed::Drop) {
            Some(DropReason::BodyTooLarge)
        } else if self.part.is_scarce() {
            Some(DropReason::Pressure)
        } else if piece.len() > self.part.bytes_per_request().saturating_sub(state.held) {
            Some(DropReason::BodyTooSlow)
        } else if !self.part.take_bytes(piece.len()) {
            Some(DropReason::BytesBudget)
        } else {
            None
        };
        if let Some(reason) = over {
            drop(state);
            self.finish(Phase::Stopped(reason));
            return false;
        }
        state.received += piece.len() as u64;
        state.held += piece.len();
        state.append(piece);
        if limited == Some(OnExceed::Truncate) {
            drop(state);
            self.finish(Phase::Ended { trailers: None });
            return false;
        }
        let waker = state.body_waker.take();
        drop(state);
        wake(waker);
        true
    }

    /// What of a piece a policy allows, and what is to become of the copy if that is not all of it.
    fn within_limit<'p>(&self, piece: Slice<'p>, received: u64) -> (Slice<'p>, Option<OnExceed>) {
        let Some(limit) = self.policy.as_ref().and_then(|policy| policy.body) else { return (piece, None) };
        let left = limit.max.saturating_sub(received);
        if piece.len() as u64 <= left {
            return (piece, None);
        }
        (piece.first(usize::try_from(left).unwrap_or(usize::MAX)), Some(limit.on_exceed))
    }

    /// The first end stands: a request that ended cannot be cancelled any more, nor the other way round.
    fn finish(&self, phase: Phase) {
        let state = self.lock();
        if matches!(state.phase, Phase::Open) {
            self.enter(state, phase);
        }
    }

    /// The one exception: a call is given up while it is answered.
    fn cancel(&self) {
        let state = self.lock();
        if !matches!(state.phase, Phase::Stopped(_)) {
            self.enter(state, Phase::Stopped(DropReason::Cancelled));
        }
    }

    fn answered(&self) {
        let mut state = self.lock();
        state.answered = true;
        let waker = state.end_waker.take();
        drop(state);
        wake(waker);
    }

    fn enter(&self, mut state: MutexGuard<'_, State>, phase: Phase) {
        if state.closed {
            return;
        }
        let discarded = matches!(phase, Phase::Stopped(_)).then(|| state.discard(&self.part));
        state.phase = phase;
        let wakers = (state.body_waker.take(), state.end_waker.take());
        drop(state);
        drop(discarded);
        wake(wakers.0);
        wake(wakers.1);
    }

    /// The copy has ended: its bytes are given back, those still lent to a closing connection among them.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let discarded = state.discard(&self.part);
        self.part.give_back(mem::take(&mut state.held));
        drop(state);
        drop(discarded);
    }

    /// Bytes lent to the connection were written, or the connection let go of them.
    pub(super) fn written(&self, bytes: usize) {
        let mut state = self.lock();
        if !state.closed {
            state.held -= bytes;
            self.part.give_back(bytes);
        }
    }
}

impl State {
    fn append(&mut self, piece: Slice<'_>) {
        if piece.is_empty() {
            return;
        }
        let shared = piece.len() >= SHARE_FROM;
        if !self.tail.is_empty() && (shared || self.tail.len() + piece.len() > JOIN_UP_TO) {
            let tail = mem::take(&mut self.tail);
            self.queue.push_back(tail.freeze());
        }
        if shared {
            self.queue.push_back(piece.share());
        } else {
            self.tail.extend_from_slice(piece.as_bytes());
        }
    }

    /// The next bytes of the body, in order.
    pub(super) fn pop(&mut self) -> Option<Bytes> {
        self.queue.pop_front().or_else(|| {
            let tail = mem::take(&mut self.tail);
            (!tail.is_empty()).then(|| tail.freeze())
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.tail.is_empty()
    }

    /// Empties the queue and gives its bytes back. The caller frees the memory, after unlocking.
    fn discard(&mut self, part: &Part) -> (VecDeque<Bytes>, BytesMut) {
        let (queue, tail) = (mem::take(&mut self.queue), mem::take(&mut self.tail));
        let bytes = queue.iter().map(Bytes::len).sum::<usize>() + tail.len();
        self.held -= bytes;
        part.give_back(bytes);
        (queue, tail)
    }
}

// Outside the lock: the woken worker may run at once and want it.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}
