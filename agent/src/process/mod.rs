//! What the system gives this process and allows it: file descriptors, memory, mounts, privileges; and who started it. It tells and
//! gives up; what to do when something runs out is decided in `app`.

pub mod descriptors;
pub mod memory;
pub mod mounts;
pub mod privileges;
pub mod supervisor;

/// How much of a thing is used, and how much there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    pub used: u64,
    pub limit: u64,
}
