//! What became of what people wrote, told where they look: in the status of ShadowPolicies, AgentConfigs and routes, and by
//! events. One agent of all writes; the others stand by.
//!
//! ```text
//! watches ─▶ seen ─┐
//! compiled ────────┴▶ due: what a status should say, and does not ─▶ write, one after the other, while the lease is held
//! ```
//!
//! A task of its own: nothing that is watched, compiled or mirrored ever waits for it. What is written comes back by the watches,
//! and is compared with what should be said; so an agent that takes over writes nothing anew.

mod conditions;
mod due;
mod elector;
mod events;
mod lease;
mod seen;
mod standby;
mod standing;
#[cfg(test)]
mod tests;
mod write;

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError},
    time::Duration,
};

use http::Method;
use kube::Client;
use time::OffsetDateTime;
use tokio::{
    select,
    sync::watch as channel,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{elector::Elector, events::Alarm, write::Api};
pub(super) use self::{
    seen::{Ledger, Seen},
    standing::Standing,
};
use super::{
    kinds::KINDS,
    lines::Trouble,
    pause::{Pause, spread},
    shared::Shared,
    store::Name,
    watch::LOOK,
};
use crate::route::Snapshot;
pub use standing::WriterStanding;

/// A burst of changes is over when so much time has passed.
const QUIET: Duration = Duration::from_millis(500);
/// Looking at everything may take one in so many parts of the time.
const REST: u32 = 20;
/// Between two writes.
const PACE: Duration = Duration::from_millis(50);
/// Written between two looks at what should be.
const AT_ONCE: usize = 200;
/// What was written and is not there is written again after so long, and what is over by time alone is seen.
const AGAIN: Duration = Duration::from_secs(60);
/// Events of one such time.
const EVENTS: usize = 30;

/// The rules in force.
pub type Rules = Arc<dyn Fn() -> Arc<Snapshot> + Send + Sync>;

/// Writes for as long as it leads.
pub(super) struct Writer {
    pub(super) client: Client,
    pub(super) shared: Arc<Shared>,
    /// The lease's.
    pub(super) namespace: String,
    pub(super) node: String,
    pub(super) rules: Rules,
}

/// What this agent wrote itself.
struct Pen {
    api: Api,
    shared: Arc<Shared>,
    rules: Rules,
    me: String,
    /// By object: digest of what was written or refused last, and when.
    written: HashMap<(usize, Name), (u64, Instant)>,
    /// By object and reason.
    told: HashMap<(usize, Name, &'static str), u64>,
    /// Since when a kind's status may not be written; None: events.
    refused: HashMap<Option<usize>, Instant>,
    /// The last time that something of them was refused.
    troubled: Option<Instant>,
    /// How long the last look at everything took.
    looked: Duration,
    /// When the time began of which events are counted, and how many there were.
    events: (Instant, usize),
}

impl Writer {
    /// Until `stop`; then the lease is left to the next.
    pub(super) async fn run(self, stop: CancellationToken) {
        let Self { client, shared, namespace, node, rules } = self;
        let (leads, led) = channel::channel(None);
        let me = format!("{node}-{:08x}", fastrand::u32(..));
        let mut elector = Elector::new(Api(client.clone()), Arc::clone(&shared), &namespace, me.clone());
        let pen = Pen {
            api: Api(client),
            shared,
            rules,
            me,
            written: HashMap::new(),
            told: HashMap::new(),
            refused: HashMap::new(),
            troubled: None,
            looked: Duration::ZERO,
            events: (Instant::now(), 0),
        };
        select! {
            () = stop.cancelled() => {}
            () = elector.run(&leads) => {}
            () = pen.run(led) => {}
        }
        elector.release().await;
    }
}

/// Whether this agent may write.
fn leads(until: &Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() < until)
}

impl Pen {
    async fn run(mut self, mut led: channel::Receiver<Option<Instant>>) {
        let mut pause = Pause::default();
        // Its sender lives as long as this.
        while led.wait_for(leads).await.is_ok() {
            match self.round(&led).await {
                Ok(true) => pause.reset(),
                Ok(false) => {
                    pause.reset();
                    select! {
                        () = self.shared.status.notified() => sleep(QUIET.max(self.looked * REST)).await,
                        () = sleep(spread(AGAIN)) => {}
                    }
                }
                Err(trouble) => {
                    self.standing(|standing| standing.trouble(Some(trouble.to_string())));
                    sleep(pause.next()).await;
                }
            }
        }
    }

    /// Writes what is due. True when there is more.
    async fn round(&mut self, led: &channel::Receiver<Option<Instant>>) -> Result<bool, Trouble> {
        let now = Instant::now();
        self.refused.retain(|_, since| now < *since + LOOK);
        self.written.retain(|_, (_, at)| now < *at + AGAIN);
        let tallies = conditions::tallies(&(self.rules)());
        let statements = {
            let fresh = |place: &(usize, Name), digest| {
                let refused = self.refused.contains_key(&Some(place.0));
                !refused && self.written.get(place).is_none_or(|(written, _)| *written != digest)
            };
            due::statements(&self.shared.inner(), &tallies, fresh, AT_ONCE)
        };
        self.looked = now.elapsed();
        let more = statements.len() == AT_ONCE;
        for statement in statements {
            if !leads(&led.borrow()) {
                return Ok(true);
            }
            if self.refused.contains_key(&Some(statement.kind)) {
                continue;
            }
            let place = (statement.kind, statement.name.clone());
            match self.api.write(&statement).await {
                // The watch tells what it is now.
                Ok(false) => {}
                Ok(true) => {
                    self.written.insert(place, (statement.digest, Instant::now()));
                    self.standing(Standing::wrote);
                }
                Err(trouble) if is_of_object(&trouble) => {
                    self.written.insert(place, (statement.digest, Instant::now()));
                    self.refuse(Some(statement.kind), &trouble);
                }
                Err(trouble) => return Err(trouble),
            }
            sleep(PACE).await;
        }
        self.tell(led).await?;
        if self.troubled.is_none_or(|last| last.elapsed() > AGAIN) {
            self.standing(|standing| standing.trouble(None));
        }
        Ok(more)
    }

    /// Makes the events that are due.
    async fn tell(&mut self, led: &channel::Receiver<Option<Instant>>) -> Result<(), Trouble> {
        let (alarms, known) = {
            let told = &self.told;
            let fresh = |alarm: &Alarm| {
                told.get(&(alarm.kind, alarm.name.clone(), alarm.reason)) != Some(&alarm.digest())
            };
            due::alarms(&self.shared.inner(), fresh)
        };
        self.told.retain(|place, _| known.contains(place));
        if self.events.0.elapsed() > AGAIN {
            self.events = (Instant::now(), 0);
        }
        for alarm in alarms {
            if self.events.1 == EVENTS || self.refused.contains_key(&None) || !leads(&led.borrow()) {
                return Ok(());
            }
            let event = alarm.event(&self.me, OffsetDateTime::now_utc());
            match self.api.ask(Method::POST, &alarm.path(), Some(&event)).await {
                Ok(_) => self.events.1 += 1,
                // Somebody has said it.
                Err(trouble) if trouble.status == Some(409) => {}
                Err(trouble) if is_of_object(&trouble) => self.refuse(None, &trouble),
                Err(trouble) => return Err(trouble),
            }
            let digest = alarm.digest();
            if !self.refused.contains_key(&None) {
                self.told.insert((alarm.kind, alarm.name, alarm.reason), digest);
            }
            sleep(PACE).await;
        }
        Ok(())
    }

    /// What is forbidden is not asked for again for a while.
    fn refuse(&mut self, kind: Option<usize>, trouble: &Trouble) {
        self.troubled = Some(Instant::now());
        if trouble.status == Some(403) {
            self.refused.insert(kind, Instant::now());
        }
        let what = kind.map_or("events", |kind| KINDS[kind].plural);
        self.standing(|standing| standing.trouble(Some(format!("{what}: {trouble}"))));
    }

    fn standing(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Another attempt would bring the same, and other objects may fare better.
fn is_of_object(trouble: &Trouble) -> bool {
    trouble.status.is_some_and(|status| (400..500).contains(&status) && !matches!(status, 401 | 408 | 429))
}
