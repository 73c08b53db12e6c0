//! Why copies bring no response, in two closed sets: their names are labels of metrics and words of the manual.

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

impl DropReason {
    /// Whether somebody wants it so: by a policy, by hand, or by what the request itself says.
    pub fn is_asked_for(self) -> bool {
        use DropReason as R;
        let by_policy = matches!(self, R::Method | R::RateLimited | R::Fault | R::Expired | R::Upgrade);
        by_policy || matches!(self, R::Paused | R::Marked)
    }
}
