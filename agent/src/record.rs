//! What happened: the values everything observable derives from. An [`Exchange`] is one primary request and its
//! response; a [`ShadowOutcome`] is what became of one copy. The [`Account`] of a mirror keeps promise 5:
//! offered = completed + failed{reason} + dropped{reason} + sampled_out + in_flight, at every moment.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// One primary request, from the first byte of its head to the last byte of its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub client: SocketAddr,
    /// The address the client dialled.
    pub destination: SocketAddr,
    /// The rule that matched, if one did.
    pub rule: Option<Arc<RuleKey>>,
    /// 0 when no final response was read.
    pub status: u16,
    /// Wire bytes, heads included.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// From the first byte of the request to the last of the response.
    pub duration: Duration,
}

/// What became of one copy. Made exactly once for each copy that was not sampled out.
#[derive(Clone, Debug)]
pub struct ShadowOutcome {
    pub mirror: Arc<MirrorKey>,
    /// The endpoint the copy was sent to, once chosen.
    pub endpoint: Option<SocketAddr>,
    pub outcome: Outcome,
    /// From the offer to the end of the shadow's response or the failure.
    pub duration: Duration,
}

/// Receives the records. Called on the thread where the thing happened: it must neither wait nor fail.
pub trait Observer: Send + Sync {
    /// A connection's protocol is known, or the connection ended before it was.
    fn connection(&self, protocol: &'static str);
    /// A connection is relayed on without being read further.
    fn unread(&self, reason: &'static str);
    fn exchange(&self, exchange: &Exchange);
    fn shadow(&self, outcome: &ShadowOutcome);
}

/// A rule of a virtual service, as written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// `namespace/name`
    pub virtual_service: String,
    /// The rule's name, or its index when it has none.
    pub rule: String,
}

/// One mirror of a rule: the unit of accounting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorKey {
    pub rule: RuleKey,
    /// `host:port` or `host:port/subset` of the mirror's destination.
    pub mirror: String,
}

/// The end of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The shadow's response was read to its end.
    Completed { status: u16 },
    /// Sent, or tried to be; the shadow is at fault.
    Failed(FailReason),
    /// Never sent whole, by our own limits or because the primary request did not end.
    Dropped(DropReason),
}

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)+ }

        impl $name {
            /// Every reason, in the order of their counters.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value of the metrics' `reason` label.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}
pub(crate) use reasons;

reasons! {
    /// Why a copy that was sent, or should have been, brought no response.
    FailReason {
        /// No connection to the endpoint could be made.
        Connect = "connect",
        /// The shadow did not answer within the timeout.
        Timeout = "timeout",
        /// The shadow closed or reset the connection before its response ended.
        Reset = "reset",
        /// The shadow's answer was not HTTP.
        Protocol = "protocol",
        /// A fault of the agent itself; never expected.
        Internal = "internal",
    }
}

reasons! {
    /// Why a copy was not sent whole.
    DropReason {
        /// As many copies as allowed are waiting or under way (`shadow.queue.requests`).
        QueueFull = "queue_full",
        /// The bodies waiting for shadows fill their budget (`shadow.queue.bytes`).
        BytesBudget = "bytes_budget",
        /// The shadow took this body too slowly: it filled its own budget (`shadow.queue.bytesPerRequest`).
        BodyTooSlow = "body_too_slow",
        /// No endpoint belongs to the mirror's destination.
        NoEndpoint = "no_endpoint",
        /// The client or the app ended the primary request before it was whole.
        Cancelled = "cancelled",
        /// The reader gave up on the connection before the request was whole.
        Unread = "unread",
        /// The request is itself a copy: it carries the marker header.
        Marked = "marked",
        /// CONNECT, or a request to change the protocol.
        Upgrade = "upgrade",
        /// The request's head cannot be sent by an HTTP client as it stands.
        Unsendable = "unsendable",
        /// The agent is stopping.
        Draining = "draining",
    }
}

/// The books of one mirror. Shared by the snapshot (which keeps it alive), data workers, shadow workers and views.
#[derive(Debug)]
pub struct Account {
    pub key: Arc<MirrorKey>,
    offered: AtomicU64,
    sampled_out: AtomicU64,
    completed: AtomicU64,
    failed: [AtomicU64; FailReason::ALL.len()],
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Account {
    pub fn new(key: MirrorKey) -> Self {
        Self {
            key: Arc::new(key),
            offered: AtomicU64::new(0),
            sampled_out: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            failed: [const { AtomicU64::new(0) }; _],
            dropped: [const { AtomicU64::new(0) }; _],
        }
    }

    /// A matched request meets this mirror. The ticket stays open, and the copy in flight, until it is settled.
    pub fn offer(self: &Arc<Self>) -> Ticket {
        self.offered.fetch_add(1, Ordering::Relaxed);
        Ticket { account: Some(Arc::clone(self)) }
    }

    fn settle(&self, outcome: Outcome) {
        let cell = match outcome {
            Outcome::Completed { .. } => &self.completed,
            Outcome::Failed(reason) => &self.failed[reason as usize],
            Outcome::Dropped(reason) => &self.dropped[reason as usize],
        };
        // Release: whoever reads this outcome also sees its offer, so in_flight is never negative.
        cell.fetch_add(1, Ordering::Release);
    }

    /// A consistent reading: outcomes first, offers after them.
    pub fn read(&self) -> Balance {
        let completed = self.completed.load(Ordering::Acquire);
        let sampled_out = self.sampled_out.load(Ordering::Acquire);
        let failed = std::array::from_fn(|i| self.failed[i].load(Ordering::Acquire));
        let dropped = std::array::from_fn(|i| self.dropped[i].load(Ordering::Acquire));
        let offered = self.offered.load(Ordering::Acquire);
        Balance { offered, sampled_out, completed, failed, dropped }
    }
}

/// One reading of an [`Account`].
#[derive(Clone, Copy, Debug)]
pub struct Balance {
    pub offered: u64,
    pub sampled_out: u64,
    pub completed: u64,
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

/// All accounts, by mirror: an unchanged mirror keeps its books over a reload. Bounded by the configuration.
#[derive(Debug, Default)]
pub struct Accounts {
    // Taken when a configuration is compiled and when metrics are read, never on the request path.
    by_mirror: Mutex<BTreeMap<MirrorKey, Arc<Account>>>,
}

impl Accounts {
    /// The account of a mirror, opened on first use.
    pub fn account(&self, key: &MirrorKey) -> Arc<Account> {
        let mut accounts = self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(accounts.entry(key.clone()).or_insert_with(|| Arc::new(Account::new(key.clone()))))
    }

    /// Every account in the order of its key.
    pub fn all(&self) -> Vec<Arc<Account>> {
        self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Forgets accounts that no snapshot, copy or other holder refers to any more.
    pub fn forget_unused(&self) {
        let mut accounts = self.by_mirror.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.retain(|_, account| Arc::strong_count(account) > 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> Arc<Account> {
        let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() };
        Arc::new(Account::new(MirrorKey { rule, mirror: "my-app:80/v2".into() }))
    }

    #[test]
    fn every_ticket_ends_in_exactly_one_place() {
        let account = account();
        account.offer().settle(Outcome::Completed { status: 200 });
        account.offer().settle(Outcome::Failed(FailReason::Timeout));
        account.offer().settle(Outcome::Dropped(DropReason::QueueFull));
        account.offer().sampled_out();
        let open = account.offer();

        let balance = account.read();
        assert_eq!(balance.offered, 5);
        assert_eq!(balance.in_flight(), 1);
        assert_eq!(balance.failed[FailReason::Timeout as usize], 1);
        assert_eq!(balance.dropped[DropReason::QueueFull as usize], 1);
        open.settle(Outcome::Completed { status: 500 });
        assert_eq!(account.read().in_flight(), 0);
    }

    #[test]
    fn a_lost_ticket_is_counted_as_an_internal_failure() {
        let account = account();
        drop(account.offer());
        assert_eq!(account.read().failed[FailReason::Internal as usize], 1);
    }

    #[test]
    fn an_account_in_use_survives_the_clean_up() {
        let accounts = Accounts::default();
        let key = (*account().key).clone();
        let held = accounts.account(&key);
        accounts.forget_unused();
        assert!(Arc::ptr_eq(&held, &accounts.account(&key)));
        drop(held);
        accounts.forget_unused();
        assert!(accounts.all().is_empty());
    }
}
