//! The client: which program makes which load, and what it says of it.

use std::{
    borrow::BorrowMut,
    fs,
    io::Read as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use support::{Interrupt, Netns};
use tempfile::TempDir;

use crate::{
    load::{Answered, CONNECTIONS, Load, MANY, OF_BODIES, OF_LARGE_BODIES},
    perf,
    process::pin,
    site::Site,
};

pub(crate) struct Client {
    pub(crate) netns: Netns,
    dir: TempDir,
    /// Small GETs per second in the open loop.
    pub(crate) per_second: u32,
    /// Connections per second, where each carries one.
    pub(crate) opened_per_second: u32,
    pub(crate) seconds: u64,
}

/// What a unary call carries: five bytes of gRPC's framing, and a message of 64 bytes.
const CALL: [u8; 69] = {
    let mut call = [b'm'; 69];
    (call[0], call[1], call[2], call[3], call[4]) = (0, 0, 0, 0, 64);
    call
};

impl Client {
    pub(crate) fn new(netns: &Netns, seconds: u64) -> Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("report.lua"), include_str!("report.lua"))?;
        fs::write(dir.path().join("call"), CALL)?;
        Ok(Self { netns: netns.clone(), dir, per_second: 0, opened_per_second: 0, seconds })
    }

    pub(crate) fn run(&self, load: Load, site: &Site, interrupt: &Interrupt) -> Result<Answered> {
        if let Some(held) = load.held()? {
            return Ok(Answered { requests: held.into(), ..Answered::default() });
        }
        let _busy = match load {
            Load::Saturated => self.busy(&site.processors())?,
            _ => Vec::new(),
        };
        let mut command = self.command(load, site)?;
        let Some(pid) = site.pid().filter(|_| matches!(load, Load::Counted | Load::Http2Counted)) else {
            return self.answered(load, &self.finish(&mut command, interrupt)?);
        };
        let counts = self.dir.path().join("syscalls");
        let said = self.finish(perf::counting(&self.netns, &command, pid, &counts), interrupt)?;
        Ok(Answered { syscalls: perf::counted(&counts)?, ..self.answered(load, &said)? })
    }

    /// The same, with a profile of the proxy's CPU time as text.
    pub(crate) fn profile(&self, load: Load, site: &Site, interrupt: &Interrupt) -> Result<String> {
        let pid = site.pid().context("nobody to profile")?;
        let data = self.dir.path().join("profile");
        self.finish(perf::recording(&self.netns, &self.command(load, site)?, pid, &data), interrupt)?;
        perf::profile(&data)
    }

    /// What makes this load.
    fn command(&self, load: Load, site: &Site) -> Result<Command> {
        let (small, uploads) = (site.small().to_string(), site.uploads().to_string());
        let open_loop = |what: &str, per_second: u32| {
            let (many, seconds) = (CONNECTIONS.to_string(), self.seconds.to_string());
            self.own(&[what, &small, "/products/1", &many, &seconds, &per_second.to_string()])
        };
        let upload = |connections: u32, size: u32| {
            let (few, seconds) = (connections.to_string(), self.seconds.to_string());
            self.own(&["put", &uploads, &few, &seconds, &size.to_string()])
        };
        let close = ["--header", "Connection: close"];
        match load {
            Load::Idle | Load::Crowd => bail!("nothing is sent on idle connections"),
            Load::Tenth | Load::Saturated | Load::Counted => open_loop("get", self.per_second),
            Load::Opened => open_loop("open", self.opened_per_second),
            Load::Full => Ok(self.wrk(CONNECTIONS, &small, "/products/1", &[])),
            Load::Single => Ok(self.wrk(1, &small, "/products/1", &[])),
            Load::Many => Ok(self.wrk(MANY, &small, "/products/1", &[])),
            Load::Fresh => Ok(self.wrk(CONNECTIONS, &small, "/products/1", &close)),
            Load::Http2 | Load::Http2Counted => Ok(self.h2load(site, "/products/1", None)),
            Load::Grpc => Ok(self.h2load(site, "/bench.Shop/Get", Some(&self.dir.path().join("call")))),
            Load::Answers64K => Ok(self.wrk(OF_BODIES, &small, "/medium", &[])),
            Load::Answers10M => Ok(self.wrk(OF_LARGE_BODIES, &small, "/big", &[])),
            Load::Uploads64K => upload(OF_BODIES, 64 << 10),
            Load::Uploads10M => upload(OF_LARGE_BODIES, 10 << 20),
            Load::Uploads100M => upload(OF_LARGE_BODIES, 100 << 20),
        }
    }

    fn answered(&self, load: Load, said: &str) -> Result<Answered> {
        match load {
            Load::Http2 | Load::Http2Counted | Load::Grpc => {
                said_by_h2load(said, Duration::from_secs(self.seconds))
            }
            _ => read(said),
        }
    }

    /// Our own load program, in the client's namespace.
    pub(crate) fn own(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = self.netns.command(own_program()?);
        command.args(arguments);
        Ok(command)
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

    /// Which tells no percentiles. With what a call carries it makes calls of gRPC.
    fn h2load(&self, site: &Site, path: &str, call: Option<&Path>) -> Command {
        let mut h2load = self.netns.command("h2load");
        h2load
            .args(["--clients", "4", "--max-concurrent-streams", "8"])
            .args(["--duration", &self.seconds.to_string()])
            .args(["--rps", &(self.per_second / 4).max(1).to_string()]);
        if let Some(call) = call {
            h2load.args(["--header", "content-type: application/grpc", "--header", "te: trailers", "--data"]);
            h2load.arg(call);
        }
        h2load.arg(format!("http://{}{path}", site.http2()));
        h2load
    }

    /// Work for each of these processors, which ends with what is returned.
    fn busy(&self, processors: &[usize]) -> Result<Vec<Running>> {
        let one = |&processor: &usize| {
            let child = Running(self.own(&["spin"])?.process_group(0).spawn()?);
            pin(child.0.id(), &[processor])?;
            Ok(child)
        };
        processors.iter().map(one).collect()
    }

    /// Runs it to its end, or kills it when told to stop; what it printed.
    fn finish(&self, mut command: impl BorrowMut<Command>, interrupt: &Interrupt) -> Result<String> {
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

/// `requests: 6 total, 6 started, 6 done, 6 succeeded, 0 failed, 0 errored, 0 timeout`
fn said_by_h2load(said: &str, took: Duration) -> Result<Answered> {
    let line = said.lines().find_map(|line| line.strip_prefix("requests: "));
    let count = |what: &str| -> Option<u64> {
        line?.split(", ").find_map(|part| part.strip_suffix(what)?.trim().parse().ok())
    };
    let (good, bad) = (count("succeeded"), count("failed").zip(count("errored")));
    let (requests, bad) = good.zip(bad).with_context(|| format!("h2load did not report:\n{said}"))?;
    Ok(Answered { requests, took, errors: bad.0 + bad.1, ..Answered::default() })
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
        ..Answered::default()
    })
}
