//! What the kernel says of a process, and where it is let run.

use std::{fs, str::SplitWhitespace, time::Duration};

use anyhow::{Context as _, Result};
use nix::{
    sched::{CpuSet, sched_setaffinity},
    time::ClockId,
    unistd::{Pid, SysconfVar, sysconf},
};

/// The processors of this machine, shared out: what is measured has one to itself.
pub(crate) struct Processors {
    pub(crate) count: usize,
}

impl Processors {
    pub(crate) fn of_this_machine() -> Result<Self> {
        let online = sysconf(SysconfVar::_NPROCESSORS_ONLN)?.context("no number of processors")?;
        Ok(Self { count: usize::try_from(online)?.max(1) })
    }

    /// Where each proxy runs, whichever it is.
    pub(crate) fn of_proxies(&self) -> Vec<usize> {
        vec![self.count - 1]
    }

    /// Where clients, apps and shadows run; with a single processor there is no choice.
    pub(crate) fn of_the_rest(&self) -> Vec<usize> {
        (0..self.count.max(2) - 1).collect()
    }
}

/// Moves a process, with the threads it has and will have, to these processors.
pub(crate) fn pin(pid: u32, processors: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for &processor in processors {
        set.set(processor)?;
    }
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let thread: i32 = thread?.file_name().to_string_lossy().parse()?;
        sched_setaffinity(Pid::from_raw(thread), &set)
            .with_context(|| format!("cannot pin {pid} to the processors {processors:?}"))?;
    }
    Ok(())
}

/// User and system time of all threads a process has and had. What the kernel does at once on its behalf, such as
/// delivering to the loopback device, is in it.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let clock = ClockId::pid_cpu_clock_id(Pid::from_raw(i32::try_from(pid)?))
        .with_context(|| format!("process {pid} has no clock: did it end?"))?;
    Ok(clock.now()?.into())
}

/// What all processors of this machine were busy with since it started, for anybody.
pub(crate) fn cpu_of_machine() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let all =
        stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("/proc/stat lacks `cpu`")?;
    // user nice system irq softirq; not idle and iowait, nor steal, which was never ours.
    ticks(all.split_whitespace(), &[0, 1, 2, 5, 6])
}

/// Resident now, in bytes.
pub(crate) fn memory(pid: u32) -> Result<u64> {
    status(pid, "VmRSS:")
}

/// The most resident since [`forget_peak`], in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<u64> {
    status(pid, "VmHWM:")
}

/// What the kernel holds for TCP sockets of this machine, whoever has them, in bytes: the objects themselves with their
/// files, what is tracked and watched of them, and their buffers.
pub(crate) fn memory_of_sockets() -> Result<u64> {
    const SLABS: &[&str] =
        &["TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi", "tcp_bind_bucket", "nf_conntrack"];
    let slabs = fs::read_to_string("/proc/slabinfo").context("/proc/slabinfo is for root")?;
    let mut sum = 0;
    // name active_objs num_objs objsize …
    for line in slabs.lines() {
        let mut fields = line.split_whitespace();
        if fields.next().is_some_and(|name| SLABS.contains(&name)) {
            let number = |field: Option<&str>| anyhow::Ok(field.context("a short line")?.parse::<u64>()?);
            let (active, size) = (number(fields.next())?, number(fields.nth(1))?);
            sum += active * size;
        }
    }
    let buffers = fs::read_to_string("/proc/net/sockstat")?;
    let pages =
        buffers.lines().find_map(|line| line.strip_prefix("TCP:")?.rsplit_once(" mem ")?.1.parse().ok());
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE)?.context("no size of pages")?)?;
    Ok(sum + page * pages.unwrap_or(0u64))
}

pub(crate) fn forget_peak(pid: u32) -> Result<()> {
    Ok(fs::write(format!("/proc/{pid}/clear_refs"), "5")?)
}

fn status(pid: u32, name: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .with_context(|| format!("process {pid} says nothing: did it end?"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"));
    Ok(value.with_context(|| format!("no {name} of process {pid}"))?.parse::<u64>()? << 10)
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
