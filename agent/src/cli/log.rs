//! The log: lines on standard error, written by a thread of their own. Whoever logs never waits for whoever reads it,
//! for that may be a data thread: lines that are not taken in time, or that cannot be written, are lost and counted.

mod repeats;

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::Context as _;
use clap::ValueEnum;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::{
    EnvFilter, Layer as _, Registry, filter::ParseError, layer::SubscriberExt as _, reload,
    util::SubscriberInitExt as _,
};

use self::repeats::Repeats;
use crate::{
    admin, app,
    observe::{Kind, Reading},
};

/// Lines that wait to be written.
const WAITING: usize = 1024;

/// How a line of the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For a person: time, level, message, fields.
    Text,
    /// One JSON object for each line.
    Json,
}

/// What is logged goes on being written. Dropping it waits, for a moment, until what was logged is written.
pub(super) struct Log {
    _writing: WorkerGuard,
    too_many: ErrorCounter,
    unwritten: Arc<AtomicU64>,
    repeated: Arc<AtomicU64>,
    level: Arc<Level>,
}

/// What is let through, to be changed at any time.
struct Level {
    filter: reload::Handle<EnvFilter, Registry>,
    written: Mutex<String>,
}

impl admin::Log for Level {
    fn level(&self) -> String {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, level: &str) -> Result<(), String> {
        let filter = filter_of(level).map_err(|error| error.to_string())?;
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        self.filter.reload(filter).map_err(|error| error.to_string())?;
        level.clone_into(&mut written);
        Ok(())
    }
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
pub(super) fn start(filter: &str, format: Format) -> anyhow::Result<Log> {
    let written = Mutex::new(filter.to_owned());
    let filter = filter_of(filter).context("--log is not a level or a filter")?;
    let unwritten = Arc::<AtomicU64>::default();
    let writer = Counting { writer: io::stderr(), unwritten: Arc::clone(&unwritten) };
    let (lines, writing) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING).finish(writer);
    let (too_many, repeats) = (lines.error_counter(), Repeats::new());
    let repeated = repeats.left_out();
    let (filter, handle) = reload::Layer::new(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_target(false);
    let layer = match format {
        Format::Text => layer.with_ansi(io::stderr().is_terminal()).boxed(),
        Format::Json => layer.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(repeats).with(layer).init();
    let level = Arc::new(Level { filter: handle, written });
    Ok(Log { _writing: writing, too_many, unwritten, repeated, level })
}

/// kube's client reports as an error whatever failed once: who asked says what it means. It is heard of when it is named.
fn filter_of(text: &str) -> Result<EnvFilter, ParseError> {
    let named = text.contains("kube_client");
    if named { text.parse() } else { format!("kube_client=off,{text}").parse() }
}

impl Log {
    /// What an agent shows of it, and changes.
    pub(super) fn of_agent(&self) -> app::Log {
        app::Log { lost: self.lost(), level: Arc::clone(&self.level) as Arc<dyn admin::Log> }
    }

    /// How many lines nobody will read, by reason.
    fn lost(&self) -> Reading {
        let (too_many, unwritten) = (self.too_many.clone(), Arc::clone(&self.unwritten));
        let repeated = Arc::clone(&self.repeated);
        Reading {
            name: "umbra_log_lines_lost",
            help: "Lines of the log that came faster than they were taken, could not be written, or said the same again and again",
            kind: Kind::Counter,
            read: Box::new(move || {
                let lost = [
                    ("too_many", too_many.dropped_lines() as u64),
                    ("write", unwritten.load(Ordering::Relaxed)),
                    ("repeated", repeated.load(Ordering::Relaxed)),
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
