//! How much memory an agent takes: what is its own alone, as the kernel counts it (proc_pid_status(5), Linux 4.5).
//! Pages of its program are not counted. They are mapped from a file, come with whatever code runs first (some 25 MiB of
//! a debug build), and the kernel takes them back when it likes: the same agent seems larger or smaller by them.

use std::{
    fs,
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::Agent;

/// No agent at rest takes more. While it starts it does, for it reads the types of the whole kernel (some 30 MiB); when
/// it is ready it has given that back.
const MOST_AT_REST: u64 = 24 << 20;

/// The kernel keeps a peak of everything resident only, files included, so that of one's own memory is looked for.
const EVERY: Duration = Duration::from_millis(2);

impl Agent {
    /// Bytes it has resident now.
    pub fn memory(&self) -> u64 {
        resident(self.pid()).unwrap_or_else(|| panic!("the agent has ended\n{}", self.log()))
    }

    /// The same of an agent that is ready and has met no traffic.
    pub fn memory_at_rest(&self) -> u64 {
        let taken = self.memory();
        assert!(taken < MOST_AT_REST, "{taken} bytes are taken at rest");
        taken
    }

    /// Looks at its memory until told to stop.
    pub fn watch_memory(&self) -> MemoryWatch {
        let pid = self.pid();
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut peak = 0;
            while !stopped.load(Ordering::Relaxed) {
                peak = resident(pid).unwrap_or_default().max(peak);
                thread::sleep(EVERY);
            }
            peak
        });
        MemoryWatch { stop, thread }
    }
}

/// Memory is being looked at. Dropped without `stop`, what was seen is lost.
#[derive(Debug)]
#[must_use = "says what it saw when stopped"]
pub struct MemoryWatch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl MemoryWatch {
    /// The most bytes seen.
    pub fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}

/// None when there is no such process any more.
fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let read = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Some((read("RssAnon:")? + read("RssShmem:")?) << 10)
}
