//! What the agent and the API server had to do in a stretch of time.

use std::{
    fs,
    time::{Duration, Instant},
};

use support::Agent;

use crate::{cluster::Cluster, server::Load};

/// The beginning of a stretch.
pub(crate) struct Since {
    moment: Instant,
    cpu: Duration,
    load: Load,
}

impl Since {
    pub(crate) fn now(agent: &Agent, cluster: &Cluster) -> Self {
        Self { moment: Instant::now(), cpu: cpu(agent), load: cluster.server.load() }
    }

    /// One line of figures.
    pub(crate) fn tell(&self, what: &str, agent: &Agent, cluster: &Cluster) {
        let Self { moment, cpu, load } = Self::now(agent, cluster);
        let (took, cpu) = (moment - self.moment, cpu - self.cpu);
        let bytes = load.bytes - self.load.bytes;
        let minutes = took.as_secs_f64() / 60.0;
        println!(
            "{what}: {:.1} s, CPU {:.2} s ({:.1} % of a core), {} MiB, {} requests, {:.1} KiB received ({:.0} KiB a minute), {} \
             watches",
            took.as_secs_f64(),
            cpu.as_secs_f64(),
            cpu.as_secs_f64() / took.as_secs_f64() * 100.0,
            agent.memory() >> 20,
            load.requests - self.load.requests,
            bytes as f64 / 1024.0,
            bytes as f64 / 1024.0 / minutes,
            load.watches,
        );
    }
}

/// Of the whole agent so far (proc_pid_stat(5): user and system, in hundredths of a second).
pub(crate) fn cpu(agent: &Agent) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", agent.pid())).unwrap();
    let fields = stat.rsplit_once(") ").unwrap().1.split(' ');
    let ticks: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
