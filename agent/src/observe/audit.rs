//! The audit log: a line for each copy, written by a thread of its own. Traffic never waits for it: lines that come faster
//! than they are written are dropped, and counted.

mod log;
#[cfg(test)]
mod tests;
mod writer;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use anyhow::Context as _;

use self::{log::Log, writer::Writer};
use super::{Interest, Kind, Look, Reading, Seen, queue::Queue};
use crate::{
    config::umbra,
    process::privileges,
    record::{Outcome, ShadowOutcome},
};

/// Requests that wait to be written: those of a tenth of a second at 40,000 a second.
const LINES: usize = 4096;
const BYTES: usize = 8 << 20;
/// As shadow workers: under CPU pressure the primary wins.
const NICE: i32 = 10;

#[derive(Debug)]
pub struct Audit {
    /// Copies that were dropped are written too.
    dropped: bool,
    shared: Arc<Shared>,
    // Taken once, by whoever closes it.
    thread: Mutex<Option<Thread>>,
    _look: Look,
}

/// Between those who put lines in, the thread that writes them, and whoever reads the counts.
#[derive(Debug)]
struct Shared {
    queue: Queue,
    written: AtomicU64,
    failed: AtomicU64,
    /// What is in the queue is written, and no more.
    ending: AtomicBool,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    /// Closed when it has ended.
    ended: Receiver<()>,
}

impl Audit {
    /// # Errors
    /// When the file cannot be opened, or the thread not started.
    pub fn start(config: &umbra::Audit, interest: &Arc<Interest>) -> anyhow::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Queue::new(LINES, BYTES),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            ending: AtomicBool::new(false),
        });
        let (opened_tx, opened) = sync_channel(1);
        let (ended_tx, ended) = sync_channel(0);
        let (here, to) = (Arc::clone(&shared), config.clone());
        let work = move || {
            privileges::keep_nothing();
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::warn!(%error, "the audit log's thread keeps its priority: setpriority was refused");
            }
            let _ended: std::sync::mpsc::SyncSender<()> = ended_tx;
            // With the rights that it will have when it opens the next one.
            match Log::open(&to) {
                Ok(log) => {
                    let _ = opened_tx.send(Ok(()));
                    Writer::new(&here, log).run();
                }
                Err(error) => drop(opened_tx.send(Err(error))),
            }
        };
        let handle = std::thread::Builder::new().name("umbra-audit".into()).spawn(work)?;
        opened.recv().context("the audit log's thread has panicked")?.with_context(|| {
            format!(
                "open the audit log {} (spec.audit): the agent's user must be able to write there",
                config.to
            )
        })?;
        let thread = Mutex::new(Some(Thread { handle, ended }));
        Ok(Self { dropped: config.dropped, shared, thread, _look: interest.look() })
    }

    pub(super) fn wants(&self, copy: &ShadowOutcome) -> bool {
        self.dropped || !matches!(copy.outcome, Outcome::Dropped(_))
    }

    /// Never waits.
    pub(super) fn offer(&self, seen: &Arc<Seen>) {
        self.shared.queue.put(seen);
    }

    /// Writes what came until now, if that can be done in time.
    pub fn close(&self, patience: Duration) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.shared.ending.store(true, Relaxed);
        thread.handle.thread().unpark();
        // Nothing is ever sent: it ends by closing.
        if thread.ended.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            tracing::warn!("the audit log takes no more lines: some of the last ones are not written");
        }
    }

    /// What it tells of itself among the metrics.
    pub fn reading(&self) -> Reading {
        let shared = Arc::clone(&self.shared);
        Reading {
            name: "umbra_audit_lines",
            help: "Lines of the audit log; dropped: they came faster than they were written; failed: they could not be written",
            kind: Kind::Counter,
            read: Box::new(move || {
                let counts = [
                    ("written", shared.written.load(Relaxed)),
                    ("dropped", shared.queue.lost()),
                    ("failed", shared.failed.load(Relaxed)),
                ];
                counts.map(|(result, count)| (vec![("result", result.to_owned())], count)).into()
            }),
        }
    }
}

/// The thread ends when it has written what came; nobody waits for it.
impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.ending.store(true, Relaxed);
    }
}
