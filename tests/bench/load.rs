//! The loads: what the client does. All connections come from one address, to one port.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use nix::sys::resource::{Resource, getrlimit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Connections that were used once and stay open. Before all others: it looks at processes just started.
    Idle,
    /// The same with as many as a node may have.
    Crowd,
    /// Small GETs in an open loop, at a tenth of what the app alone answers at full speed.
    Tenth,
    /// The same, while every processor has other work to do.
    Saturated,
    /// The same, with system calls counted, which makes each cost more.
    Counted,
    /// Small GETs, each as soon as the one before was answered.
    Full,
    /// The same on a single connection.
    Single,
    /// The same on many.
    Many,
    /// The same, with a connection for each.
    Fresh,
    /// Small GETs in an open loop, a connection for each: ten thousand a second, or what every way can.
    Opened,
    /// Small GETs over HTTP/2, in as many streams, at the rate of the open loop.
    Http2,
    /// The same, with system calls counted.
    Http2Counted,
    /// Unary calls of gRPC, likewise.
    Grpc,
    /// Answers of 64 KiB.
    Answers64K,
    /// Answers of 10 MiB.
    Answers10M,
    /// Requests of 64 KiB.
    Uploads64K,
    /// Requests of 10 MiB.
    Uploads10M,
    /// Requests of 100 MiB.
    Uploads100M,
}

pub(crate) const CONNECTIONS: u32 = 32;
pub(crate) const MANY: u32 = 256;
pub(crate) const OF_BODIES: u32 = 8;
pub(crate) const OF_LARGE_BODIES: u32 = 2;

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "1000 idle connections",
            Self::Crowd => "20,000 idle connections",
            Self::Tenth => "small GET, open loop, 32 connections",
            Self::Saturated => "small GET, open loop, 32 connections, all CPUs busy with other work",
            Self::Counted => "small GET, open loop, 32 connections, system calls counted",
            Self::Full => "small GET, full speed, 32 connections",
            Self::Single => "small GET, full speed, 1 connection",
            Self::Many => "small GET, full speed, 256 connections",
            Self::Fresh => "small GET, full speed, a connection for each",
            Self::Opened => "small GET, open loop, a connection for each",
            Self::Http2 => "small GET over HTTP/2 at the same rate, 4 connections with 8 streams each",
            Self::Http2Counted => "small GET over HTTP/2 at the same rate, system calls counted",
            Self::Grpc => "unary gRPC at the same rate, 4 connections with 8 streams each",
            Self::Answers64K => "answers of 64 KiB, 8 connections",
            Self::Answers10M => "answers of 10 MiB, 2 connections",
            Self::Uploads64K => "requests of 64 KiB, 8 connections",
            Self::Uploads10M => "requests of 10 MiB, 2 connections",
            Self::Uploads100M => "requests of 100 MiB, 2 connections",
        }
    }

    /// What is seen once need not be seen again, and what stands beside the targets not as often.
    pub(crate) fn rounds(self, wanted: usize) -> usize {
        match self {
            Self::Idle | Self::Crowd | Self::Counted | Self::Http2Counted => 1,
            Self::Single | Self::Many | Self::Answers64K | Self::Uploads64K => wanted.min(3),
            _ => wanted,
        }
    }

    /// How many connections are held, where nothing else is done.
    pub(crate) fn held(self) -> Result<Option<u32>> {
        Ok(match self {
            Self::Idle => Some(1000),
            Self::Crowd => Some(crowd()?),
            _ => None,
        })
    }
}

/// Twenty thousand, or as many as a process here may have files for: a relay has two for each, and umbra takes nothing
/// more when a tenth is left.
fn crowd() -> Result<u32> {
    const WANTED: u32 = 20_000;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(u32::try_from((limit / 10 * 9).saturating_sub(400) / 2).map_or(WANTED, |most| most.min(WANTED)))
}

/// What became of a load.
#[derive(Clone, Default)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Requests that ended in a broken connection or in an answer that says of a failure.
    pub(crate) errors: u64,
    /// Requests whose answer had not come when the load ended and half a second more; open loop and uploads only.
    pub(crate) unanswered: u64,
    /// Of bodies sent.
    pub(crate) bytes: u64,
    /// System calls of the proxy by name, where they were counted; all of them under [`Answered::ALL_CALLS`].
    pub(crate) syscalls: BTreeMap<String, u64>,
}

impl Answered {
    pub(crate) const ALL_CALLS: &'static str = "all";
}
