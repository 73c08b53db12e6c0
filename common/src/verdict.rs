//! What the inbound program decided about one new connection.

macro_rules! verdicts {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What became of one new connection. Everything but [`Verdict::Assigned`] leaves the connection to
        /// the kernel's own lookup, as if the program were not there. Lookups are counted: a handshake
        /// by cookie is looked up twice, and so is a stray packet of a connection just ended.
        #[repr(u32)]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Verdict { $($(#[$doc])* $variant,)+ }

        impl Verdict {
            /// Every verdict, in the order of its counter.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The value of the metrics' `verdict` label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

verdicts! {
    /// Handed to the agent.
    Assigned = "assigned",
    /// Not TCP.
    NotTcp = "not_tcp",
    /// To or from the reserved address: the agent's own way to the app.
    Reserved = "reserved",
    /// No rule captures the destination.
    NotCaptured = "not_captured",
    /// From a source that is never captured.
    Exempt = "exempt",
    /// The agent's own way to an app that does not listen on every address.
    Bypass = "bypass",
    /// The app was found not listening a moment ago: the kernel refuses, or finds it back. Or the agent ran out of
    /// ports to reach it from.
    Released = "released",
    /// The agent has not been heard of for longer than [`crate::HEARTBEAT_LIMIT`].
    Stale = "stale",
    /// Outside of the share of connections that is captured there.
    Unsampled = "unsampled",
    /// The agent offers no listener: it is stopping or has died.
    NoListener = "no_listener",
    /// Another program of the namespace assigned it first: during an upgrade, the older agent.
    Taken = "taken",
    /// The kernel would not assign the listener.
    Error = "error",
    /// The agent is alive and has no room for more: see [`crate::SHED`].
    Shed = "shed",
}
