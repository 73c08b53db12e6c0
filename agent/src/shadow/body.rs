//! The worker's end of a feed: the body hyper sends, and the word of how the primary request ended.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http_body::Frame;

use super::{
    feed::{Phase, Pipe},
    rewrite,
};
use crate::record::DropReason;

/// Owns the copy's hold on the budget: dropping it gives back every byte and makes the feed useless.
#[derive(Debug)]
pub(super) struct Source {
    pipe: Arc<Pipe>,
}

/// The body of the copy, as hyper takes it.
#[derive(Debug)]
pub(super) struct CopyBody {
    pipe: Arc<Pipe>,
}

/// Bytes lent to a connection. They count as held until they are written to its socket, because until then they
/// are in memory: hyper queues up to sixteen pieces.
#[derive(Debug)]
pub(super) struct Lent {
    bytes: Bytes,
    len: usize,
    pipe: Arc<Pipe>,
}

/// The body will never be whole; the connection must not pretend that it is.
#[derive(Debug, thiserror::Error)]
#[error("the copy was stopped")]
pub(super) struct Stopped;

impl Source {
    pub(super) fn new(pipe: Arc<Pipe>) -> Self {
        Self { pipe }
    }

    pub(super) fn is_call(&self) -> bool {
        self.pipe.is_call
    }

    pub(super) fn body(&self) -> CopyBody {
        CopyBody { pipe: Arc::clone(&self.pipe) }
    }

    /// Why the copy was stopped, if it was.
    pub(super) fn stopped(&self) -> Option<DropReason> {
        match self.pipe.lock().phase {
            Phase::Stopped(reason) => Some(reason),
            Phase::Open | Phase::Ended { .. } => None,
        }
    }

    /// Bytes of the body so far.
    pub(super) fn bytes(&self) -> u64 {
        self.pipe.lock().received
    }

    /// Waits until the primary request is whole, and answered if it is a call of gRPC; or is known never to be.
    pub(super) async fn ended(&self) -> Result<(), DropReason> {
        poll_fn(|cx| {
            let mut state = self.pipe.lock();
            match state.phase {
                Phase::Ended { .. } if state.answered => Poll::Ready(Ok(())),
                Phase::Open | Phase::Ended { .. } => {
                    register(&mut state.end_waker, cx);
                    Poll::Pending
                }
                Phase::Stopped(reason) => Poll::Ready(Err(reason)),
            }
        })
        .await
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.pipe.close();
    }
}

impl http_body::Body for CopyBody {
    type Data = Lent;
    type Error = Stopped;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Lent>, Stopped>>> {
        let mut state = self.pipe.lock();
        if let Some(bytes) = state.pop() {
            let len = bytes.len();
            return Poll::Ready(Some(Ok(Frame::data(Lent { bytes, len, pipe: Arc::clone(&self.pipe) }))));
        }
        match &mut state.phase {
            Phase::Open => {
                register(&mut state.body_waker, cx);
                Poll::Pending
            }
            Phase::Ended { trailers } => {
                let redact = self.pipe.policy.as_ref().and_then(|policy| policy.redact.as_ref());
                let trailers = trailers.take().map(|mut trailers| match redact {
                    Some(redact) => rewrite::redact_headers(redact, &mut trailers).map(|()| trailers),
                    None => Ok(trailers),
                });
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers).map_err(|_| Stopped)))
            }
            Phase::Stopped(_) => Poll::Ready(Some(Err(Stopped))),
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = self.pipe.lock();
        matches!(state.phase, Phase::Ended { trailers: None }) && state.is_empty()
    }
}

fn register(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}

impl Buf for Lent {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.pipe.written(self.len);
    }
}
