//! Connections to shadows, as their cluster's settings ask for: which endpoint is next, which are ejected, how many
//! connections there may be, TLS and names. A request that may have reached an endpoint is never sent again.
//!
//! ```text
//!          one worker's                 │            all workers'
//! Client ─▶ Pool ─▶ Lease ─▶ send       │  Upstream: balance · outlier · limits · tls
//!           connect ─▶ tls              │  Names: addresses of names
//! ```
//!
//! Data threads come here never, so what workers share may be locked, for a few instructions at a time.

mod balance;
mod client;
mod connect;
mod error;
mod limit;
mod names;
mod outlier;
mod pool;
mod shared;
#[cfg(test)]
mod tests;
mod tls;

pub use client::Client;
pub use error::UpstreamError;
pub use names::Names;
pub use outlier::Sign;
pub use pool::{Answer, AnswerError, Lease, Limits, Pool, SendError};
pub use shared::{Turn, Unpicked, Upstreams};
pub use tls::{check as check_files, pem};
