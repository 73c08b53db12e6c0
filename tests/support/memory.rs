//! How much memory an agent has resident, as the kernel counts it (proc_pid_status(5)).

use std::fs;

use crate::Agent;

/// In bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub now: u64,
    /// The most since [`Agent::forget_peak`], or its start.
    pub peak: u64,
}

impl Agent {
    pub fn memory(&self) -> Memory {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let read = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
        };
        Memory { now: read("VmRSS:"), peak: read("VmHWM:") }
    }

    /// From now on the peak is that of what comes (Linux 4.0 or newer).
    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.pid()), "5").unwrap();
    }
}
