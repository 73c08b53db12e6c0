//! The two values that everything observable derives from: one primary request with its response, and the end of one copy.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    Account, Answer, DropReason, FailReason, GrpcStatus, RuleAccount, Serving, Text, Trace, Workload, reasons,
};

/// One primary request, from the end of its head to the last byte of its response.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub client: SocketAddr,
    /// The address the client dialled.
    pub destination: SocketAddr,
    /// The client's, where the configuration knows it.
    pub source: Option<Arc<Workload>>,
    /// The service the request is for, with the workload at the dialled address; None where it is nobody's, or the
    /// request names none of the services there.
    pub served: Option<Arc<Serving>>,
    /// Of the rule that matched, if one did.
    pub rule: Option<Arc<RuleAccount>>,
    pub version: http::Version,
    /// It came over TLS, which ended here.
    pub encrypted: bool,
    pub is_grpc: bool,
    /// 0 when no final response was read.
    pub status: u16,
    /// Of a gRPC call, where its response said one, in its head or its trailers.
    pub grpc_status: Option<GrpcStatus>,
    pub ending: Ending,
    /// Wire bytes, heads included; 0 for a message that did not become whole.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// When the request's head was whole. The times below count from here.
    pub started: Instant,
    /// To the head of the final response.
    pub answered: Option<Duration>,
    /// To the last byte of the response, or to where the exchange broke off.
    pub duration: Duration,
    pub trace: Option<Trace>,
    /// While somebody looks.
    pub text: Option<Arc<Text>>,
    /// How many mirrors the rule has for it.
    pub mirrors: u16,
    /// Of how many copies [`Observer::pair`](super::Observer::pair) tells: 0 while nobody looks. Of the other mirrors it was
    /// sampled out.
    pub copies: u16,
}

reasons! {
    /// How an exchange ended.
    Ending {
        /// Request and response are whole.
        Complete = "complete",
        /// The client ended it: a reset, or the end of its connection.
        Client = "client",
        /// The app ended it.
        App = "app",
        /// What followed could not be read; the exchange may well have gone on.
        Unread = "unread",
        /// The agent ended the connection.
        Agent = "agent",
    }
}

/// What became of one copy. Made exactly once for each copy that was not sampled out.
#[derive(Clone, Debug)]
pub struct ShadowOutcome {
    /// The mirror's.
    pub mirror: Arc<Account>,
    /// The primary's client, and its workload where the configuration knows it.
    pub client: SocketAddr,
    pub source: Option<Arc<Workload>>,
    /// The mirror's service, with the workload at `endpoint` once that is chosen, and before it where all are the same.
    pub served: Option<Arc<Serving>>,
    /// The endpoint the copy was sent to, once chosen.
    pub endpoint: Option<SocketAddr>,
    pub outcome: Outcome,
    /// Why it failed, in words, where more is known than the reason.
    pub why: Option<String>,
    /// That the copy was sent by; None when it was not.
    pub version: Option<http::Version>,
    pub is_grpc: bool,
    /// Of the answer's head; 0 when there was none. A copy may fail after it.
    pub status: u16,
    /// Of the copy of a gRPC call that completed, where the shadow said one.
    pub grpc_status: Option<GrpcStatus>,
    /// Heads and bodies, without the framing of bodies; 0 when it was not sent.
    pub request_bytes: u64,
    pub response_bytes: u64,
    /// When the copy was offered: the end of the request's head. The times below count from here.
    pub offered: Instant,
    /// To where a connection took it.
    pub sent: Option<Duration>,
    /// To the head of the shadow's answer.
    pub answered: Option<Duration>,
    /// To the end of the shadow's response or the failure.
    pub duration: Duration,
    /// The primary's.
    pub trace: Option<Trace>,
    /// The primary's, while somebody looks.
    pub text: Option<Arc<Text>>,
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

impl Outcome {
    /// As metrics and views write it: `completed`, `failed` or `dropped`, and the reason, empty when completed.
    pub fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Completed { .. } => ("completed", ""),
            Self::Failed(reason) => ("failed", reason.as_str()),
            Self::Dropped(reason) => ("dropped", reason.as_str()),
        }
    }
}

impl Exchange {
    /// As the books count it.
    pub fn answer(&self) -> Answer {
        let lost = self.status == 0 && self.ending == Ending::App;
        Answer {
            status: self.status,
            failed: lost || Answer::is_failure(self.status, self.grpc_status),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            took: (self.ending == Ending::Complete).then_some(self.duration),
        }
    }
}

impl ShadowOutcome {
    /// How long the shadow took: from where a connection took the copy, so without its wait for one.
    pub fn took(&self) -> Option<Duration> {
        self.sent.map(|sent| self.duration.saturating_sub(sent))
    }

    /// As the books count it, when it completed.
    pub fn answer(&self) -> Option<Answer> {
        let Outcome::Completed { status } = self.outcome else { return None };
        Some(Answer {
            status,
            failed: Answer::is_failure(status, self.grpc_status),
            request_bytes: self.request_bytes,
            response_bytes: self.response_bytes,
            took: self.took(),
        })
    }
}
