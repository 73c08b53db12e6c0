//! What became of a request, in Envoy's words: `response_code` and `response_flags` as a sidecar in the agent's place
//! would have them (Envoy, `response_flags` of access logs).

use crate::record::{Ending, Exchange, FailReason, GrpcStatus, Outcome, ShadowOutcome};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Verdict {
    /// 100 to 599; 0 without a response.
    pub(super) code: u16,
    pub(super) flags: Flags,
    pub(super) is_grpc: bool,
    pub(super) grpc_status: Option<GrpcStatus>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flags {
    None,
    /// Whoever asked ended it.
    DownstreamEnded,
    /// Whoever answers ended it.
    UpstreamEnded,
    /// No connection, or no agreement on TLS.
    UpstreamFailed,
    NoHealthyUpstream,
    Timeout,
    ProtocolError,
}

impl Flags {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "-",
            Self::DownstreamEnded => "DC",
            Self::UpstreamEnded => "UC",
            Self::UpstreamFailed => "UF",
            Self::NoHealthyUpstream => "UH",
            Self::Timeout => "UT",
            Self::ProtocolError => "UPE",
        }
    }
}

impl Verdict {
    /// Of which nothing is known.
    pub(super) const NONE: Self = Self { code: 0, flags: Flags::None, is_grpc: false, grpc_status: None };

    pub(super) fn of_primary(exchange: &Exchange) -> Self {
        let (instead, flags) = match exchange.ending {
            Ending::Complete | Ending::Unread | Ending::Agent => (0, Flags::None),
            Ending::Client => (0, Flags::DownstreamEnded),
            // Without the agent's silence a client of a sidecar would have read this.
            Ending::App => (503, Flags::UpstreamEnded),
        };
        Self {
            code: code(exchange.status, instead),
            flags,
            is_grpc: exchange.is_grpc,
            grpc_status: exchange.grpc_status,
        }
    }

    /// None of a copy that no shadow was tried for: it is in the books of its mirror alone.
    pub(super) fn of_copy(copy: &ShadowOutcome) -> Option<Self> {
        let (instead, flags) = match copy.outcome {
            Outcome::Completed { .. } => (0, Flags::None),
            Outcome::Failed(reason) => match reason {
                FailReason::Connect | FailReason::Tls => (503, Flags::UpstreamFailed),
                FailReason::Dns => (503, Flags::NoHealthyUpstream),
                FailReason::Timeout => (504, Flags::Timeout),
                FailReason::Reset => (503, Flags::UpstreamEnded),
                FailReason::Protocol => (502, Flags::ProtocolError),
                FailReason::Internal => {
                    copy.sent?;
                    (0, Flags::None)
                }
            },
            // Cut off by the agent in the middle, as by a client that leaves.
            Outcome::Dropped(_) => {
                copy.sent?;
                (0, Flags::DownstreamEnded)
            }
        };
        Some(Self {
            code: code(copy.status, instead),
            flags,
            is_grpc: copy.is_grpc,
            grpc_status: copy.grpc_status,
        })
    }
}

/// The status that was read, if it is one.
fn code(status: u16, instead: u16) -> u16 {
    match status {
        0 => instead,
        100..=599 => status,
        _ => 0,
    }
}
