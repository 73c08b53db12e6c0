//! The primary path: bytes in, the same bytes out, both ways, until both sides have ended as they would have
//! without us. Half-closes and resets are passed on; nothing is rewritten, nothing waits for anybody but the other
//! side. Each chunk is shown to a [`Tap`] after it was written on, so whatever looks at it is never in the way. Only an
//! agent that [leaves](Leaving), all of it or the namespace, adds a word of its own, and ends connections where no request is lost.

mod buffer;
mod direction;
mod leave;
mod pipe;
mod side;
pub mod tls;
mod watch;

use std::{future::poll_fn, pin::pin, task::Poll, time::Duration};

use bytes::Bytes;
use socket2::{SockRef, TcpKeepalive};
use tokio::{io::Interest, net::TcpStream};

use direction::{Direction, Progress};
pub use leave::Leaving;
use leave::Parting;
pub use side::{Said, Side};
use watch::{Requests, Responses};

use crate::wire::Place;

/// Silence after which an app that has ended is asked whether it is there: Linux's `tcp_fin_timeout`.
const GONE_AFTER: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 60 });
/// How often it is asked, and how many times without an answer.
const GONE_INTERVAL: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 15 });
const GONE_PROBES: u32 = 2;

/// Sees every chunk after it was written on, in the order in which the relay wrote, but for those that it need not see.
pub trait Tap {
    /// Bytes of the client that the app has been given.
    fn request(&mut self, chunk: &Bytes);
    /// Bytes of the app that the client has been given.
    fn response(&mut self, chunk: &Bytes);
    /// How many of the app's next bytes are of no interest but for their number: of many such bytes the relay tells no more.
    /// (The client's are always shown: with most of them a copy goes, and for uploads there was nothing to gain.)
    fn response_unseen(&self) -> u64 {
        0
    }
    /// The client has been given so many of those.
    fn response_passed(&mut self, _count: u64) {}
    /// The client sends no more, and the app has been told so.
    fn request_end(&mut self);
    /// The app sends no more, and the client has been told so.
    fn response_end(&mut self);
    /// One of them has broken the connection off, without a word or with half of one.
    fn reset(&mut self, _by: Peer) {}
    /// Where the connection stands after all that. Asked only while the agent leaves.
    fn place(&self) -> Place {
        Place::Unknown
    }
}

/// Who is at either end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    Client,
    App,
}

/// How a relayed connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Both sides closed in order.
    Closed,
    /// One side reset the connection, and so the other was reset.
    Reset,
}

/// Relays until both directions have ended, or the agent leaves and the connection can end. Dropping the future closes
/// both connections.
pub async fn relay<S: Side>(client: S, app: S, tap: &mut impl Tap, leaving: &Leaving) -> End {
    relay_after(Bytes::new(), client, app, tap, leaving).await
}

/// The same for a client of which something was read already.
pub async fn relay_after<S: Side>(
    said: Bytes,
    client: S,
    app: S,
    tap: &mut impl Tap,
    leaving: &Leaving,
) -> End {
    match copy_both(said, &client, &app, tap, leaving).await {
        Copied::To(End::Closed) => End::Closed,
        Copied::To(End::Reset) => {
            reset(client.socket());
            reset(app.socket());
            End::Reset
        }
        Copied::ToBoundary(last_words) => {
            // On the heap, so that connections of an agent that stays need no room for it.
            Box::pin(leave::part(client, app, last_words)).await;
            End::Closed
        }
    }
}

enum Copied {
    To(End),
    /// Nothing is under way. With the last words to the client.
    ToBoundary(Bytes),
}

/// Makes the coming close a reset. A socket that refuses is closed in order: the peer still learns that it is over.
pub fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

/// An app that has ended may still listen, or be gone: then its kernel forgets the connection after a minute, and so
/// must we, or clients that never close would hold ours for ever. Its kernel answers for it when asked.
fn ask_whether_it_is_there(app: &TcpStream) {
    let asking =
        TcpKeepalive::new().with_time(GONE_AFTER).with_interval(GONE_INTERVAL).with_retries(GONE_PROBES);
    // A socket that refuses is gone, which shows without asking.
    let _ = SockRef::from(app).set_tcp_keepalive(&asking);
}

async fn copy_both<S: Side>(
    said: Bytes,
    client: &S,
    app: &S,
    tap: &mut impl Tap,
    leaving: &Leaving,
) -> Copied {
    let next_word = pin!(leaving.next_word());
    let mut parting = Parting::new(leaving, next_word);
    let mut requests = Direction::new(client, app, said);
    let mut responses = Direction::new(app, client, Bytes::new());
    // A direction that waits to write, or has ended, does not read: a reset of its source shows only here.
    let mut client_error = pin!(client.socket().ready(Interest::ERROR));
    let mut app_error = pin!(app.socket().ready(Interest::ERROR));
    let reset = |tap: &mut dyn Tap, by| {
        tap.reset(by);
        Poll::Ready(Copied::To(End::Reset))
    };
    poll_fn(|cx| {
        parting.hear(cx);
        // The app's answer to what was just written may already be there: requests first.
        let request = requests.poll(cx, &mut Requests(tap));
        if requests.just_ended() {
            tap.request_end();
        }
        if request == Progress::SinkReset {
            responses.source_was_reset();
        }
        parting.announce(tap, &requests, &mut responses);
        let response = responses.poll(cx, &mut Responses(tap, &mut parting));
        if responses.just_ended() {
            tap.response_end();
            ask_whether_it_is_there(app.socket());
        }
        if response == Progress::SinkReset {
            requests.source_was_reset();
        }
        match (request, response) {
            (Progress::Ended, Progress::Ended) => return Poll::Ready(Copied::To(End::Closed)),
            // The sink of one direction is gone, but what it said before still belongs to the other side.
            (Progress::SourceReset, _) => return reset(tap, Peer::Client),
            (_, Progress::SourceReset) => return reset(tap, Peer::App),
            (request, response) if request.is_over() && response.is_over() => {
                let client_is_gone = matches!(response, Progress::SinkGone | Progress::SinkReset);
                return reset(tap, if client_is_gone { Peer::Client } else { Peer::App });
            }
            _ => {}
        }
        if parting.announce(tap, &requests, &mut responses) {
            cx.waker().wake_by_ref();
        }
        if let Some(last_words) = parting.can_end(tap, &requests, &responses) {
            return Poll::Ready(Copied::ToBoundary(last_words));
        }
        let reads_not = |progress| matches!(progress, Progress::WaitsToWrite | Progress::Ended);
        if reads_not(request) && client_error.as_mut().poll(cx).is_ready() {
            return reset(tap, Peer::Client);
        }
        if reads_not(response) && app_error.as_mut().poll(cx).is_ready() {
            // What it said before its end may still be on the way to the client: a reset would take it back.
            return match response {
                Progress::Ended => Poll::Ready(Copied::To(End::Closed)),
                _ => reset(tap, Peer::App),
            };
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests;
