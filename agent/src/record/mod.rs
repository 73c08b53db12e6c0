//! What happened: the values everything observable derives from. An [`Exchange`] is one primary request and its
//! response; a [`ShadowOutcome`] is what became of one copy. The [`Account`] of a mirror keeps promise 5:
//! offered = completed + failed{reason} + dropped{reason} + sampled_out + in_flight, at every moment.

mod account;
mod grpc;
mod kinds;
mod standing;
#[cfg(test)]
mod tests;
mod trouble;

use std::{net::SocketAddr, sync::Arc, time::Duration};

pub use account::{Account, Accounts, Balance, Ticket};
pub use grpc::GrpcStatus;
pub use kinds::{Covered, Kinds};
pub use standing::{Bucket, Holding, Pace, Since, Standing, Turn};
pub use trouble::Trouble;

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
    /// Of a gRPC call, where its response said one, in its head or its trailers.
    pub grpc_status: Option<GrpcStatus>,
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
    /// Of the copy of a gRPC call that completed, where the shadow said one.
    pub grpc_status: Option<GrpcStatus>,
    /// From the offer to the end of the shadow's response or the failure.
    pub duration: Duration,
}

/// Receives the records. Called on the thread where the thing happened: it must neither wait nor fail.
pub trait Observer: Send + Sync {
    /// A connection's protocol is known, of TLS the server's name too, or the connection ended before they were.
    fn connection(&self, connection: &Connection<'_>);
    /// A connection is relayed on without being read further.
    fn unread(&self, reason: &'static str);
    /// A request is relayed on without being read, or read to its end, while others of its connection are.
    fn unread_request(&self, reason: &'static str);
    fn exchange(&self, exchange: &Exchange);
    fn shadow(&self, outcome: &ShadowOutcome);
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
        /// The name of the endpoint does not resolve.
        Dns = "dns",
        /// The shadow did not answer within the timeout.
        Timeout = "timeout",
        /// The shadow closed or reset the connection before its response ended.
        Reset = "reset",
        /// The shadow and this agent cannot agree on TLS: no certificate, one that is not trusted, no TLS at all.
        Tls = "tls",
        /// The shadow's answer was not HTTP, or its head too long.
        Protocol = "protocol",
        /// A fault of the agent itself; never expected.
        Internal = "internal",
    }
}

reasons! {
    /// Why a copy was not sent whole.
    DropReason {
        /// As many copies as allowed are waiting or under way (`shadow.queue.requests`), or as many of this mirror as are free.
        QueueFull = "queue_full",
        /// Heads and bodies held for shadows fill their budget (`shadow.queue.bytes`), or those of this mirror its part.
        BytesBudget = "bytes_budget",
        /// The shadow took this body too slowly: it filled its own budget (`shadow.queue.bytesPerRequest`).
        BodyTooSlow = "body_too_slow",
        /// The body is larger than its ShadowPolicy allows (`body.max`).
        BodyTooLarge = "body_too_large",
        /// As many copies of this mirror as its ShadowPolicy allows are under way (`concurrency`).
        Concurrency = "concurrency",
        /// The mirror's copies come faster than its ShadowPolicy allows (`rateLimit`).
        RateLimited = "rate_limited",
        /// The ShadowPolicy does not list the request's method (`methods`).
        Method = "method",
        /// The ShadowPolicy aborts this copy (`faults.abort`).
        Fault = "fault",
        /// Mirroring was paused by hand.
        Paused = "paused",
        /// The ShadowPolicy's `ttl` is over.
        Expired = "expired",
        /// No connection to the endpoint became free in time (`shadow.connectionsPerEndpoint`), or the DestinationRule's
        /// `connectionPool` lets no further request wait for one, or have one.
        Pending = "pending",
        /// Every endpoint of the mirror's destination is ejected (`outlierDetection`).
        Ejected = "ejected",
        /// No endpoint belongs to the mirror's destination.
        NoEndpoint = "no_endpoint",
        /// The client or the app ended the primary request before it was whole.
        Cancelled = "cancelled",
        /// The reader gave up on the connection before the request was whole.
        Unread = "unread",
        /// The request is itself a copy: it carries the marker header.
        Marked = "marked",
        /// CONNECT; or a request to change the protocol, and no ShadowPolicy wants those (`upgrades`).
        Upgrade = "upgrade",
        /// The request's head cannot be sent by an HTTP client as it stands, or is gRPC's and the shadow is spoken to in HTTP/1.1.
        Unsendable = "unsendable",
        /// The agent is stopping.
        Draining = "draining",
        /// The agent runs out of memory or file descriptors.
        Pressure = "pressure",
    }
}
