//! The log: lines on standard error, written by a thread of their own. Whoever logs never waits for whoever reads it,
//! for that may be a data thread: lines that are not taken in time are dropped, and how many is said in their place.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;

/// Lines that wait to be written.
const WAITING: usize = 1024;
/// How long the end of the program waits for them.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Dropping it waits, for a moment, until what was logged is written.
pub(super) struct Log(Arc<Counts>);

#[derive(Default)]
struct Counts {
    waiting: AtomicUsize,
    lost: AtomicUsize,
}

/// Begins to log what `filter` lets through.
///
/// # Errors
/// When the filter cannot be read, or there is no thread.
pub(super) fn start(filter: &str) -> anyhow::Result<Log> {
    let filter: EnvFilter = filter.parse().context("--log is not a level or a filter")?;
    let lines = Lines::written_to(io::stderr()).context("start the thread that writes the log")?;
    let log = Log(Arc::clone(&lines.counts));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || lines.clone())
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(log)
}

impl Drop for Log {
    fn drop(&mut self) {
        let begun = Instant::now();
        while self.0.waiting.load(Ordering::Acquire) > 0 && begun.elapsed() < LAST_LINES {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Takes whole lines, one per `write`, as tracing-subscriber gives them.
#[derive(Clone)]
struct Lines {
    // every thread --lines--> the log's thread. Full: lost, counted.
    sender: SyncSender<Vec<u8>>,
    counts: Arc<Counts>,
}

impl Lines {
    fn written_to(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = sync_channel(WAITING);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        thread::Builder::new().name("umbra-log".into()).spawn(move || write(&lines, &counted, target))?;
        Ok(Self { sender, counts })
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.counts.waiting.fetch_add(1, Ordering::Release);
        if self.sender.try_send(line.to_vec()).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Release);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A target that takes nothing more costs the lines, nothing else.
fn write(lines: &Receiver<Vec<u8>>, counts: &Counts, mut target: impl Write) {
    for line in lines {
        let _ = target.write_all(&line);
        let lost = counts.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            let _ =
                writeln!(target, "umbra: {lost} lines of the log are lost: they were not read fast enough");
        }
        counts.waiting.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};

    use super::*;

    #[test]
    fn a_log_nobody_reads_keeps_nobody_waiting_and_tells_what_is_lost() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::written_to(writer).unwrap();
        let line = [[b'.'; 99].as_slice(), b"\n"].concat();
        for _ in 0..2 * WAITING {
            lines.write_all(&line).unwrap();
        }
        let told = |line: &io::Result<String>| line.as_ref().unwrap().contains("lines of the log are lost");
        assert!(BufReader::new(reader).lines().any(|line| told(&line)));
    }

    #[test]
    fn a_log_whose_reader_is_gone_goes_on() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut lines = Lines::written_to(writer).unwrap();
        for _ in 0..10 {
            lines.write_all(b"a line\n").unwrap();
        }
        let log = Log(Arc::clone(&lines.counts));
        drop(log);
        assert_eq!(lines.counts.waiting.load(Ordering::Acquire), 0);
    }
}
