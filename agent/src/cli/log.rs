//! The log: lines on standard error, written by a thread of their own. Whoever logs never waits for whoever reads it,
//! for that may be a data thread: lines that are not taken in time, or that cannot be written, are lost and counted.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

use crate::observe::{Kind, Reading};

/// Lines that wait to be written.
const WAITING: usize = 1024;

/// What is logged goes on being written. Dropping it waits, for a moment, until what was logged is written.
pub(super) struct Log {
    _writing: WorkerGuard,
    too_many: ErrorCounter,
    unwritten: Arc<AtomicU64>,
}

/// Counts the lines it cannot write.
struct Counting<W> {
    writer: W,
    unwritten: Arc<AtomicU64>,
}

/// Begins to log what `filter` lets through.
///
/// # Errors
/// When the filter cannot be read.
pub(super) fn start(filter: &str) -> anyhow::Result<Log> {
    let filter: EnvFilter = filter.parse().context("--log is not a level or a filter")?;
    let unwritten = Arc::<AtomicU64>::default();
    let writer = Counting { writer: io::stderr(), unwritten: Arc::clone(&unwritten) };
    let (lines, writing) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).finish(writer);
    let too_many = lines.error_counter();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(Log { _writing: writing, too_many, unwritten })
}

impl Log {
    /// How many lines nobody will read, by reason.
    pub(super) fn lost(&self) -> Reading {
        let (too_many, unwritten) = (self.too_many.clone(), Arc::clone(&self.unwritten));
        Reading {
            name: "umbra_log_lines_lost",
            help: "Lines of the log that came faster than they were taken, or could not be written",
            kind: Kind::Counter,
            read: Box::new(move || {
                let lost = [
                    ("too_many", too_many.dropped_lines() as u64),
                    ("write", unwritten.load(Ordering::Relaxed)),
                ];
                lost.map(|(reason, lines)| (vec![("reason", reason.to_owned())], lines)).into()
            }),
        }
    }
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    /// Each line comes in one call.
    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let written = self.writer.write_all(line);
        self.unwritten.fetch_add(u64::from(written.is_err()), Ordering::Relaxed);
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}
