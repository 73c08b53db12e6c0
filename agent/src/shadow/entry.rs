//! An accepted copy and its open entry in the books: settled exactly once, whatever becomes of the copy.

use std::{
    cell::Cell,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{Sender, Shared, body::Source, budget::Slot, head::PackedHead};
use crate::{
    record::{
        DropReason, FailReason, GrpcStatus, Origin, Outcome, ShadowOutcome, Ticket, Trace, Turn, Workload,
    },
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
    pub(super) is_grpc: bool,
    pub(super) sent: Cell<Sent>,
    client: SocketAddr,
    source: Option<Arc<Workload>>,
    trace: Option<Trace>,
    origin: Option<Arc<Origin>>,
    shared: Arc<Shared>,
    ticket: Option<Ticket>,
}

/// How far a copy came.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// A connection took it.
    pub(super) at: Option<Instant>,
    pub(super) version: Option<http::Version>,
    /// The head of the answer was there.
    pub(super) answered: Option<Instant>,
    pub(super) status: u16,
    /// Of head and body.
    pub(super) request_bytes: u64,
    pub(super) response_bytes: u64,
}

impl Job {
    pub(super) fn settle(self, outcome: Outcome) {
        let body = self.source.bytes();
        self.entry.progress(|sent| sent.request_bytes += if sent.at.is_some() { body } else { 0 });
        let Self { source, slot, turn, entry, .. } = self;
        drop(source);
        drop((slot, turn));
        entry.settle(outcome);
    }
}

impl Entry {
    /// The copy has come further.
    pub(super) fn progress(&self, note: impl FnOnce(&mut Sent)) {
        let mut sent = self.sent.get();
        note(&mut sent);
        self.sent.set(sent);
    }

    pub(super) fn new(
        shared: &Arc<Shared>,
        mirror: &Arc<Mirror>,
        sender: Sender<'_>,
        ticket: Ticket,
    ) -> Self {
        if let Some(origin) = sender.origin {
            origin.add_copy();
        }
        Self {
            mirror: Arc::clone(mirror),
            endpoint: None,
            grpc_status: None,
            why: None,
            shared: Arc::clone(shared),
            offered_at: Instant::now(),
            is_grpc: false,
            sent: Cell::default(),
            client: sender.address,
            source: sender.workload.cloned(),
            trace: sender.trace,
            origin: sender.origin.cloned(),
            ticket: Some(ticket),
        }
    }

    pub(super) fn settle(mut self, outcome: Outcome) {
        self.close(outcome);
    }

    fn close(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.mirror.account.note(outcome, self.endpoint, self.why.clone());
            match self.grpc_status {
                Some(status) => ticket.answered(status),
                None => ticket.settle(outcome),
            }
            let ended = self.ended(outcome);
            let observer = &*self.shared.observer;
            observer.shadow(&ended);
            if let Some(origin) = &self.origin {
                origin.copy_ended(ended, observer);
            }
        }
    }

    fn ended(&mut self, outcome: Outcome) -> ShadowOutcome {
        let sent = self.sent.get();
        let since = |moment: Instant| moment.saturating_duration_since(self.offered_at);
        ShadowOutcome {
            mirror: Arc::clone(&self.mirror.account),
            client: self.client,
            source: self.source.take(),
            served: self.mirror.cluster.served(self.endpoint).cloned(),
            endpoint: self.endpoint,
            outcome,
            why: self.why.take(),
            version: sent.version,
            is_grpc: self.is_grpc,
            status: sent.status,
            grpc_status: self.grpc_status,
            request_bytes: sent.request_bytes,
            response_bytes: sent.response_bytes,
            offered: self.offered_at,
            sent: sent.at.map(since),
            answered: sent.answered.map(since),
            duration: self.offered_at.elapsed(),
            trace: self.trace,
            text: self.origin.as_ref().map(|origin| Arc::clone(&origin.text)),
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
