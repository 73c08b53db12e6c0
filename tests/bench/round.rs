//! What is measured, and one measurement of it.

use std::time::Duration;

use anyhow::Result;
use support::Interrupt;

use crate::{
    books::Books,
    cpu,
    world::World,
    wrk::{Answered, Load, Wrk},
};

/// A way from the client to the app.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Case {
    /// Nothing in between: what the rest costs by itself.
    AppAlone,
    /// umbra, with rules that mirror other requests.
    UmbraPlain,
    /// umbra, copying all.
    UmbraMirror,
    /// nginx, as a proxy with kept connections.
    NginxPlain,
    /// The same nginx with its `mirror` directive.
    NginxMirror,
}

impl Case {
    pub(crate) const ALL: [Self; 5] =
        [Self::AppAlone, Self::UmbraPlain, Self::UmbraMirror, Self::NginxPlain, Self::NginxMirror];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::AppAlone => "app alone",
            Self::UmbraPlain => "umbra, plain",
            Self::UmbraMirror => "umbra, mirror 100 %",
            Self::NginxPlain => "nginx, plain",
            Self::NginxMirror => "nginx, mirror 100 %",
        }
    }

    /// Each has a port of its own, as the configurations beside this file say.
    fn port(self) -> u16 {
        match self {
            Self::AppAlone => 8080,
            Self::UmbraPlain => 8081,
            Self::UmbraMirror => 8082,
            Self::NginxPlain => 8083,
            Self::NginxMirror => 8084,
        }
    }

    fn proxy(self, world: &World) -> Option<u32> {
        match self {
            Self::AppAlone => None,
            Self::UmbraPlain | Self::UmbraMirror => Some(world.agent.pid()),
            Self::NginxPlain => Some(world.plain.pid()),
            Self::NginxMirror => Some(world.mirror.pid()),
        }
    }

    /// The rules umbra applies, as its metrics name them.
    fn virtual_service(self) -> Option<&'static str> {
        match self {
            Self::UmbraPlain => Some("bench/plain"),
            Self::UmbraMirror => Some("bench/mirrored"),
            Self::AppAlone | Self::NginxPlain | Self::NginxMirror => None,
        }
    }
}

/// What a round needs.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) world: &'a World,
    pub(crate) wrk: &'a Wrk,
    pub(crate) interrupt: &'a Interrupt,
}

/// One case under load for a while.
pub(crate) struct Round {
    pub(crate) answered: Answered,
    /// None where there is no proxy.
    proxy: Option<Duration>,
    machine: Duration,
    /// Copies the shadow received, by its own count.
    pub(crate) copies: u64,
    /// What umbra says of it.
    pub(crate) books: Option<Books>,
}

impl Round {
    /// Ends when every copy has ended, so that a copy's CPU time is in the round of its request.
    pub(crate) fn run(case: Case, load: Load, seconds: u64, scene: &Scene<'_>) -> Result<Self> {
        let Scene { world, wrk, interrupt } = *scene;
        let settled = || case.virtual_service().map(|service| Books::settled(&world.agent, service));
        let proxy = || case.proxy(world).map(cpu::of_process).transpose();

        let (books_before, arrived_before) = (settled(), world.arrived()?);
        let (proxy_before, machine_before) = (proxy()?, cpu::of_machine()?);
        let answered = wrk.run(load, world.address(case.port()), seconds, interrupt)?;
        let books = settled();
        let (proxy, machine) = (proxy()?, cpu::of_machine()?);
        // Asking was one more.
        let copies = world.arrived()? - arrived_before - 1;
        Ok(Self {
            answered,
            proxy: proxy.zip(proxy_before).map(|(after, before)| after.saturating_sub(before)),
            machine: machine.saturating_sub(machine_before),
            copies,
            books: books.zip(books_before).map(|(after, before)| after.since(&before)),
        })
    }

    /// Microseconds of CPU per request that the proxy took; NaN where there is none.
    pub(crate) fn proxy_cpu(&self) -> f64 {
        self.proxy.map_or(f64::NAN, |time| self.per_request(time))
    }

    /// Microseconds of CPU per request that the machine took, whoever used them.
    pub(crate) fn machine_cpu(&self) -> f64 {
        self.per_request(self.machine)
    }

    pub(crate) fn requests_per_second(&self) -> f64 {
        self.answered.requests as f64 / self.answered.took.as_secs_f64()
    }

    pub(crate) fn copies_per_request(&self) -> f64 {
        self.copies as f64 / self.answered.requests as f64
    }

    fn per_request(&self, time: Duration) -> f64 {
        micros(time) / self.answered.requests as f64
    }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
