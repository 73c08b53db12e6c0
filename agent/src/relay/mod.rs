//! The primary path: bytes in, the same bytes out, both ways, until both sides have ended as they would have
//! without us. Half-closes and resets are passed on; nothing is rewritten, nothing waits for anybody but the other
//! side. Each chunk is shown to a [`Tap`] after it was written on, so whatever looks at it is never in the way.

mod buffer;
mod direction;

use std::{future::poll_fn, io, pin::pin, task::Poll};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{io::Interest, net::TcpStream};

use direction::{Direction, Progress};

/// Sees every chunk after it was written on, in the order in which the relay wrote.
pub trait Tap {
    /// Bytes of the client that the app has been given.
    fn request(&mut self, chunk: &Bytes);
    /// Bytes of the app that the client has been given.
    fn response(&mut self, chunk: &Bytes);
    /// The client sends no more, and the app has been told so.
    fn request_end(&mut self);
    /// The app sends no more, and the client has been told so.
    fn response_end(&mut self);
}

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides closed in order.
    Closed,
    /// One side reset the connection, and so the other was reset.
    Reset,
}

/// Relays until both directions have ended. Dropping the future closes both connections.
pub async fn relay(client: TcpStream, app: TcpStream, tap: &mut impl Tap) -> End {
    let end = copy_both(&client, &app, tap).await;
    if end == End::Reset {
        reset(&client);
        reset(&app);
    }
    end
}

/// Makes the coming close a reset. A socket that refuses is closed in order: the peer still learns that it is over.
pub fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(std::time::Duration::ZERO));
}

async fn copy_both(client: &TcpStream, app: &TcpStream, tap: &mut impl Tap) -> End {
    let mut requests = Direction::new(client, app);
    let mut responses = Direction::new(app, client);
    // A direction that waits to write does not read, so a reset of its source shows only here.
    let mut client_error = pin!(client.ready(Interest::ERROR));
    let mut app_error = pin!(app.ready(Interest::ERROR));
    poll_fn(|cx| {
        // The app's answer to what was just written may already be there: requests first.
        let request = requests.poll(cx, |chunk| tap.request(chunk));
        if requests.just_ended() {
            tap.request_end();
        }
        if request == Progress::SinkReset {
            responses.source_was_reset();
        }
        let response = responses.poll(cx, |chunk| tap.response(chunk));
        if responses.just_ended() {
            tap.response_end();
        }
        if response == Progress::SinkReset {
            requests.source_was_reset();
        }
        match (request, response) {
            (Progress::Ended, Progress::Ended) => return Poll::Ready(End::Closed),
            // The sink of one direction is gone, but what it said before still belongs to the other side.
            (Progress::SourceReset, _) | (_, Progress::SourceReset) => return Poll::Ready(End::Reset),
            (request, response) if request.is_over() && response.is_over() => {
                return Poll::Ready(End::Reset);
            }
            _ => {}
        }
        let source_gone = |error: Poll<io::Result<_>>| error.is_ready();
        if request == Progress::WaitsToWrite && source_gone(client_error.as_mut().poll(cx))
            || response == Progress::WaitsToWrite && source_gone(app_error.as_mut().poll(cx))
        {
            return Poll::Ready(End::Reset);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
