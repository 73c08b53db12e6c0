//! The log: lines on standard error, written by a thread of their own. Whoever logs never waits for whoever reads it,
//! for that may be a data thread: lines that are not taken in time are dropped.

use std::io::{self, IsTerminal as _};

use anyhow::Context as _;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;

/// Lines that wait to be written.
const WAITING: usize = 1024;

/// Begins to log what `filter` lets through. Dropping the guard waits, for a moment, until what was logged is written.
///
/// # Errors
/// When the filter cannot be read.
pub(super) fn start(filter: &str) -> anyhow::Result<WorkerGuard> {
    let filter: EnvFilter = filter.parse().context("--log is not a level or a filter")?;
    let (lines, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).finish(io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(lines)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(guard)
}
