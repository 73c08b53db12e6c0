//! The load: wrk in the client's namespace, one thread. A connection has one request under way.

use std::{
    fs,
    io::Read as _,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    process::{Child, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use support::{Interrupt, Netns};
use tempfile::TempDir;

pub(crate) const CONNECTIONS: u64 = 32;

/// How soon a connection's next request follows an answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Load {
    /// After a pause, so that the machine has time to spare and every copy can be sent.
    Paced,
    /// At once: something is always short of CPU.
    Full,
}

impl Load {
    pub(crate) const ALL: [Self; 2] = [Self::Paced, Self::Full];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Paced => "at a pace",
            Self::Full => "at full speed",
        }
    }

    fn script(self) -> &'static str {
        match self {
            Self::Paced => concat!(include_str!("report.lua"), include_str!("pace.lua")),
            Self::Full => include_str!("report.lua"),
        }
    }
}

/// wrk, with the scripts that pace it and make it report in JSON.
pub(crate) struct Wrk {
    dir: TempDir,
    netns: Netns,
}

/// What became of a load.
#[derive(Clone, Copy)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Requests that ended in no answer or in one that says of a failure.
    pub(crate) errors: u64,
}

impl Wrk {
    pub(crate) fn new(netns: &Netns) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        Ok(Self { dir, netns: netns.clone() })
    }

    /// Loads a server for so many seconds.
    pub(crate) fn run(
        &self,
        load: Load,
        server: SocketAddr,
        seconds: u64,
        interrupt: &Interrupt,
    ) -> Result<Answered> {
        let script = self.dir.path().join("load.lua");
        fs::write(&script, load.script())?;
        let child = self
            .netns
            .command("wrk")
            .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--header", "Host: shop.bench"])
            .arg("--script")
            .arg(&script)
            .arg(format!("http://{server}/products/1"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C is for the bench, which then stops it.
            .process_group(0)
            .spawn()
            .context("cannot start wrk: run by `cargo xtask bench`, which installs it")?;
        let mut running = Running(child);
        while running.0.try_wait()?.is_none() {
            interrupt.check()?;
            thread::sleep(Duration::from_millis(20));
        }
        let mut said = String::new();
        running.0.stdout.take().context("standard output is piped")?.read_to_string(&mut said)?;
        let answered = said.lines().last().and_then(read);
        let answered = answered.with_context(|| format!("wrk did not report on {server}:\n{said}"))?;
        ensure!(answered.requests > 0, "{server} answered nothing:\n{said}");
        Ok(answered)
    }
}

/// A wrk under way; killed when dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn read(line: &str) -> Option<Answered> {
    let report: Value = serde_json::from_str(line).ok()?;
    let number = |name: &str| report[name].as_u64();
    let micros = |name: &str| number(name).map(Duration::from_micros);
    Some(Answered {
        requests: number("requests")?,
        took: micros("took")?,
        p50: micros("p50")?,
        p99: micros("p99")?,
        errors: number("errors")?,
    })
}
