//! The heartbeat the kernel programs wait for. It says one of three things: capture for us; a data thread hangs, so give new
//! connections to the applications at once; or the same, because there is no room for more. Should the heart itself hang,
//! the kernel does so after a second.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{JoinHandle, park_timeout},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{
    enrolled::Enrolled,
    pressure::{Pressure, Reason},
};
use crate::process::{privileges, supervisor::Supervisor};

/// A worker silent for longer than this is taken for hung. With a beat it stays well below the second that is promised,
/// and far above the tick.
const LONGEST_SILENCE: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_millis(100);
/// Signs of life within the time after which a service manager takes the agent for hung.
const SIGNS: u32 = 4;

/// The thread that beats. Dropping it stops the heart.
pub(super) struct Heart {
    pulse: Arc<Pulse>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

struct Pulse {
    enrolled: Enrolled,
    /// How long the slowest data thread has said nothing.
    silence: Box<dyn Fn() -> Duration + Send + Sync>,
    pressure: Arc<Pressure>,
    supervisor: Arc<Supervisor>,
    /// When every namespace was last told to hand connections over: seconds since 1970.
    last: Arc<AtomicU64>,
}

/// What is wrong, in words that stay the same while it lasts.
type Trouble = BTreeSet<String>;

impl Heart {
    /// Beats for `enrolled` as long as `silence` stays short and there is room; `last` tells when it last did. The
    /// `supervisor` hears of it as long as `silence` stays short.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(super) fn start(
        enrolled: Enrolled,
        silence: impl Fn() -> Duration + Send + Sync + 'static,
        pressure: Arc<Pressure>,
        supervisor: Arc<Supervisor>,
        last: Arc<AtomicU64>,
    ) -> std::io::Result<Self> {
        let pulse = Arc::new(Pulse { enrolled, silence: Box::new(silence), pressure, supervisor, last });
        let stop = Arc::<AtomicBool>::default();
        let (pulsing, stopped) = (Arc::clone(&pulse), Arc::clone(&stop));
        let thread = std::thread::Builder::new().name("umbra-heart".into()).spawn(move || {
            // It also looks for other agents' programs, which takes the right to list them.
            privileges::keep_for_traffic();
            let mut told = Trouble::new();
            let mut sign = Instant::now();
            loop {
                park_timeout(BEAT);
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let trouble = pulsing.once();
                for what in trouble.difference(&told) {
                    tracing::warn!("{what}: new connections go to the apps directly");
                }
                for what in told.difference(&trouble) {
                    tracing::info!("no longer: {what}");
                }
                told = trouble;
                pulsing.show_life(&mut sign);
            }
        })?;
        pulse.pressure.wakes(thread.thread().clone());
        Ok(Self { pulse, stop, thread: Some(thread) })
    }

    /// Beats now rather than in a moment.
    ///
    /// # Errors
    /// Which namespaces cannot be told, and why. That there is no room is no error.
    pub(super) fn beat(&self) -> Result<(), String> {
        self.pulse.beat().map(drop).map_err(|failures| failures.join("; "))
    }
}

impl Pulse {
    /// Beats, or tells why not.
    fn once(&self) -> Trouble {
        let mut trouble: Trouble = match self.beat() {
            Ok(None) => Trouble::new(),
            Ok(Some(why)) => [why.to_owned()].into(),
            Err(failures) => failures.into_iter().collect(),
        };
        let lacking = self.enrolled.all().into_iter().filter(|enrolment| enrolment.lacks_ports());
        let lacking: Vec<_> = lacking.map(|enrolment| enrolment.name().to_owned()).collect();
        self.pressure.show(Reason::Ports, !lacking.is_empty());
        trouble.extend(lacking.iter().map(|name| format!("{name}: {}", Reason::Ports.tell())));
        trouble
    }

    /// Tells the service manager, where it waits for that, but for while a data thread hangs.
    fn show_life(&self, last: &mut Instant) {
        let due = self.supervisor.patience().is_some_and(|patience| last.elapsed() >= patience / SIGNS);
        if due && (self.silence)() <= LONGEST_SILENCE {
            self.supervisor.alive();
            *last = Instant::now();
        }
    }

    /// Says the one thing that holds in every enrolled namespace. Why nothing is captured, if so.
    fn beat(&self) -> Result<Option<&'static str>, Vec<String>> {
        let hangs = (self.silence)() > LONGEST_SILENCE;
        let shed = self.pressure.weigh();
        let mut failures = Vec::new();
        for enrolment in self.enrolled.all() {
            let told = match shed {
                _ if hangs => enrolment.silence(),
                Some(_) => enrolment.shed(),
                None => enrolment.beat(),
            };
            if let Err(error) = told {
                failures.push(format!("no heartbeat in {} ({error})", enrolment.name()));
            }
        }
        if !failures.is_empty() {
            return Err(failures);
        }
        if !hangs && shed.is_none() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            self.last.store(now.as_secs(), Ordering::Relaxed);
        }
        Ok(if hangs { Some("a data thread does not answer") } else { shed.map(Reason::tell) })
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}
