//! Promise 5, held against an agent: by itself at the end of every test, and as often as can be asked while load runs.

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

use crate::{Agent, Metrics, client::Client, eventually};

/// What an agent of a debug build says when its own count of open copies differs from its books.
const COMPLAINT: &str = "the books do not add up";

impl Agent {
    /// Promise 5, once nothing is in flight and again now: every copy offered has ended in exactly one way, and nothing
    /// is held for it any more.
    pub fn accounting_is_exact(&self) {
        self.metrics().assert_accounts_balance();
        for left in ["umbra_shadow_in_flight", "umbra_shadow_queue_requests", "umbra_shadow_queue_bytes"] {
            self.comes_to_nothing(left);
        }
        self.metrics().assert_accounts_balance();
        self.has_no_complaint();
    }

    /// Waits for as long as it becomes less: a busy machine may need long for thousands of copies.
    fn comes_to_nothing(&self, selector: &str) {
        let mut least = f64::INFINITY;
        while least > 0.5 {
            least = eventually(&format!("{selector} to become less than {least}"), || {
                Some(self.metrics().sum(selector)).filter(|left| *left < least)
            });
        }
    }

    /// Reads the books again and again until told to stop.
    pub fn watch_accounts(&self) -> Watch {
        let (netns, admin) = (self.netns().clone(), self.admin());
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut client = Client::new(&netns, admin);
            let mut readings = 0;
            while !stopped.load(Ordering::Relaxed) {
                Metrics::parse(&client.get("/metrics").text()).assert_accounts_balance();
                readings += 1;
                thread::sleep(Duration::from_millis(20));
            }
            readings
        });
        Watch { stop, thread }
    }

    /// Whatever a test was about: at its end the books balance, and the agent has found no fault in them.
    pub(crate) fn books_add_up(&self, running: bool) {
        if running
            && !self.is_suspended()
            && let Ok(reply) = self.ask("/metrics")
        {
            Metrics::parse(&reply.text()).assert_accounts_balance();
        }
        self.has_no_complaint();
    }

    fn has_no_complaint(&self) {
        let log = self.log();
        let complaint = log.lines().find(|line| line.contains(COMPLAINT));
        assert!(complaint.is_none(), "{}", complaint.unwrap_or_default());
    }

    /// By SIGSTOP; it would not answer.
    fn is_suspended(&self) -> bool {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        status.lines().any(|line| line.starts_with("State:") && line.contains('T'))
    }
}

/// The books are being read. Dropped without `stop`, what it found is lost.
#[derive(Debug)]
#[must_use = "says what it found when stopped"]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Watch {
    /// How often the books were read; they balanced each time.
    pub fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| resume_unwind(panic))
    }
}
