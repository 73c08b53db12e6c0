//! What can go wrong between a worker and an endpoint, and whose fault the accounts say it was.

use std::{error::Error, io, net::SocketAddr, sync::Arc, time::Duration};

use super::Sign;
use crate::{
    record::{DropReason, FailReason, Outcome},
    route::Impossible,
};

#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("cannot connect to {0}: {1}")]
    Connect(SocketAddr, #[source] io::Error),
    #[error(
        "no connection to {0} within {1:?}: a firewall may be dropping packets, or its accept queue is full"
    )]
    ConnectTimeout(SocketAddr, Duration),
    #[error("every connection to {0} was busy for {1:?}: raise shadow.connectionsPerEndpoint or mirror less")]
    Busy(SocketAddr, Duration),
    #[error("the exchange with {0} broke: {1}")]
    Http(SocketAddr, #[source] hyper::Error),
    #[error("the exchange with {0} broke: {1}")]
    Http2(SocketAddr, #[source] h2::Error),
    #[error("no TLS with {0}: {1}")]
    Tls(SocketAddr, #[source] io::Error),
    /// Files, or the name to ask for.
    #[error("TLS cannot be spoken: {0}")]
    TlsSetup(String),
    #[error("{}", .0.as_str())]
    Impossible(Impossible),
    #[error("as many copies as connectionPool.http.http1MaxPendingRequests wait for a connection")]
    Pending,
    #[error("as many copies as connectionPool.http.http2MaxRequests are under way")]
    Requests,
    #[error("what file descriptors are left is for primaries: raise RLIMIT_NOFILE")]
    Descriptors,
    /// Of a connection that several copies waited for.
    #[error("{0}")]
    Shared(Arc<Self>),
}

impl UpstreamError {
    pub fn outcome(&self) -> Outcome {
        Outcome::Failed(match self {
            Self::Connect(..) | Self::ConnectTimeout(..) => FailReason::Connect,
            Self::Http(_, error) => http_reason(error),
            Self::Http2(_, error) => http2_reason(error),
            Self::Tls(..) | Self::TlsSetup(_) | Self::Impossible(_) => FailReason::Tls,
            // Our own limits: the shadow was not asked.
            Self::Busy(..) | Self::Pending | Self::Requests => {
                return Outcome::Dropped(DropReason::Pending);
            }
            Self::Descriptors => return Outcome::Dropped(DropReason::Pressure),
            Self::Shared(error) => return error.outcome(),
        })
    }

    /// What it says of the endpoint; None for what is the agent's own.
    pub fn sign(&self) -> Option<Sign> {
        match self {
            Self::Connect(..)
            | Self::ConnectTimeout(..)
            | Self::Http(..)
            | Self::Http2(..)
            | Self::Tls(..) => Some(Sign::Failed),
            Self::Busy(..)
            | Self::TlsSetup(_)
            | Self::Impossible(_)
            | Self::Pending
            | Self::Requests
            | Self::Descriptors => None,
            Self::Shared(error) => error.sign(),
        }
    }
}

/// hyper keeps some kinds to itself (a message nobody asked for, a broken body); those are told apart by what
/// caused them.
fn http_reason(error: &hyper::Error) -> FailReason {
    if error.is_parse() {
        return FailReason::Protocol;
    }
    if error.is_user() {
        return FailReason::Internal;
    }
    if error.is_incomplete_message() || error.is_closed() {
        return FailReason::Reset;
    }
    match error.source() {
        Some(cause) => {
            if let Some(inner) = cause.downcast_ref::<hyper::Error>() {
                http_reason(inner)
            } else if let Some(io) = cause.downcast_ref::<io::Error>() {
                io_reason(io)
            } else {
                // "connection closed", "connection error": the connection's own end carried the detail.
                FailReason::Reset
            }
        }
        None if error.is_canceled() => FailReason::Reset,
        None => FailReason::Protocol,
    }
}

/// What h2 found wrong itself is the endpoint's breach of HTTP/2, or no HTTP/2 at all.
fn http2_reason(error: &h2::Error) -> FailReason {
    match error.get_io() {
        Some(io) => io_reason(io),
        None if error.is_library() => FailReason::Protocol,
        None => FailReason::Reset,
    }
}

fn io_reason(error: &io::Error) -> FailReason {
    // A server that wants a certificate says so after the handshake (TLS 1.3).
    if error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some() {
        return FailReason::Tls;
    }
    match error.kind() {
        // How hyper reports chunked framing it cannot read.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => FailReason::Protocol,
        io::ErrorKind::TimedOut => FailReason::Timeout,
        _ => FailReason::Reset,
    }
}
