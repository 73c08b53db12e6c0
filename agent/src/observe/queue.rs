//! The way from the threads where requests end to the one that shows them. Bounded in number and bytes; whoever puts
//! something in never waits and wakes nobody: what does not fit is lost and counted, and the other end looks when it likes.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    mpsc::{Receiver, SyncSender, sync_channel},
};

use super::Seen;

#[derive(Debug)]
pub(super) struct Queue {
    /// data and shadow threads --requests that are over--> one thread that looks. Full ⇒ lost.
    sender: SyncSender<Arc<Seen>>,
    // Taken by that one thread only.
    receiver: Mutex<Receiver<Arc<Seen>>>,
    bytes: AtomicUsize,
    most: usize,
    lost: AtomicU64,
}

impl Queue {
    pub(super) fn new(lines: usize, bytes: usize) -> Self {
        let (sender, receiver) = sync_channel(lines);
        let (receiver, lost) = (Mutex::new(receiver), AtomicU64::new(0));
        Self { sender, receiver, bytes: AtomicUsize::new(0), most: bytes, lost }
    }

    pub(super) fn put(&self, seen: &Arc<Seen>) {
        let weight = seen.weight();
        let fits = self.bytes.fetch_add(weight, Relaxed) + weight <= self.most;
        if !fits || self.sender.try_send(Arc::clone(seen)).is_err() {
            self.bytes.fetch_sub(weight, Relaxed);
            self.lost.fetch_add(1, Relaxed);
        }
    }

    /// The oldest one; None when it is empty.
    pub(super) fn take(&self) -> Option<Arc<Seen>> {
        let seen = self.receiver.lock().unwrap_or_else(PoisonError::into_inner).try_recv().ok()?;
        self.bytes.fetch_sub(seen.weight(), Relaxed);
        Some(seen)
    }

    /// How many did not fit so far.
    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }
}
