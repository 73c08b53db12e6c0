//! The body of an answer, whatever the version of HTTP. On HTTP/2 the request may still be on its way when the answer
//! begins: whoever reads the one sends the other, so neither waits for the other and nothing outlives the copy.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::{Reason, RecvStream, SendStream};
use http_body::{Body, Frame};
use hyper::body::Incoming;

pub enum Answer<B: Body> {
    Http1(Incoming),
    Http2(Receiving<B>),
}

#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error(transparent)]
    Http1(#[from] hyper::Error),
    #[error(transparent)]
    Http2(#[from] h2::Error),
}

pub struct Receiving<B: Body> {
    stream: RecvStream,
    /// None once the request is sent, or of no more use.
    sending: Option<Sending<B>>,
}

/// What is left of a request.
pub(super) struct Sending<B: Body> {
    stream: SendStream<Piece<B::Data>>,
    body: B,
    /// Waits for the peer's window, that is, for the peer to have read what came before.
    held_back: Option<B::Data>,
}

/// A piece of a body, or nothing: the frame that only says that this was all.
pub(super) struct Piece<D>(Option<D>);

impl<B: Body + Unpin> Sending<B> {
    pub(super) fn new(stream: SendStream<Piece<B::Data>>, body: B) -> Self {
        Self { stream, body, held_back: None }
    }

    /// Ready when there is nothing more to send: all of it went, or the stream is over, of which the answer knows why.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            if self.held_back.is_some() {
                while self.stream.capacity() == 0 {
                    match ready!(self.stream.poll_capacity(cx)) {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
                let is_last = self.body.is_end_stream();
                let piece = Piece(self.held_back.take());
                if self.stream.send_data(piece, is_last).is_err() || is_last {
                    return Poll::Ready(());
                }
            }
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(());
                }
                None => {
                    let _ = self.stream.send_data(Piece(None), true);
                    return Poll::Ready(());
                }
            };
            match frame.into_data() {
                Ok(data) if data.has_remaining() => {
                    // One byte: h2 asks for the rest itself, and streams that wait must not hold the whole window.
                    self.stream.reserve_capacity(1);
                    self.held_back = Some(data);
                }
                Ok(_) => {}
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        let _ = self.stream.send_trailers(trailers);
                        return Poll::Ready(());
                    }
                }
            }
        }
    }
}

impl<B: Body + Unpin> Receiving<B> {
    pub(super) fn new(stream: RecvStream, sending: Option<Sending<B>>) -> Self {
        Self { stream, sending }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if self.sending.as_mut().is_some_and(|sending| sending.poll(cx).is_ready()) {
            self.sending = None;
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                // An error says that the stream is over, which is told next.
                let _ = self.stream.flow_control().release_capacity(data.len());
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            // The answer is whole and the rest of the request unwanted (RFC 9113 §8.1).
            Some(Err(error)) if error.reason() == Some(Reason::NO_ERROR) => Poll::Ready(None),
            Some(Err(error)) => Poll::Ready(Some(Err(error))),
            None => {
                let trailers = ready!(self.stream.poll_trailers(cx));
                Poll::Ready(trailers.map(|trailers| trailers.map(Frame::trailers)).transpose())
            }
        }
    }
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = Bytes;
    type Error = AnswerError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        match self.get_mut() {
            Self::Http1(body) => Pin::new(body).poll_frame(cx).map_err(AnswerError::Http1),
            Self::Http2(body) => body.poll_frame(cx).map_err(AnswerError::Http2),
        }
    }
}

impl<B: Body> Unpin for Answer<B> {}

impl<D: Buf> Buf for Piece<D> {
    fn remaining(&self) -> usize {
        self.0.as_ref().map_or(0, Buf::remaining)
    }

    fn chunk(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Buf::chunk)
    }

    fn advance(&mut self, count: usize) {
        if let Some(piece) = &mut self.0 {
            piece.advance(count);
        }
    }
}
