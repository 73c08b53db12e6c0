//! One measurement: a case under a load for a while.

use std::{
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use support::{Agent, Interrupt};

use crate::{
    client::{Client, Running},
    load::{Answered, Load},
    onlookers::Onlookers,
    process,
    site::{Site, World},
};

/// What a round found. None, or NaN as a figure, where there is no proxy or it was not looked at.
#[derive(Clone)]
pub(crate) struct Round {
    pub(crate) answered: Answered,
    proxy_cpu: Option<Duration>,
    machine_cpu: Duration,
    peak_memory: Option<u64>,
    idle: Option<Idle>,
    /// Copies the shadow received, by its own count; of small requests only.
    pub(crate) copies: u64,
}

/// One number of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Microseconds of CPU per request, all threads of the proxy, copies included.
    ProxyCpu,
    /// The same of the whole machine, whoever used it.
    MachineCpu,
    /// Microseconds.
    P50,
    P99,
    /// Bytes sent per second where uploads are the load, else answers.
    Throughput,
    /// Bytes.
    PeakMemory,
    MemoryAtStart,
    MemoryPerConnection,
    /// Bytes, of the proxy with all connections open.
    MemoryConnected,
    /// Bytes, of all the kernel's sockets between the client and the app, both included.
    SocketsPerConnection,
    /// Connections open at the same time.
    Held,
    /// Per request.
    Syscalls,
    /// Per request.
    Copies,
}

impl Round {
    pub(crate) fn run(
        load: Load,
        site: &Site,
        world: &World,
        client: &Client,
        interrupt: &Interrupt,
    ) -> Result<Self> {
        let pid = site.pid();
        let onlookers = Onlookers::of(site)?;
        let cpu = || pid.map(process::cpu).transpose();
        if let Some(pid) = pid {
            process::forget_peak(pid)?;
        }
        let (arrived, proxy_before, machine_before) = (world.arrived()?, cpu()?, process::cpu_of_machine()?);
        let answered = client.run(load, site, interrupt)?;
        let idle = load.held()?.map(|count| Idle::of(client, site, count)).transpose()?;
        // A copy's CPU time is in the round of its request. Where none is made nobody asks for any: with ten thousand rules
        // the answer takes longer than a thousand requests.
        if let Some(agent) = site.agent().filter(|_| site.case.mirrors() && site.case.shadow_lives()) {
            settled(agent, interrupt)?;
        }
        let (proxy, machine) = (cpu()?, process::cpu_of_machine()?);
        onlookers.map(Onlookers::close).transpose()?;
        Ok(Self {
            answered,
            proxy_cpu: proxy.zip(proxy_before).map(|(after, before)| after.saturating_sub(before)),
            machine_cpu: machine.saturating_sub(machine_before),
            peak_memory: pid.map(process::peak_memory).transpose()?,
            idle,
            // Asking was one more.
            copies: world.arrived()? - arrived - 1,
        })
    }
}

impl Figure {
    pub(crate) fn of(self, round: &Round) -> f64 {
        let Round { answered, .. } = round;
        let per_request = |value: f64| value / answered.requests as f64;
        let known = |value: Option<u64>| value.map_or(f64::NAN, |value| value as f64);
        match self {
            Self::ProxyCpu => round.proxy_cpu.map_or(f64::NAN, |time| per_request(micros(time))),
            Self::MachineCpu => per_request(micros(round.machine_cpu)),
            Self::P50 => micros(answered.p50),
            Self::P99 => micros(answered.p99),
            Self::Throughput => {
                let count = if answered.bytes > 0 { answered.bytes } else { answered.requests };
                count as f64 / answered.took.as_secs_f64()
            }
            Self::PeakMemory => known(round.peak_memory),
            Self::MemoryAtStart => known(round.idle.and_then(|idle| idle.at_start.proxy)),
            Self::MemoryConnected => known(round.idle.and_then(|idle| idle.connected.proxy)),
            Self::MemoryPerConnection => round.idle.map_or(f64::NAN, |idle| idle.each(|memory| memory.proxy)),
            Self::SocketsPerConnection => {
                round.idle.map_or(f64::NAN, |idle| idle.each(|memory| Some(memory.sockets)))
            }
            Self::Held => known(round.idle.map(|idle| idle.connections.into())),
            Self::Syscalls => per_request(known(answered.syscalls.get(Answered::ALL_CALLS).copied())),
            Self::Copies => per_request(round.copies as f64),
        }
    }

    /// As a person reads it.
    pub(crate) fn shown(self, value: f64) -> String {
        if !value.is_finite() {
            return "–".to_owned();
        }
        match self {
            Self::ProxyCpu | Self::MachineCpu => format!("{value:.1} µs"),
            Self::P50 | Self::P99 => format!("{:.3} ms", value / 1e3),
            // Of bodies in bytes; no proxy answers a million requests a second here.
            Self::Throughput if value >= 1e6 => format!("{:.0} MB/s", value / 1e6),
            Self::Throughput => format!("{value:.0}/s"),
            Self::PeakMemory | Self::MemoryAtStart | Self::MemoryConnected => {
                format!("{:.1} MiB", value / f64::from(1 << 20))
            }
            Self::MemoryPerConnection | Self::SocketsPerConnection => format!("{:.1} KiB", value / 1024.0),
            Self::Held => format!("{value:.0}"),
            Self::Syscalls => format!("{value:.1}"),
            Self::Copies => format!("{:.1} %", value * 100.0),
        }
    }
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// What a proxy just started has, and what it has with connections that were used once.
#[derive(Clone, Copy)]
struct Idle {
    connections: u32,
    at_start: Memory,
    connected: Memory,
}

/// Bytes.
#[derive(Clone, Copy)]
struct Memory {
    /// Resident. None where there is no proxy.
    proxy: Option<u64>,
    sockets: u64,
}

impl Memory {
    fn now(pid: Option<u32>) -> Result<Self> {
        let mut sockets = u64::MAX;
        // What was only needed for a moment goes back meanwhile, and thousands of sockets of the case before.
        loop {
            thread::sleep(Duration::from_secs(1));
            let before = std::mem::replace(&mut sockets, process::memory_of_sockets()?);
            if sockets >= before / 100 * 99 {
                break;
            }
        }
        Ok(Self { proxy: pid.map(process::memory).transpose()?, sockets })
    }
}

impl Idle {
    fn of(client: &Client, site: &Site, connections: u32) -> Result<Self> {
        let at_start = Memory::now(site.pid())?;
        let mut hold = client.own(&["hold", &site.small().to_string(), &connections.to_string()])?;
        hold.stdin(Stdio::piped()).stdout(Stdio::piped()).process_group(0);
        let mut hold = Running(hold.spawn()?);
        let mut said = String::new();
        BufReader::new(hold.0.stdout.take().context("standard output is piped")?).read_line(&mut said)?;
        ensure!(said.trim() == "held", "{} did not hold {connections} connections: {said}", site.case);
        Ok(Self { connections, at_start, connected: Memory::now(site.pid())? })
    }

    /// What one connection took.
    fn each(self, of: impl Fn(Memory) -> Option<u64>) -> f64 {
        let grown =
            of(self.connected).zip(of(self.at_start)).map(|(after, before)| after as f64 - before as f64);
        grown.map_or(f64::NAN, |grown| grown / f64::from(self.connections))
    }
}

/// Waits until no copy is under way. A copy to a dead shadow may take all of its fifteen seconds.
pub(crate) fn settled(agent: &Agent, interrupt: &Interrupt) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(60);
    while agent.metrics().sum("umbra_shadow_in_flight") > 0.5 {
        interrupt.check()?;
        ensure!(Instant::now() < deadline, "copies are still under way after a minute\n{}", agent.log());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
