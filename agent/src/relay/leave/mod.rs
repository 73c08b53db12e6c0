//! The agent leaves: what its connections are told, and how each ends where its protocol lets it end without losing a
//! request. A connection that is not read, or never comes to such a place, is left to the deadline of whoever drains.
//!
//! | protocol | when the agent begins to leave | at its last call |
//! |---|---|---|
//! | HTTP/1 | the next response says `Connection: close` (RFC 9112 §9.6), and ends the connection | idle ones end |
//! | HTTP/2 | GOAWAY asks for no new streams (RFC 9113 §6.8); clients end the connection with their last stream | idle ones end, with a GOAWAY that names the last stream |

mod head;

use std::{
    future::poll_fn,
    io, mem,
    net::Shutdown,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Waker},
    time::Duration,
};

use bytes::Bytes;
use socket2::SockRef;
use tokio::{
    sync::{Notify, futures::Notified},
    time::timeout,
};

use super::{
    Tap,
    direction::Direction,
    side::{Said, Side},
};
use crate::wire::Place;

/// How long a client may take to end its side, so that what is still on its way to it is not taken back by a reset.
const LINGER: Duration = Duration::from_secs(1);

/// Two words to connections, spoken by whoever takes the agent down, or a part of what it does.
#[derive(Debug, Default)]
pub struct Leaving {
    spoken: AtomicU8,
    next: Notify,
    /// Those who hear every word spoken here. Bounded by what the agent listens on: those that are gone make room when
    /// one is added.
    parts: Mutex<Vec<Weak<Self>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Stay,
    Leave,
    LastCall,
}

impl Leaving {
    /// A part of the whole: it hears what is spoken here, and can be spoken to alone.
    #[must_use]
    pub fn part(&self) -> Arc<Self> {
        let part = Arc::<Self>::default();
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        // Locked, so that what is being spoken is either heard already or will be.
        part.spoken.store(self.spoken.load(Ordering::Acquire), Ordering::Release);
        parts.retain(|part| part.strong_count() > 0);
        parts.push(Arc::downgrade(&part));
        part
    }

    /// Connections end as soon as they can without losing a request.
    pub fn begin(&self) {
        self.speak(Word::Leave);
    }

    /// Idle connections end too, although a request may be on its way on them (on HTTP/2 its client is told that it was
    /// not looked at; on HTTP/1 it learns no more than from any server that closes an idle connection).
    pub fn last_call(&self) {
        self.speak(Word::LastCall);
    }

    fn speak(&self, word: Word) {
        let parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        self.spoken.fetch_max(word as u8, Ordering::Release);
        self.next.notify_waiters();
        parts.iter().filter_map(Weak::upgrade).for_each(|part| part.speak(word));
    }

    fn spoken(&self) -> Word {
        match self.spoken.load(Ordering::Acquire) {
            0 => Word::Stay,
            1 => Word::Leave,
            _ => Word::LastCall,
        }
    }

    pub(super) fn next_word(&self) -> Notified<'_> {
        self.next.notified()
    }
}

/// One connection's part of it. As long as nothing is said it costs a look at one number.
pub(super) struct Parting<'l, 'w> {
    leaving: &'l Leaving,
    /// Wakes the connection.
    next_word: Pin<&'w mut Notified<'l>>,
    /// Who is woken.
    waker: Option<Waker>,
    word: Word,
    /// The next bytes of the app are the head of a response, which is to tell the client.
    due: bool,
    /// The client knows that the connection ends.
    told: bool,
}

impl<'l, 'w> Parting<'l, 'w> {
    pub(super) fn new(leaving: &'l Leaving, next_word: Pin<&'w mut Notified<'l>>) -> Self {
        Self { leaving, next_word, waker: None, word: Word::Stay, due: false, told: false }
    }

    /// To be called at each poll, before anything is moved.
    pub(super) fn hear(&mut self, cx: &mut Context<'_>) {
        let nothing = self.leaving.spoken() == Word::Stay;
        if nothing && self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return;
        }
        self.waker = Some(cx.waker().clone());
        // First registered, then asked: no word is missed.
        while self.next_word.as_mut().poll(cx).is_ready() {
            self.next_word.set(self.leaving.next_word());
        }
        self.word = self.leaving.spoken();
    }

    /// Tells the client where that can be done now; to be called after requests were moved, before responses are and
    /// after. True when the responses have something to write.
    pub(super) fn announce<S: Side>(
        &mut self,
        tap: &impl Tap,
        requests: &Direction<'_, S>,
        responses: &mut Direction<'_, S>,
    ) -> bool {
        self.due = false;
        match self.place(tap, requests, responses) {
            Place::AnswerDue => self.due = true,
            Place::Frames { .. } if !self.told => {
                // The greatest number: streams that are on their way are still answered.
                responses.interject(goaway(u32::MAX >> 1));
                self.told = true;
                return true;
            }
            _ => {}
        }
        false
    }

    /// What to write in place of this chunk of the app.
    pub(super) fn change(&mut self, chunk: &Bytes) -> Option<Bytes> {
        let closing = if mem::take(&mut self.due) { head::closing(chunk) } else { None };
        self.told |= closing.is_some();
        closing
    }

    /// Whether the connection can end here, and the last words to its client. To be called after everything was moved.
    pub(super) fn can_end<S: Side>(
        &self,
        tap: &impl Tap,
        requests: &Direction<'_, S>,
        responses: &Direction<'_, S>,
    ) -> Option<Bytes> {
        let last_call = self.word == Word::LastCall;
        match self.place(tap, requests, responses) {
            Place::Between if last_call || self.told => Some(Bytes::new()),
            Place::Frames { idle: true, last } if last_call => Some(goaway(last)),
            _ => None,
        }
    }

    /// Of no interest to an agent that stays, and not known while there is more than the tap has seen.
    fn place<S: Side>(
        &self,
        tap: &impl Tap,
        requests: &Direction<'_, S>,
        responses: &Direction<'_, S>,
    ) -> Place {
        match self.word > Word::Stay && requests.is_even() && responses.is_even() {
            true => tap.place(),
            false => Place::Unknown,
        }
    }
}

/// Ends a connection between two messages.
pub(super) async fn part<S: Side>(client: S, app: S, last_words: Bytes) {
    // The client first: the sooner it knows, the better.
    let _ = timeout(LINGER, async { tokio::join!(end(&client, last_words), end(&app, Bytes::new())) }).await;
}

/// A side that is gone needs no end.
async fn end<S: Side>(side: &S, last_words: Bytes) -> io::Result<()> {
    let mut rest = last_words;
    while !rest.is_empty() {
        let count = poll_fn(|cx| side.poll_write(cx, &rest)).await?;
        drop(rest.split_to(count));
    }
    poll_fn(|cx| side.poll_last_word(cx)).await?;
    SockRef::from(side.socket()).shutdown(Shutdown::Write)?;
    while !matches!(poll_fn(|cx| side.poll_read(cx)).await?, Said::End) {}
    Ok(())
}

/// A GOAWAY frame without an error (RFC 9113 §6.8): streams above `last` were not looked at.
fn goaway(last: u32) -> Bytes {
    const HEAD: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];
    Bytes::from([&HEAD[..], &last.to_be_bytes(), &[0; 4]].concat())
}

#[cfg(test)]
mod tests;
