//! The live view: hands requests that are over to whoever looks on, and keeps the last ones. Threads that carry traffic put
//! them into one bounded queue; everything else happens on the window's thread. A reader that is slow loses lines of its
//! own, and is told how many.

mod outbox;
#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

pub use self::outbox::Item;
use self::outbox::Outbox;
use super::{Filter, Interest, Kind, Look, Reading, Seen, queue::Queue};

/// How many may look on at once.
pub const CLIENTS: usize = 16;
/// Requests kept at the most.
pub const MOST_KEPT: usize = 1000;
/// What is kept, in bytes, lines included.
const KEPT_BYTES: usize = 4 << 20;
/// Requests that are over and wait to be handed out: those of [`EVERY`], at 200,000 a second.
const QUEUE: usize = 4096;
const QUEUE_BYTES: usize = 8 << 20;
/// A person sees no difference, and no request wakes the window's thread.
const EVERY: Duration = Duration::from_millis(20);
/// While nobody looks on and the last ones are kept.
const SELDOM: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Live {
    interest: Arc<Interest>,
    queue: Queue,
    /// Somebody looks on, or the last ones are kept.
    open: AtomicBool,
    desk: Mutex<Desk>,
    opened: Notify,
    sent: AtomicU64,
    dropped: AtomicU64,
}

/// Locked on the window's thread alone, and by whoever makes an answer for it.
#[derive(Debug, Default)]
struct Desk {
    clients: Vec<Arc<Outbox>>,
    kept: VecDeque<Arc<Seen>>,
    kept_bytes: usize,
    /// How many are kept while nobody looks on.
    keep: usize,
    _keeping: Option<Look>,
    /// Of the queue's losses, those that clients know of.
    lost: u64,
    closed: bool,
}

/// Somebody looks on until it is dropped.
#[derive(Debug)]
pub struct Tap {
    live: Arc<Live>,
    outbox: Arc<Outbox>,
    _look: Look,
}

impl Live {
    pub fn new(interest: &Arc<Interest>) -> Arc<Self> {
        Arc::new(Self {
            interest: Arc::clone(interest),
            queue: Queue::new(QUEUE, QUEUE_BYTES),
            open: AtomicBool::new(false),
            desk: Mutex::default(),
            opened: Notify::new(),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// From now on the last requests are kept also while nobody looks on: so many, [`MOST_KEPT`] at the most.
    pub fn keep(&self, last: usize) {
        if last == 0 {
            return;
        }
        let mut desk = self.desk();
        desk.keep = last.min(MOST_KEPT);
        desk._keeping = Some(self.interest.look());
        self.open(&desk);
    }

    /// Whether it takes anything.
    pub fn is_open(&self) -> bool {
        self.open.load(Relaxed)
    }

    /// Never waits.
    pub fn offer(&self, seen: &Arc<Seen>) {
        self.queue.put(seen);
    }

    /// Looks on from now on. None when [`CLIENTS`] do, or it is closed.
    pub fn tap(self: &Arc<Self>, filter: Filter) -> Option<Tap> {
        let mut desk = self.desk();
        if desk.closed || desk.clients.len() >= CLIENTS {
            return None;
        }
        let outbox = Arc::new(Outbox::new(filter));
        self.open(&desk);
        desk.clients.push(Arc::clone(&outbox));
        Some(Tap { live: Arc::clone(self), outbox, _look: self.interest.look() })
    }

    fn open(&self, desk: &Desk) {
        if !self.open.swap(true, Relaxed) {
            // Of those who looked before.
            while self.queue.take().is_some() {}
            debug_assert!(desk.kept.is_empty());
        }
        self.opened.notify_one();
    }

    fn leave(&self, outbox: &Arc<Outbox>) {
        let mut desk = self.desk();
        desk.clients.retain(|client| !Arc::ptr_eq(client, outbox));
        if desk.clients.is_empty() && desk.keep == 0 {
            self.open.store(false, Relaxed);
            (desk.kept, desk.kept_bytes) = (VecDeque::new(), 0);
            while self.queue.take().is_some() {}
        }
    }

    /// Ends the view of everyone.
    pub fn close(&self) {
        let mut desk = self.desk();
        desk.closed = true;
        desk.clients.iter().for_each(|client| client.close());
    }

    /// How many requests are kept at this moment, at the most; 0 when nobody looks on and nothing is to be kept.
    pub fn keeps(&self) -> usize {
        let desk = self.desk();
        desk.most()
    }

    /// The last of those that are kept and fit, oldest first.
    pub fn last(&self, most: usize, filter: &Filter) -> Vec<Arc<Seen>> {
        self.hand_out();
        let desk = self.desk();
        let mut found: Vec<_> =
            desk.kept.iter().rev().filter(|seen| filter.fits(seen)).take(most).cloned().collect();
        found.reverse();
        found
    }

    /// Hands out what comes, on the window's thread, for as long as it is polled.
    pub async fn run(&self) {
        loop {
            let clients = self.desk().clients.len();
            match (self.is_open(), clients) {
                (false, _) => self.opened.notified().await,
                (true, 0) => sleep(SELDOM).await,
                (true, _) => sleep(EVERY).await,
            }
            self.hand_out();
        }
    }

    fn hand_out(&self) {
        let mut desk = self.desk();
        let mut dropped = 0;
        // No more than there was room for: whoever puts in more meanwhile is served the next time.
        for seen in std::iter::from_fn(|| self.queue.take()).take(QUEUE) {
            for client in &desk.clients {
                dropped += u64::from(!client.put(&seen));
            }
            desk.keep_one(seen);
        }
        // They came when the queue was full, so after those in it. Whether they would have fitted nobody knows.
        let lost = self.queue.lost();
        let new = lost - std::mem::replace(&mut desk.lost, lost);
        if new > 0 {
            desk.clients.iter().for_each(|client| client.drop_lines(new));
            dropped += new * desk.clients.len() as u64;
        }
        self.dropped.fetch_add(dropped, Relaxed);
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it tells of itself among the metrics.
    pub fn readings(self: &Arc<Self>) -> [Reading; 2] {
        let (clients, lines) = (Arc::clone(self), Arc::clone(self));
        [
            Reading {
                name: "umbra_tap_clients",
                help: "Clients of the live view",
                kind: Kind::Gauge,
                read: Box::new(move || vec![(Vec::new(), clients.desk().clients.len() as u64)]),
            },
            Reading {
                name: "umbra_tap_lines",
                help: "Lines for clients of the live view; dropped: they came faster than the client read",
                kind: Kind::Counter,
                read: Box::new(move || {
                    let counts = [("sent", &lines.sent), ("dropped", &lines.dropped)];
                    let sample = |(result, count): (&'static str, &AtomicU64)| {
                        (vec![("result", result.to_owned())], count.load(Relaxed))
                    };
                    counts.map(sample).into()
                }),
            },
        ]
    }
}

impl Desk {
    fn most(&self) -> usize {
        if self.clients.is_empty() { self.keep } else { MOST_KEPT }
    }

    fn keep_one(&mut self, seen: Arc<Seen>) {
        // A line is about as long as what it is made of.
        self.kept_bytes += 2 * seen.weight();
        self.kept.push_back(seen);
        while self.kept.len() > self.most() || self.kept_bytes > KEPT_BYTES {
            let Some(oldest) = self.kept.pop_front() else { break };
            self.kept_bytes -= 2 * oldest.weight();
        }
    }
}

impl Tap {
    /// What comes next; None when the view has ended.
    pub async fn next(&mut self) -> Option<Item> {
        let item = self.outbox.next().await;
        if let Some(Item::Line(_)) = item {
            self.live.sent.fetch_add(1, Relaxed);
        }
        item
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.live.leave(&self.outbox);
    }
}
