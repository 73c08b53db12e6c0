//! What a flood costs the agent: its anonymous memory, looked at all the time, and its CPU time.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// Measures a process from now on.
pub(crate) struct Meter {
    pid: u32,
    before: u64,
    cpu: Duration,
    stop: Arc<AtomicBool>,
    peak: JoinHandle<u64>,
}

/// What was measured.
pub(crate) struct Cost {
    /// Bytes of anonymous memory above those at the beginning, at the worst moment seen.
    pub(crate) growth: u64,
    pub(crate) cpu: Duration,
}

impl Meter {
    pub(crate) fn start(pid: u32) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let before = anonymous(pid);
        let peak = thread::spawn(move || {
            let mut peak = before;
            while !stopped.load(Ordering::Relaxed) {
                peak = peak.max(anonymous(pid));
                thread::sleep(Duration::from_millis(5));
            }
            peak.max(anonymous(pid))
        });
        Self { pid, before, cpu: cpu(pid), stop, peak }
    }

    pub(crate) fn stop(self) -> Cost {
        self.stop.store(true, Ordering::Relaxed);
        let peak = self.peak.join().unwrap();
        Cost { growth: peak.saturating_sub(self.before), cpu: cpu(self.pid).saturating_sub(self.cpu) }
    }
}

/// proc_pid_status(5); nothing of a process that has ended.
fn anonymous(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// User and system time of all threads (proc_pid_stat(5)), in the kernel's ticks of 10 ms.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let ticks = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum::<u64>();
    Duration::from_millis(ticks * 10)
}
