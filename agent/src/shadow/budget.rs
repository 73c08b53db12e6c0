//! The limits of the whole plane: how many copies, and how many bytes of heads and bodies, it holds at once, and what
//! of that one mirror may hold. Counters only; taking from them never waits.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

use crate::{config::umbra::Queue, record::Account};

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
    /// Several mirrors are in force.
    divided: AtomicBool,
}

/// The budget as one mirror has it. While several mirrors are in force each leaves as much free as it holds (the dynamic
/// thresholds of switches with a shared buffer; Choudhury and Hahne, 1998): whose shadow is dead fills half of it, n of them
/// n parts of n + 1, and there is always a part for another one.
#[derive(Clone, Debug)]
pub(super) struct Part {
    budget: Arc<Budget>,
    account: Arc<Account>,
}

/// The place of one accepted copy, from its offer to its end.
#[derive(Debug)]
pub(super) struct Slot {
    part: Part,
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
            divided: AtomicBool::new(false),
        }
    }

    /// Whether several mirrors are in force, or one to which everything belongs.
    pub(super) fn divide(&self, several: bool) {
        self.divided.store(several, Relaxed);
    }

    pub(super) fn make_room(&self, scarce: bool) {
        self.scarce.store(scarce, Relaxed);
    }

    /// Whether nothing more may be held, whatever the limits.
    pub(super) fn is_scarce(&self) -> bool {
        self.scarce.load(Relaxed)
    }

    pub(super) fn load(&self) -> Load {
        // A copy may begin or end between the two readings.
        let in_flight = self.sending.load(Relaxed);
        let waiting = self.requests.load(Relaxed).saturating_sub(in_flight);
        Load { waiting, in_flight, bytes: self.bytes.load(Relaxed) }
    }
}

impl Part {
    pub(super) fn new(budget: &Arc<Budget>, account: &Arc<Account>) -> Self {
        Self { budget: Arc::clone(budget), account: Arc::clone(account) }
    }

    pub(super) fn is_scarce(&self) -> bool {
        self.budget.is_scarce()
    }

    /// Body bytes one copy may hold.
    pub(super) fn bytes_per_request(&self) -> usize {
        self.budget.limits.bytes_per_request
    }

    /// A place for one more copy, or None when all are taken.
    pub(super) fn admit(self) -> Option<Slot> {
        let Self { budget, account } = &self;
        let admitted =
            self.take(1, &account.standing.holding.requests, &budget.requests, budget.limits.requests);
        // Not `then_some`: a slot that is made and dropped gives a place back.
        admitted.then(|| Slot { part: self, head: 0 })
    }

    /// Room for bytes; whoever gets `true` gives them back exactly once.
    pub(super) fn take_bytes(&self, bytes: usize) -> bool {
        let Self { budget, account } = self;
        self.take(bytes, &account.standing.holding.bytes, &budget.bytes, budget.limits.bytes)
    }

    pub(super) fn give_back(&self, bytes: usize) {
        self.account.standing.holding.bytes.fetch_sub(bytes, Relaxed);
        self.budget.bytes.fetch_sub(bytes, Relaxed);
    }

    // Relaxed throughout: these are counts, nothing else is read on the strength of them. `own` comes first, so that two data
    // threads that take at once can be refused what would just have fitted, never get more.
    fn take(&self, amount: usize, own: &AtomicUsize, all: &AtomicUsize, limit: usize) -> bool {
        let before = own.fetch_add(amount, Relaxed);
        let wanted =
            if self.budget.divided.load(Relaxed) { before.checked_add(amount) } else { Some(amount) };
        let taken = all.fetch_update(Relaxed, Relaxed, |held| {
            let fits = held.checked_add(wanted?)? <= limit;
            fits.then(|| held + amount)
        });
        if taken.is_err() {
            own.fetch_sub(amount, Relaxed);
        }
        taken.is_ok()
    }
}

impl Slot {
    /// Takes room for the copy's head, which stays in memory as long as the copy has its place. False when there is none.
    pub(super) fn hold(&mut self, head: usize) -> bool {
        let held = self.part.take_bytes(head);
        self.head += if held { head } else { 0 };
        held
    }

    /// For what else the copy holds.
    pub(super) fn part(&self) -> Part {
        self.part.clone()
    }

    pub(super) fn sending(&self) -> Sending<'_> {
        self.part.budget.sending.fetch_add(1, Relaxed);
        Sending(&self.part.budget)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.part.give_back(self.head);
        self.part.account.standing.holding.requests.fetch_sub(1, Relaxed);
        self.part.budget.requests.fetch_sub(1, Relaxed);
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
    use crate::record::{MirrorKey, RuleKey};

    fn part(budget: &Arc<Budget>) -> Part {
        let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
        Part::new(budget, &Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80".into() })))
    }

    #[test]
    fn limits_are_reached_exactly_and_nothing_is_lost() {
        let budget = Arc::new(Budget::new(Queue { requests: 2, bytes: 10, bytes_per_request: 10 }));
        let part = part(&budget);
        let mut one = part.clone().admit().unwrap();
        let two = part.clone().admit().unwrap();
        assert!(part.clone().admit().is_none());
        assert!(one.hold(4) && !one.hold(7));
        assert!(part.take_bytes(6));
        assert!(!part.take_bytes(1));
        let sending = two.sending();
        assert_eq!(budget.load(), Load { waiting: 1, in_flight: 1, bytes: 10 });

        drop((one, sending));
        drop(two);
        part.give_back(6);
        assert_eq!(budget.load(), Load::default());
        assert!(!part.take_bytes(usize::MAX));
    }

    #[test]
    fn each_of_several_mirrors_leaves_as_much_as_it_holds() {
        let budget = Arc::new(Budget::new(Queue { requests: 1, bytes: 600, bytes_per_request: 600 }));
        budget.divide(true);
        let parts = [(); 3].map(|()| part(&budget));
        let fill = |part: &Part| (0..).take_while(|_| part.take_bytes(1)).count();
        assert_eq!(parts.each_ref().map(fill), [300, 150, 75]);
        // What the first gives back is divided anew; whoever holds more than its part gets no more.
        parts[0].give_back(300);
        assert_eq!([fill(&parts[0]), fill(&parts[1])], [188, 19]);
        // One place is one mirror's, whichever comes.
        for part in &parts {
            assert!(part.clone().admit().is_some());
        }

        budget.divide(false);
        assert!(parts[2].take_bytes(600 - budget.load().bytes), "alone, a mirror may have all that is left");
    }
}
