//! Where the time goes, as the kernel's `perf` sees it: system calls by name, and functions by their share of CPU time.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};
use support::Netns;

use crate::load::Answered;

/// Those that a proxy makes again and again. All are counted together too, so that none is forgotten.
const CALLS: &[&str] = &[
    "read",
    "readv",
    "recvfrom",
    "recvmsg",
    "write",
    "writev",
    "sendto",
    "sendmsg",
    "sendfile64",
    "splice",
    "epoll_wait",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_ctl",
    "futex",
    "accept4",
    "connect",
    "socket",
    "close",
    "shutdown",
    "setsockopt",
    "getsockopt",
    "getsockname",
    "getpeername",
    "madvise",
    "munmap",
    "mmap",
];

const ALL: &str = "raw_syscalls:sys_enter";

/// The command, with the calls of this process counted into a file while it runs. `perf stat` costs each call a little
/// but not, as strace does, two switches to itself.
pub(crate) fn counting(netns: &Netns, command: &Command, pid: u32, into: &Path) -> Command {
    let events: Vec<_> = CALLS.iter().map(|call| format!("syscalls:sys_enter_{call}")).collect();
    let events = format!("{ALL},{}", events.join(","));
    let mut perf = netns.command("perf");
    perf.args(["stat", "--field-separator", ",", "--event", &events, "--output"]).arg(into);
    perf.args(["--pid", &pid.to_string(), "--"]).arg(command.get_program()).args(command.get_args());
    perf
}

/// Those that were made.
pub(crate) fn counted(file: &Path) -> Result<BTreeMap<String, u64>> {
    let text = fs::read_to_string(file)?;
    // count,unit,event,…
    let one = |line: &str| {
        let mut fields = line.split(',');
        let (count, event) = (fields.next()?.parse().ok()?, fields.nth(1)?);
        let name = event.strip_prefix("syscalls:sys_enter_").unwrap_or(Answered::ALL_CALLS);
        Some((name.to_owned(), count))
    };
    let counts: BTreeMap<_, _> = text.lines().filter_map(one).filter(|(_, count)| *count > 0).collect();
    ensure!(counts.contains_key(Answered::ALL_CALLS), "perf counted no system calls:\n{text}");
    Ok(counts)
}

/// The command, with a profile of this process taken while it runs.
pub(crate) fn recording(netns: &Netns, command: &Command, pid: u32, into: &Path) -> Command {
    let mut perf = netns.command("perf");
    // By the clock: machines in machines seldom have counters of cycles.
    perf.args(["record", "--quiet", "--event", "cpu-clock", "--freq", "1999", "--output"]).arg(into);
    perf.args(["--pid", &pid.to_string(), "--"]).arg(command.get_program()).args(command.get_args());
    perf
}

/// Its functions, those with the largest share first.
pub(crate) fn profile(data: &Path) -> Result<String> {
    let mut report = Command::new("perf");
    report.args([
        "report",
        "--stdio",
        "--quiet",
        "--percent-limit",
        "0.5",
        "--sort",
        "comm,symbol",
        "--input",
    ]);
    let output = report.arg(data).output().context("cannot start perf")?;
    ensure!(output.status.success(), "perf report: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
