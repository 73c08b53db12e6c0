//! The thread of the audit log: takes what has come, writes it in one go, and counts.

use std::{
    sync::atomic::Ordering::Relaxed,
    thread,
    time::{Duration, Instant},
};

use super::{Shared, log::Log};

/// How often it looks for more. Nobody wakes it, for that would cost whoever puts lines in.
const EVERY: Duration = Duration::from_millis(50);
/// Bytes written at once, but for one line.
const BATCH: usize = 64 << 10;
/// How often a log that cannot be written is complained of.
const COMPLAIN: Duration = Duration::from_secs(60);

pub(super) struct Writer<'s> {
    shared: &'s Shared,
    log: Log,
    batch: Vec<u8>,
    lines: u64,
    complained: Option<Instant>,
}

impl<'s> Writer<'s> {
    pub(super) fn new(shared: &'s Shared, log: Log) -> Self {
        Self { shared, log, batch: Vec::with_capacity(2 * BATCH), lines: 0, complained: None }
    }

    /// Returns when it is told to end and everything is written.
    pub(super) fn run(mut self) {
        loop {
            // Before the queue is looked at: what was put in before is found.
            let ending = self.shared.ending.load(Relaxed);
            self.fill();
            if self.lines > 0 {
                self.write();
            } else if ending {
                return;
            } else {
                thread::park_timeout(EVERY);
            }
        }
    }

    fn fill(&mut self) {
        self.batch.clear();
        self.lines = 0;
        while self.batch.len() < BATCH
            && let Some(seen) = self.shared.queue.take()
        {
            self.batch.extend_from_slice(seen.line());
            self.batch.push(b'\n');
            self.lines += 1;
        }
    }

    fn write(&mut self) {
        let (whole, error) = self.log.write(&self.batch);
        let written = if error.is_none() { self.lines } else { lines(&self.batch[..whole]) };
        self.shared.written.fetch_add(written, Relaxed);
        self.shared.failed.fetch_add(self.lines - written, Relaxed);
        let Some(error) = error else { return };
        if self.complained.is_none_or(|at| at.elapsed() >= COMPLAIN) {
            self.complained = Some(Instant::now());
            tracing::error!(%error, "the audit log cannot be written, lines are lost (umbra_audit_lines_total)");
        }
    }
}

fn lines(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}
