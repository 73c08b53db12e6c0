//! HTTP/1.1 as a copy needs it: writes the request, passes over the answer's fields, hands on nothing that nobody reads, and
//! makes no task of a connection. hyper does more, and at a rate of thousands a second a copy cost twice as much user time by it.
//!
//! Whoever waits for the answer also sends what is left of the request, so neither waits for the other.

mod framing;
mod sending;
#[cfg(test)]
mod tests;

use std::{
    cell::RefCell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

pub(super) use self::framing::Malformed;
use self::{
    framing::{Framing, Head, Run},
    sending::Sending,
};

/// Read at once, as long as little comes.
const FEW: usize = 4 << 10;
/// Read at once, at the most; also the longest head, twice what Node.js takes.
const MOST: usize = 32 << 10;

/// What ends an exchange before it is whole.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    #[error(transparent)]
    Io(io::Error),
    #[error("the connection ended before the answer did")]
    Closed,
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// By whoever gives the body, or because it is not as long as its head says.
    #[error("the request was stopped")]
    Stopped,
}

/// A connection that carries one exchange after the other. Dropping it, and the answer if one is being read, closes it.
pub(super) struct Http1<S>(Rc<RefCell<Wire<S>>>);

struct Wire<S> {
    socket: S,
    unread: BytesMut,
    /// How much is read at once.
    room: usize,
    /// The last exchange ended so that another one may follow.
    is_free: bool,
}

/// The body of an answer.
pub struct Answering<S, B: Body> {
    wire: Rc<RefCell<Wire<S>>>,
    request: Progress<B>,
    framing: Framing,
    keeps: bool,
    head_bytes: u64,
}

/// How far the request is.
enum Progress<B: Body> {
    Under(Sending<B>),
    Sent,
    /// The endpoint takes no more of it; it may have answered all the same.
    Refused,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Http1<S> {
    pub(super) fn new(socket: S) -> Self {
        let wire = Wire { socket, unread: BytesMut::new(), room: FEW, is_free: true };
        Self(Rc::new(RefCell::new(wire)))
    }

    /// No exchange is under way, and the endpoint has neither closed the connection nor spoken out of turn.
    pub(super) fn is_ready(&self) -> bool {
        let wire = &mut *self.0.borrow_mut();
        let mut byte = [0];
        let mut cx = Context::from_waker(Waker::noop());
        // As long as nothing has come this asks no kernel; what has come is of no use.
        wire.is_free
            && wire.unread.is_empty()
            && Pin::new(&mut wire.socket).poll_read(&mut cx, &mut ReadBuf::new(&mut byte)).is_pending()
    }

    /// Sends a request as far as the endpoint wants to have it, until the head of its answer is there. The answer's fields
    /// are left out, but for `grpc-status`.
    ///
    /// # Errors
    /// When the exchange broke. Something of the request may have reached the endpoint.
    pub(super) async fn send<B: Body + Unpin>(
        &mut self,
        request: Request<B>,
    ) -> Result<Response<Answering<S, B>>, Broken> {
        let to_head = request.method() == Method::HEAD;
        self.0.borrow_mut().is_free = false;
        let mut request = Progress::Under(Sending::new(request));
        let mut head_bytes = 0;
        let head = poll_fn(|cx| {
            let wire = &mut *self.0.borrow_mut();
            request.advance(cx, &mut wire.socket)?;
            loop {
                let head = ready!(wire.poll_head(cx, to_head))?;
                head_bytes += head.length as u64;
                if !head.is_interim() {
                    return Poll::Ready(Ok::<_, Broken>(head));
                }
            }
        });
        let mut head = head.await?;
        let mut response = Response::new(());
        *response.status_mut() = head.status;
        *response.headers_mut() = head.fields();
        let Head { framing, keeps, .. } = head;
        let answer = Answering { wire: Rc::clone(&self.0), request, framing, keeps, head_bytes };
        Ok(response.map(|()| answer))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<Result<Head, Broken>> {
        loop {
            if let Some(head) = framing::head(&self.unread, to_head)? {
                self.unread.advance(head.length);
                return Poll::Ready(Ok(head));
            }
            if self.unread.len() >= MOST {
                return Poll::Ready(Err(Malformed::TooLong.into()));
            }
            if ready!(self.poll_read(cx))? == 0 {
                return Poll::Ready(Err(Broken::Closed));
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Broken>> {
        self.unread.reserve(self.room);
        let room = self.unread.capacity() - self.unread.len();
        let count = ready!(poll_read_buf(Pin::new(&mut self.socket), cx, &mut self.unread));
        let count = count.map_err(Broken::Io)?;
        if count == room {
            self.room = (self.room * 2).min(MOST);
        }
        Poll::Ready(Ok(count))
    }
}

impl<B: Body + Unpin> Progress<B> {
    fn advance<S: AsyncWrite + Unpin>(&mut self, cx: &mut Context<'_>, socket: &mut S) -> Result<(), Broken> {
        if let Self::Under(sending) = self {
            match sending.poll(cx, socket) {
                Poll::Ready(Ok(())) => *self = Self::Sent,
                // What it said before it closed its ear is still to be read.
                Poll::Ready(Err(Broken::Io(_))) => *self = Self::Refused,
                Poll::Ready(Err(error)) => return Err(error),
                Poll::Pending => {}
            }
        }
        Ok(())
    }
}

impl<S, B: Body> Answering<S, B> {
    /// What the answer's head took on the wire, interim ones included.
    pub(super) fn head_bytes(&self) -> u64 {
        self.head_bytes
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin, B: Body + Unpin> Answering<S, B> {
    pub(super) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let wire = &mut *self.wire.borrow_mut();
        self.request.advance(cx, &mut wire.socket)?;
        while !self.framing.is_over() {
            if wire.unread.is_empty() && ready!(wire.poll_read(cx))? == 0 {
                return Poll::Ready(match self.framing {
                    Framing::UntilClose => None,
                    _ => Some(Err(Broken::Closed)),
                });
            }
            match self.framing.read(&wire.unread).map_err(Broken::Malformed)? {
                Run::Data(count) => {
                    let data = wire.unread.split_to(count).freeze();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Run::Framing(count) => wire.unread.advance(count),
                Run::Last(count) => {
                    wire.unread.advance(count);
                    self.framing = Framing::Nothing;
                }
            }
        }
        wire.is_free = self.keeps && matches!(self.request, Progress::Sent) && wire.unread.is_empty();
        if wire.room > FEW {
            (wire.unread, wire.room) = (BytesMut::new(), FEW);
        }
        Poll::Ready(None)
    }
}
