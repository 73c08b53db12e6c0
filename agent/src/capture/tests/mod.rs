//! The hook and the way back on the real kernel: namespaces, veth pairs, real sockets. They need root, and
//! fail without.

mod agent;
mod client_address;
mod fail_open;
mod host;
pub(super) mod pod;
mod sampling;
mod verdicts;
mod withdraw;
