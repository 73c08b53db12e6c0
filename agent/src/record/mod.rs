//! What happened: the values everything observable derives from. An [`Exchange`] is one primary request and its
//! response; a [`ShadowOutcome`] is what became of one copy. The [`Account`] of a mirror keeps promise 5:
//! offered = completed + failed{reason} + dropped{reason} + sampled_out + in_flight, at every moment.

mod account;
mod exchange;
mod grpc;
mod kinds;
mod latency;
mod origin;
mod reasons;
mod standing;
#[cfg(test)]
mod tests;
mod trace;
mod traffic;
mod trouble;
mod workload;

use std::{net::SocketAddr, sync::Arc};

pub use account::{Account, Accounts, Balance, Ticket};
pub use exchange::{Ending, Exchange, Outcome, ShadowOutcome};
pub use grpc::GrpcStatus;
pub use kinds::{Covered, Kinds};
pub use latency::{Distribution, Latency};
pub use origin::{Origin, Text};
pub(crate) use reasons::reasons;
pub use reasons::{DropReason, FailReason};
pub use standing::{Bucket, Pace, Since, Standing, Turn};
pub use trace::Trace;
pub use traffic::{Answer, RuleAccount, Totals, Traffic};
pub use trouble::Trouble;
pub use workload::{Serving, Workload};

/// One connection, as far as it can be told without following its protocol.
#[derive(Clone, Copy, Debug)]
pub struct Connection<'c> {
    pub client: SocketAddr,
    /// The address the client dialled.
    pub destination: SocketAddr,
    /// `http1`, `http2`, `tls`, `opaque`; `unknown` where the client said too little.
    pub protocol: &'static str,
    /// The host that a client of TLS asked for (SNI).
    pub server_name: Option<&'c str>,
}

/// Receives the records. Called on the thread where the thing happened: it must neither wait nor fail.
pub trait Observer: Send + Sync {
    /// A connection's protocol is known, of TLS the server's name too, or the connection ended before they were.
    fn connection(&self, connection: &Connection<'_>);
    /// A connection is relayed on without being read further.
    fn unread(&self, reason: &'static str);
    /// A request is relayed on without being read, or read to its end, while others of its connection are.
    fn unread_request(&self, reason: &'static str);
    /// A primary request is over.
    fn exchange(&self, exchange: &Exchange);
    /// A copy is over.
    fn shadow(&self, outcome: &ShadowOutcome);
    /// Whether somebody looks at single requests at this moment. Asked once for each, when its head is whole: of one that
    /// is looked at the records carry the [`Text`], and [`Observer::pair`] tells of each of its copies.
    fn looks(&self) -> bool {
        false
    }
    /// A request that is looked at is over and so is this copy of it: called once for each copy that was not sampled out,
    /// by whichever ends last, after `exchange` and `shadow`.
    fn pair(&self, _primary: &Arc<Exchange>, _copy: ShadowOutcome) {}
}

/// A rule of a virtual service, as written. There are keys by the ten thousand: what several have in common is shared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleKey {
    /// `namespace/name`
    pub virtual_service: Arc<str>,
    /// The rule's name, or its index when it has none.
    pub rule: String,
}

/// One mirror of a rule: the unit of accounting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MirrorKey {
    pub rule: Arc<RuleKey>,
    /// `host:port` or `host:port/subset` of the mirror's destination.
    pub mirror: Arc<str>,
}
