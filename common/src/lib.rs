//! Types shared by the eBPF programs and the agent. Everything is byte arrays in network order: no padding,
//! no alignment, so map keys compare the same on both sides.
#![no_std]

mod draw;
mod endpoint;
mod verdict;

use core::net::{Ipv4Addr, Ipv6Addr};

pub use draw::{MILLION, Seed, admits, mix};
pub use endpoint::{Address, Endpoint};
pub use verdict::Verdict;

/// Where the agent dials the app of an enrolled namespace over IPv4, or where it dials from when it cannot
/// use the client's address: such a connection is the agent's own and never captured. Link-local (RFC 3927),
/// so no route elsewhere leads to it; no interface carries it.
pub const RESERVED_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);

/// As [`RESERVED_V4`], over IPv6 (unique local, RFC 4193).
pub const RESERVED_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x77, 0x77, 0, 0, 0, 0, 1);

/// An agent that has not been heard of for so long is taken for hung: nothing is captured for it.
/// Nanoseconds.
pub const HEARTBEAT_LIMIT: u64 = 1_000_000_000;

/// A heartbeat that says: alive, and nothing more is to be captured, for memory or file descriptors run out. As a time it
/// is the first nanosecond after boot, when there was no agent.
pub const SHED: u64 = 1;

/// Listeners of each family that the program tries, in the order of their workers. The first one alive stands
/// for its whole SO_REUSEPORT group, so more workers than this still share all connections.
pub const LISTENERS: u32 = 16;
