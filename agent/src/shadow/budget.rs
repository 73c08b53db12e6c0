//! The limits of the whole plane: how many copies, and how many bytes of heads and bodies, it holds at once.
//! Counters only; taking from them never waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use crate::config::umbra::Queue;

/// What the plane holds at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Copies accepted that have no connection yet.
    pub waiting: usize,
    /// Copies that have one.
    pub in_flight: usize,
    /// Of heads until their copy has ended, of bodies until they are written to a shadow's socket.
    pub bytes: usize,
}

#[derive(Debug)]
pub(super) struct Budget {
    limits: Queue,
    requests: AtomicUsize,
    sending: AtomicUsize,
    bytes: AtomicUsize,
    /// The process runs out of memory or file descriptors.
    scarce: AtomicBool,
}

/// The place of one accepted copy, from its offer to its end.
#[derive(Debug)]
pub(super) struct Slot {
    budget: Arc<Budget>,
    /// Bytes of the head.
    head: usize,
}

/// Held while a copy has a connection.
pub(super) struct Sending<'a>(&'a Budget);

impl Budget {
    pub(super) fn new(limits: Queue) -> Self {
        Self {
            limits,
            requests: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            scarce: AtomicBool::new(false),
        }
    }

    pub(super) fn make_room(&self, scarce: bool) {
        self.scarce.store(scarce, Relaxed);
    }

    /// Whether nothing more may be held, whatever the limits.
    pub(super) fn is_scarce(&self) -> bool {
        self.scarce.load(Relaxed)
    }

    /// Body bytes one copy may hold.
    pub(super) fn bytes_per_request(&self) -> usize {
        self.limits.bytes_per_request
    }

    /// A place for one more copy, or None when all are taken.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Slot> {
        take(&self.requests, 1, self.limits.requests).then(|| Slot { budget: Arc::clone(self), head: 0 })
    }

    /// Room for bytes; whoever gets `true` gives them back exactly once.
    pub(super) fn take_bytes(&self, bytes: usize) -> bool {
        take(&self.bytes, bytes, self.limits.bytes)
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Relaxed);
    }

    pub(super) fn load(&self) -> Load {
        // A copy may begin or end between the two readings.
        let in_flight = self.sending.load(Relaxed);
        let waiting = self.requests.load(Relaxed).saturating_sub(in_flight);
        Load { waiting, in_flight, bytes: self.bytes.load(Relaxed) }
    }
}

// Relaxed throughout: these are counts, nothing else is read on the strength of them.
fn take(counter: &AtomicUsize, amount: usize, limit: usize) -> bool {
    let within = |held: usize| held.checked_add(amount).filter(|&held| held <= limit);
    counter.fetch_update(Relaxed, Relaxed, within).is_ok()
}

impl Slot {
    /// Takes room for the copy's head, which stays in memory as long as the copy has its place. False when there is none.
    pub(super) fn hold(&mut self, head: usize) -> bool {
        let held = self.budget.take_bytes(head);
        self.head += if held { head } else { 0 };
        held
    }

    pub(super) fn sending(&self) -> Sending<'_> {
        self.budget.sending.fetch_add(1, Relaxed);
        Sending(&self.budget)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.budget.give_back(self.head);
        self.budget.requests.fetch_sub(1, Relaxed);
    }
}

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_reached_exactly_and_nothing_is_lost() {
        let budget = Arc::new(Budget::new(Queue { requests: 2, bytes: 10, bytes_per_request: 10 }));
        let mut one = budget.admit().unwrap();
        let two = budget.admit().unwrap();
        assert!(budget.admit().is_none());
        assert!(one.hold(4) && !one.hold(7));
        assert!(budget.take_bytes(6));
        assert!(!budget.take_bytes(1));
        let sending = two.sending();
        assert_eq!(budget.load(), Load { waiting: 1, in_flight: 1, bytes: 10 });

        drop((one, sending));
        drop(two);
        budget.give_back(6);
        assert_eq!(budget.load(), Load::default());
        assert!(!budget.take_bytes(usize::MAX));
    }
}
