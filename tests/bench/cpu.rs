//! CPU time as the kernel accounts it, to be read before and after.

use std::{fs, str::SplitWhitespace, time::Duration};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// User and system time of all threads a process has and had. What the kernel does at once on its behalf, such as
/// delivering to the loopback device, is in it (proc_pid_stat(5), `utime` and `stime`).
pub(crate) fn of_process(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("cannot read {path}: did it end?"))?;
    // The program's name is in parentheses and may hold anything.
    let (_, fields) = stat.rsplit_once(") ").with_context(|| format!("{path} names no program"))?;
    // Fields 14 and 15, of which the third comes first here.
    ticks(fields.split_whitespace(), &[11, 12])
}

/// What all processors of this machine were busy with since it started, for anybody.
pub(crate) fn of_machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat lacks `cpu`")?;
    // user nice system irq softirq; not idle and iowait, nor steal, which was never ours.
    ticks(all.split_whitespace(), &[0, 1, 2, 5, 6])
}

/// The sum of these fields, counted in clock ticks.
fn ticks(fields: SplitWhitespace<'_>, wanted: &[usize]) -> Result<Duration> {
    let fields: Vec<&str> = fields.collect();
    let mut sum = 0;
    for &index in wanted {
        sum += fields.get(index).context("a field is missing")?.parse::<u32>()?;
    }
    let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock tick")?;
    Ok(Duration::from_secs(1) * sum / u32::try_from(per_second)?)
}
