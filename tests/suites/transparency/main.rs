//! Promise 3, one level below HTTP: what client and app can find out of a TCP connection is the same with the agent between
//! them as without it, or it stands in the manual's table of known differences and is held to that here. A probe is run
//! four times, at an app without an agent and at one that is captured, over IPv4 and IPv6, and tells what both sides saw.
//!
//! 4,000 connections come and go as a rule. `UMBRA_TRANSPARENCY_CONNECTIONS=100000 cargo test -p umbra-tests --test
//! transparency -- --nocapture churn` makes it so many each way.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod addresses;
mod churn;
mod ends;
mod flow;
mod scene;
mod side;
mod sockets;
