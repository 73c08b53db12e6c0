//! An accepted copy and its open entry in the books: settled exactly once, whatever becomes of the copy.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Shared, body::Source, budget::Slot, head::PackedHead};
use crate::{
    record::{DropReason, FailReason, GrpcStatus, Outcome, ShadowOutcome, Ticket, Turn},
    route::Mirror,
};

/// What a worker gets. Let go of in this order: whoever sees the outcome finds the budget already given back.
pub(super) struct Job {
    pub(super) head: PackedHead,
    pub(super) source: Source,
    pub(super) slot: Slot,
    /// Where a policy limits the copies under way.
    pub(super) turn: Option<Turn>,
    /// How long a policy holds the copy back.
    pub(super) delay: Option<Duration>,
    pub(super) entry: Entry,
}

/// Dropped without being settled it counts as dropped while the plane stops, else as a fault of the agent: a worker
/// panicked, or is gone.
pub(super) struct Entry {
    pub(super) mirror: Arc<Mirror>,
    /// Once chosen.
    pub(super) endpoint: Option<SocketAddr>,
    /// What a shadow said of a gRPC call, once its answer was read to the end.
    pub(super) grpc_status: Option<GrpcStatus>,
    /// Why it failed, in words, where more is known than the reason.
    pub(super) why: Option<String>,
    pub(super) offered_at: Instant,
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

impl Job {
    pub(super) fn settle(self, outcome: Outcome) {
        let Self { source, slot, turn, entry, .. } = self;
        drop(source);
        drop((slot, turn));
        entry.settle(outcome);
    }
}

impl Entry {
    pub(super) fn new(shared: &Arc<Shared>, mirror: &Arc<Mirror>, ticket: Ticket) -> Self {
        Self {
            mirror: Arc::clone(mirror),
            endpoint: None,
            grpc_status: None,
            why: None,
            shared: Arc::clone(shared),
            offered_at: Instant::now(),
            ticket: Some(ticket),
        }
    }

    pub(super) fn settle(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.mirror.account.note(outcome, self.endpoint, self.why.take());
            match self.grpc_status {
                Some(status) => ticket.answered(status),
                None => ticket.settle(outcome),
            }
            self.shared.observer.shadow(&ShadowOutcome {
                mirror: Arc::clone(&self.mirror.account.key),
                endpoint: self.endpoint,
                outcome,
                grpc_status: self.grpc_status,
                duration: self.offered_at.elapsed(),
            });
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let stopping = self.shared.stopping.load(Ordering::Relaxed) && !thread::panicking();
        self.close(if stopping {
            Outcome::Dropped(DropReason::Draining)
        } else {
            Outcome::Failed(FailReason::Internal)
        });
    }
}
