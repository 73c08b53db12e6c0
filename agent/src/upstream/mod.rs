//! Connections to endpoints: which endpoint of a cluster is next, and a small pool of kept-alive HTTP/1.1
//! connections to each. Everything here lives on one thread and nothing is locked. A request that may have reached
//! an endpoint is never sent again.

mod balance;
mod error;
mod pool;
#[cfg(test)]
mod tests;

pub use balance::Balancer;
pub use error::UpstreamError;
pub use pool::{Lease, Limits, Pool, SendError};
