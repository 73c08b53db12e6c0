//! The books: what became of every request a mirror was offered. Each offer is a [`Ticket`] that ends in exactly one
//! place, whatever happens to whoever holds it.

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use once_cell::race::OnceBox;

use super::{
    Answer, Buckets, Counts, DropReason, FailReason, GrpcStatus, MirrorKey, Outcome, RuleAccount, RuleKey,
    Since, Standing, Totals, Traffic,
    trouble::{Last, Trouble},
};

/// The books of one mirror. Shared by the snapshot (which keeps it alive), data workers, shadow workers and views.
#[derive(Debug)]
pub struct Account {
    pub key: Arc<MirrorKey>,
    /// By hand. It stays with the account, so over reloads.
    paused: AtomicBool,
    last: Last,
    pub standing: Standing,
    offered: AtomicU64,
    sampled_out: AtomicU64,
    completed: AtomicU64,
    /// Made when the first of them comes: most mirrors never have any, and there are mirrors by the ten thousand. Making
    /// it waits for nobody (of two made at once, one stays).
    rare: OnceBox<Rare>,
    /// What the shadow answered; made with its first answer.
    answered: OnceBox<Answered>,
}

/// Of completed copies.
#[derive(Debug, Default)]
struct Answered {
    traffic: Traffic,
    /// From the offer on.
    lasted: Buckets,
}

/// How a copy ends other than by a plain response.
#[derive(Debug)]
struct Rare {
    /// Completed too: calls of gRPC, by their status.
    calls: [AtomicU64; GrpcStatus::COUNT],
    failed: [AtomicU64; FailReason::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Default for Rare {
    fn default() -> Self {
        Self {
            calls: [const { AtomicU64::new(0) }; _],
            failed: [const { AtomicU64::new(0) }; _],
            dropped: [const { AtomicU64::new(0) }; _],
        }
    }
}

impl Account {
    pub fn new(key: MirrorKey) -> Self {
        Self {
            key: Arc::new(key),
            paused: AtomicBool::new(false),
            last: Last::default(),
            standing: Standing::default(),
            offered: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            rare: OnceBox::new(),
            answered: OnceBox::new(),
        }
    }

    /// A copy completed this long after its offer.
    pub fn lasted(&self, time: Duration) {
        self.answered.get_or_init(Box::default).lasted.count_time(time);
    }

    /// How long completed copies lasted; None before the first.
    pub fn durations(&self) -> Option<Counts> {
        let counts = self.answered.get().map(|answered| answered.lasted.read());
        counts.filter(|counts| counts.total() > 0)
    }

    /// A copy completed with this answer.
    pub fn count(&self, answer: &Answer) {
        self.answered.get_or_init(Box::default).traffic.count(answer);
    }

    /// What completed copies came to; None before the first answer.
    pub fn traffic(&self) -> Option<Totals> {
        self.answered.get().map(|answered| answered.traffic.read())
    }

    /// A matched request meets this mirror. The ticket stays open, and the copy in flight, until it is settled.
    pub fn offer(self: &Arc<Self>) -> Ticket {
        self.offered.fetch_add(1, Ordering::Relaxed);
        Ticket { account: Some(Arc::clone(self)) }
    }

    /// From now on no copy is sent to this mirror. False when it was so before.
    pub fn pause(&self) -> bool {
        !self.paused.swap(true, Ordering::Relaxed)
    }

    /// Ends what [`Account::pause`] began. False when it was not paused.
    pub fn resume(&self) -> bool {
        self.paused.swap(false, Ordering::Relaxed)
    }

    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// Keeps what became of a copy if it is the newest trouble; to be called before its ticket is settled, so that
    /// whoever sees the count finds the reason.
    pub fn note(&self, outcome: Outcome, endpoint: Option<SocketAddr>, message: Option<String>) {
        self.last.note(outcome, endpoint, message);
    }

    /// What went wrong last, if anything did.
    pub fn trouble(&self) -> Option<Trouble> {
        self.last.read()
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }

    fn settle(&self, outcome: Outcome) {
        let cell = match outcome {
            Outcome::Completed { .. } => &self.completed,
            Outcome::Failed(reason) => &self.rare().failed[reason as usize],
            Outcome::Dropped(reason) => &self.rare().dropped[reason as usize],
        };
        // Release: whoever reads this outcome also sees its offer, so in_flight is never negative.
        cell.fetch_add(1, Ordering::Release);
    }

    /// A consistent reading: outcomes first, offers after them.
    pub fn read(&self) -> Balance {
        let rare = self.rare.get();
        let calls = count(rare.map(|rare| &rare.calls));
        let completed = self.completed.load(Ordering::Acquire) + calls.iter().sum::<u64>();
        let sampled_out = self.sampled_out.load(Ordering::Acquire);
        let failed = count(rare.map(|rare| &rare.failed));
        let dropped = count(rare.map(|rare| &rare.dropped));
        let offered = self.offered.load(Ordering::Acquire);
        Balance { offered, sampled_out, completed, calls, failed, dropped }
    }
}

fn count<const N: usize>(counters: Option<&[AtomicU64; N]>) -> [u64; N] {
    std::array::from_fn(|i| counters.map_or(0, |counters| counters[i].load(Ordering::Acquire)))
}

/// One reading of an [`Account`].
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    pub offered: u64,
    pub sampled_out: u64,
    pub completed: u64,
    /// Those of the completed that were calls of gRPC and brought a status, by its code.
    pub calls: [u64; GrpcStatus::COUNT],
    /// In the order of [`FailReason::ALL`].
    pub failed: [u64; FailReason::ALL.len()],
    /// In the order of [`DropReason::ALL`].
    pub dropped: [u64; DropReason::ALL.len()],
}

impl Balance {
    /// Copies whose end is not known yet.
    pub fn in_flight(&self) -> u64 {
        let ended = self.sampled_out
            + self.completed
            + self.failed.iter().sum::<u64>()
            + self.dropped.iter().sum::<u64>();
        self.offered - ended
    }
}

/// An open entry in the books. Dropped without being settled it counts as an internal failure, so that nothing is
/// ever lost silently.
#[derive(Debug)]
#[must_use = "a ticket is an open entry in the accounts"]
pub struct Ticket {
    account: Option<Arc<Account>>,
}

impl Ticket {
    pub fn settle(mut self, outcome: Outcome) {
        if let Some(account) = self.account.take() {
            account.settle(outcome);
        }
    }

    /// The copy of a gRPC call completed with this status.
    pub fn answered(mut self, status: GrpcStatus) {
        if let Some(account) = self.account.take() {
            account.rare().calls[usize::from(status.code())].fetch_add(1, Ordering::Release);
        }
    }

    /// The draw fell outside the mirror's share.
    pub fn sampled_out(mut self) {
        if let Some(account) = self.account.take() {
            account.sampled_out.fetch_add(1, Ordering::Release);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(account) = self.account.take() {
            account.settle(Outcome::Failed(FailReason::Internal));
        }
    }
}

/// All accounts, by mirror and by rule: what is unchanged keeps its books over a reload. Bounded by the configuration.
#[derive(Debug, Default)]
pub struct Accounts {
    // Taken when a configuration is compiled and when metrics are read, never on the request path.
    by_mirror: Mutex<BTreeMap<Arc<MirrorKey>, Arc<Account>>>,
    by_rule: Mutex<BTreeMap<Arc<RuleKey>, Arc<RuleAccount>>>,
    /// Of each ShadowPolicy, by `namespace/name`.
    since: Mutex<BTreeMap<String, Arc<Since>>>,
}

impl Accounts {
    /// The account of a mirror, opened on first use.
    pub fn account(&self, key: &MirrorKey) -> Arc<Account> {
        let mut accounts = self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = accounts.get(key) {
            return Arc::clone(known);
        }
        let new = Arc::new(Account::new(key.clone()));
        accounts.insert(Arc::clone(&new.key), Arc::clone(&new));
        new
    }

    /// The account of a rule, opened on first use.
    pub fn rule(&self, key: &Arc<RuleKey>) -> Arc<RuleAccount> {
        let mut rules = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = rules.get(key) {
            return Arc::clone(known);
        }
        let new = Arc::new(RuleAccount::new(Arc::clone(key)));
        rules.insert(Arc::clone(key), Arc::clone(&new));
        new
    }

    /// Since when a ShadowPolicy is in force; the same one for the same name while anyone refers to it.
    pub fn since(&self, policy: &str) -> Arc<Since> {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(since.entry(policy.to_owned()).or_default())
    }

    /// Every account in the order of its key.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Every rule's account in the order of its key.
    pub fn rules(&self) -> Vec<Arc<RuleAccount>> {
        self.by_rule.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets accounts that no snapshot, copy or other holder refers to any more. One that is paused stays: a rule that
    /// is taken out and put back must not begin to mirror by that.
    pub fn forget_unused(&self) {
        let mut accounts = self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1 || account.is_paused());
        drop(accounts);
        let mut rules = self.by_rule.lock().unwrap_or_else(PoisonError::into_inner);
        rules.retain(|_, account| Arc::strong_count(account) > 1);
        drop(rules);
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.retain(|_, since| Arc::strong_count(since) > 1);
    }
}
