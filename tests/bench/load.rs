//! The loads: what the client does, and with which program. All connections come from one address, to one port.

use std::{
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;
use support::{Interrupt, Netns};
use tempfile::TempDir;

use crate::{process::pin, site::Site};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Load {
    /// Connections that were used once and stay open. Before all others: it looks at processes just started.
    Idle,
    /// The same with as many as a node may have.
    Crowd,
    /// Small GETs in an open loop, at a tenth of what the app alone answers at full speed.
    Tenth,
    /// The same, while every processor has other work to do.
    Saturated,
    /// The same, with system calls counted, which makes each cost more.
    Counted,
    /// Small GETs, each as soon as the one before was answered.
    Full,
    /// The same, with a connection for each.
    Fresh,
    /// Small GETs in an open loop, a connection for each: ten thousand a second, or what every way can.
    Opened,
    /// Small GETs over HTTP/2, in as many streams, at the rate of the open loop.
    Http2,
    /// Answers of 10 MiB.
    Downloads,
    /// Requests of 100 MiB.
    Uploads,
}

pub(crate) const CONNECTIONS: u32 = 32;
const OF_LARGE_BODIES: u32 = 2;

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Idle => "1000 idle connections",
            Self::Crowd => "20,000 idle connections",
            Self::Tenth => "small GET, open loop, 32 connections",
            Self::Saturated => "small GET, open loop, 32 connections, all CPUs busy with other work",
            Self::Counted => "small GET, open loop, 32 connections, system calls counted",
            Self::Full => "small GET, full speed, 32 connections",
            Self::Fresh => "small GET, full speed, a connection for each",
            Self::Opened => "small GET, open loop, a connection for each",
            Self::Http2 => "small GET over HTTP/2 at the same rate, 4 connections with 8 streams each",
            Self::Downloads => "answers of 10 MiB, 2 connections",
            Self::Uploads => "requests of 100 MiB, 2 connections",
        }
    }

    /// What is seen once need not be seen again.
    pub(crate) fn rounds(self, wanted: usize) -> usize {
        if matches!(self, Self::Idle | Self::Crowd | Self::Counted) { 1 } else { wanted }
    }

    /// How many connections are held, where nothing else is done.
    pub(crate) fn held(self) -> Result<Option<u32>> {
        Ok(match self {
            Self::Idle => Some(1000),
            Self::Crowd => Some(crowd()?),
            _ => None,
        })
    }
}

/// Twenty thousand, or as many as a process here may have files for: a relay has two for each, and umbra takes nothing
/// more when a tenth is left.
fn crowd() -> Result<u32> {
    const WANTED: u32 = 20_000;
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(u32::try_from((limit / 10 * 9).saturating_sub(400) / 2).map_or(WANTED, |most| most.min(WANTED)))
}

/// What became of a load.
#[derive(Clone, Copy, Default)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) took: Duration,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Requests that ended in a broken connection or in an answer that says of a failure.
    pub(crate) errors: u64,
    /// Requests whose answer had not come when the load ended and half a second more; open loop and uploads only.
    pub(crate) unanswered: u64,
    /// Of bodies sent.
    pub(crate) bytes: u64,
    /// System calls of the proxy, where they were counted.
    pub(crate) syscalls: Option<u64>,
}

/// The client.
pub(crate) struct Client {
    pub(crate) netns: Netns,
    dir: TempDir,
    /// Small GETs per second in the open loop.
    pub(crate) per_second: u32,
    /// Connections per second, where each carries one.
    pub(crate) opened_per_second: u32,
    pub(crate) seconds: u64,
}

impl Client {
    pub(crate) fn new(netns: &Netns, seconds: u64) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("report.lua"), include_str!("report.lua"))?;
        Ok(Self { netns: netns.clone(), dir, per_second: 0, opened_per_second: 0, seconds })
    }

    pub(crate) fn run(&self, load: Load, site: &Site, interrupt: &Interrupt) -> Result<Answered> {
        let (small, uploads) = (site.small().to_string(), site.uploads().to_string());
        let (seconds, rate) = (self.seconds.to_string(), self.per_second.to_string());
        let many = CONNECTIONS.to_string();
        let open_loop = ["get", &small, "/products/1", &many, &seconds, &rate];
        if let Some(held) = load.held()? {
            return Ok(Answered { requests: held.into(), ..Answered::default() });
        }
        let said = match load {
            Load::Idle | Load::Crowd => bail!("nothing is sent on idle connections"),
            Load::Tenth => self.finish(self.own()?.args(open_loop), interrupt)?,
            Load::Saturated => {
                let _busy = self.busy(&site.processors())?;
                self.finish(self.own()?.args(open_loop), interrupt)?
            }
            Load::Counted => return self.counted(&open_loop, site, interrupt),
            Load::Full => self.finish(self.wrk(CONNECTIONS, &small, "/products/1", &[]), interrupt)?,
            Load::Fresh => {
                let close = ["--header", "Connection: close"];
                self.finish(self.wrk(CONNECTIONS, &small, "/products/1", &close), interrupt)?
            }
            Load::Opened => {
                let rate = self.opened_per_second.to_string();
                let open_loop = ["open", &small, "/products/1", &many, &seconds, &rate];
                self.finish(self.own()?.args(open_loop), interrupt)?
            }
            Load::Http2 => return self.h2load(site, interrupt),
            Load::Downloads => self.finish(self.wrk(OF_LARGE_BODIES, &small, "/big", &[]), interrupt)?,
            Load::Uploads => {
                let (few, size) = (OF_LARGE_BODIES.to_string(), (100u32 << 20).to_string());
                self.finish(self.own()?.args(["put", &uploads, &few, &seconds, &size]), interrupt)?
            }
        };
        read(&said)
    }

    /// The same under `perf stat`, which costs each call a little but not, as strace does, two switches to itself.
    fn counted(&self, open_loop: &[&str], site: &Site, interrupt: &Interrupt) -> Result<Answered> {
        let Some(pid) = site.pid() else {
            return read(&self.finish(self.own()?.args(open_loop), interrupt)?);
        };
        let counts = self.dir.path().join("syscalls");
        let mut perf = self.netns.command("perf");
        perf.args(["stat", "--field-separator", ",", "--event", "raw_syscalls:sys_enter", "--output"])
            .arg(&counts)
            .args(["--pid", &pid.to_string(), "--"])
            .arg(own_program()?)
            .args(open_loop);
        let said = self.finish(&mut perf, interrupt)?;
        let counts = fs::read_to_string(&counts)?;
        let count = counts.lines().find(|line| line.contains("sys_enter"));
        let count = count.and_then(|line| line.split(',').next()?.parse().ok());
        let count = count.with_context(|| format!("perf counted no system calls:\n{counts}"))?;
        Ok(Answered { syscalls: Some(count), ..read(&said)? })
    }

    /// Which tells no percentiles.
    fn h2load(&self, site: &Site, interrupt: &Interrupt) -> Result<Answered> {
        let mut h2load = self.netns.command("h2load");
        h2load
            .args([
                "--clients",
                "4",
                "--max-concurrent-streams",
                "8",
                "--duration",
                &self.seconds.to_string(),
            ])
            .args(["--rps", &(self.per_second / 4).max(1).to_string()])
            .arg(format!("http://{}/products/1", site.http2()));
        let said = self.finish(&mut h2load, interrupt)?;
        // requests: 6 total, 6 started, 6 done, 6 succeeded, 0 failed, 0 errored, 0 timeout
        let line = said.lines().find_map(|line| line.strip_prefix("requests: "));
        let count = |what: &str| -> Option<u64> {
            line?.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
        };
        let (good, bad) = (count("succeeded"), count("failed").zip(count("errored")));
        let (requests, bad) = good.zip(bad).with_context(|| format!("h2load did not report:\n{said}"))?;
        let took = Duration::from_secs(self.seconds);
        Ok(Answered { requests, took, errors: bad.0 + bad.1, ..Answered::default() })
    }

    /// Work for each of these processors, which ends with what is returned.
    fn busy(&self, processors: &[usize]) -> Result<Vec<Running>> {
        let one = |&processor: &usize| {
            let child = Running(self.own()?.arg("spin").process_group(0).spawn()?);
            pin(child.0.id(), &[processor])?;
            Ok(child)
        };
        processors.iter().map(one).collect()
    }

    /// Our own load program, in the client's namespace.
    pub(crate) fn own(&self) -> Result<Command> {
        Ok(self.netns.command(own_program()?))
    }

    fn wrk(&self, connections: u32, server: &str, path: &str, more: &[&str]) -> Command {
        let mut wrk = self.netns.command("wrk");
        wrk.args(["--threads", "1", "--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", self.seconds), "--header", "Host: shop.bench"])
            .args(more)
            .arg("--script")
            .arg(self.dir.path().join("report.lua"))
            .arg(format!("http://{server}{path}"));
        wrk
    }

    /// Runs it to its end, or kills it when told to stop; what it printed.
    fn finish(
        &self,
        mut command: impl std::borrow::BorrowMut<Command>,
        interrupt: &Interrupt,
    ) -> Result<String> {
        let command = command.borrow_mut();
        // Ctrl-C is for the bench, which then stops it.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let program = command.get_program().display().to_string();
        let child = command.spawn();
        let mut running = Running(child.with_context(|| format!("cannot start {program}"))?);
        while running.0.try_wait()?.is_none() {
            interrupt.check()?;
            thread::sleep(Duration::from_millis(20));
        }
        let mut said = String::new();
        running.0.stdout.take().context("standard output is piped")?.read_to_string(&mut said)?;
        ensure!(!said.is_empty(), "{program} said nothing");
        Ok(said)
    }
}

/// Built by `cargo xtask bench`, which says where.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::var_os("UMBRA_LOAD")
        .map(Into::into)
        .context("UMBRA_LOAD is not set: run by `cargo xtask bench`")
}

/// A program under way; killed when dropped.
pub(crate) struct Running(pub(crate) Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The last line, JSON with times in microseconds.
fn read(said: &str) -> Result<Answered> {
    let last = said.lines().last().unwrap_or_default();
    let report: Value = serde_json::from_str(last).with_context(|| format!("no report in:\n{said}"))?;
    let number = |name: &str| report[name].as_u64();
    let required = |name: &str| number(name).with_context(|| format!("no {name} in {report}"));
    let micros = |name: &str| required(name).map(Duration::from_micros);
    Ok(Answered {
        requests: required("requests")?,
        took: micros("took")?,
        p50: micros("p50")?,
        p99: micros("p99")?,
        errors: required("errors")?,
        unanswered: number("unanswered").unwrap_or(0),
        bytes: number("bytes").unwrap_or(0),
        syscalls: None,
    })
}
