//! Promise 3 with real peers: what clients and servers of every kind say to each other is the same, byte for byte, with
//! the agent between them as without it; what they make of it is the same; and the copies that real servers get equal
//! the primaries, bodies and trailers included. A probe is one command, run twice: see [`probe`]. With `--nocapture`
//! each test prints its table.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod books;
mod grpc;
mod http1;
mod http2;
mod opaque;
mod probe;
mod scene;
mod servers;
mod wiretap;
