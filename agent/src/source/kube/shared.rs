//! What the watches write and everybody else reads: the objects, and how each kind stands.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    time::{Instant as Moment, sleep_until},
};

use super::{
    kinds::{COUNT, KINDS},
    shown::Dangling,
    standing::{Standing, State},
    status::{self, Ledger, Seen},
    store::{Change, Gathered, Name, Overruled, Selector, Store, Target, object_name},
};
use crate::{config::Diagnostic, route::Locality};

/// So long a change of what is elsewhere waits at most for one of what is here, to be compiled with it.
const LATER: Duration = Duration::from_secs(10);

/// No lock is held longer than it takes to read an object, or to list the parts.
#[derive(Debug, Default)]
pub(super) struct Shared {
    inner: Mutex<Inner>,
    /// There is something new to compile.
    pub(super) changed: Notify,
    /// There is something new that can wait.
    waits: Notify,
    /// Something became known for which the start may wait.
    pub(super) progress: Notify,
    /// Status is to be written: what is written is looked at more closely.
    pub(super) writes: bool,
    /// There may be something new to say of objects.
    pub(super) status: Notify,
    pub(super) writing: Mutex<status::Standing>,
    /// Where the node is.
    pub(super) place: OnceLock<Locality>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    pub(super) store: Store,
    /// Empty unless status is to be written.
    pub(super) ledger: Ledger,
    pub(super) kinds: [Standing; COUNT],
    pub(super) labels: BTreeMap<Selector, Standing>,
    /// When the server went away.
    away: Option<Instant>,
    /// All of it was known, and taken to be compiled.
    taken: bool,
    /// The cluster's rules have been in force.
    in_force: bool,
    pub(super) overruled: Vec<String>,
    pub(super) dangling: Dangling,
}

impl Shared {
    /// Of an agent on this node. `writes`: status is to be written.
    pub(super) fn new(node: String, writes: bool) -> Self {
        let inner = Mutex::new(Inner { store: Store::on(node), ..Inner::default() });
        Self { inner, writes, ..Self::default() }
    }

    pub(super) fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `seen` where status is to be written.
    pub(super) fn put(&self, target: &Target, name: Name, text: String, seen: Option<Seen>) {
        let mut inner = self.inner();
        let known = seen.map(|seen| (name.clone(), seen));
        let change = inner.store.put(target, name, text);
        if let Some((name, seen)) = known {
            inner.ledger.put(target.kind(), name, seen, change != Change::None);
            self.status.notify_one();
        }
        drop(inner);
        self.tell(change);
    }

    pub(super) fn remove(&self, target: &Target, name: &Name) {
        let mut inner = self.inner();
        let change = inner.store.remove(target, name);
        if let Target::Kind(kind) = target {
            inner.ledger.remove(*kind, name);
        }
        drop(inner);
        self.tell(change);
    }

    /// A list has come to its end; what it has not is gone.
    pub(super) fn listed(&self, target: &Target, seen: &HashSet<Name>) {
        let change = self.inner().retain(target, seen);
        self.turn(target, State::Following, None);
        self.tell(change);
    }

    pub(super) fn placed(&self, place: Locality) {
        if self.place.set(place).is_ok() {
            self.tell(Change::Now);
        }
    }

    fn tell(&self, change: Change) {
        let told = match change {
            Change::None => return,
            Change::Later => &self.waits,
            Change::Now => &self.changed,
        };
        if self.inner().is_known() {
            told.notify_one();
        }
    }

    /// Ready when a change that could wait has waited for long enough. Cancel-safe.
    pub(super) async fn overdue(&self) {
        loop {
            let since = self.inner().store.nearby.waits_since();
            match since.map(|since| since + LATER) {
                Some(until) if until <= Moment::now() => return,
                Some(until) => sleep_until(until).await,
                None => self.waits.notified().await,
            }
        }
    }

    pub(super) fn heard(&self, target: &Target) {
        if let Some(standing) = self.inner().of(target) {
            standing.heard = Some(Instant::now());
        }
    }

    pub(super) fn turn(&self, target: &Target, state: State, why: Option<String>) {
        let mut inner = self.inner();
        let Some(standing) = inner.of(target) else { return };
        let was_known = standing.state != State::Listing;
        standing.turn(state, why);
        let becomes_known = !was_known && standing.state != State::Listing;
        inner.tell_of_server();
        drop(inner);
        if becomes_known {
            self.progress.notify_one();
            self.tell(Change::Now);
        }
    }

    /// A kind is there, in this version.
    pub(super) fn begins(&self, kind: usize, version: &'static str) {
        let mut inner = self.inner();
        let standing = &mut inner.kinds[kind];
        standing.version = Some(version);
        if standing.state == State::NotInstalled {
            tracing::info!(version, "{} is installed now", KINDS[kind].name);
            // Not `Listing`: what else is known goes on being compiled meanwhile.
            standing.why = Some("being listed for the first time".to_owned());
        }
    }

    /// The server says that it does not have a kind. What is known of it stays: a server that has just begun, or whoever stands
    /// before it, may say so too.
    pub(super) fn lost(&self, kind: usize) {
        let known = self.inner().kinds[kind].state != State::Listing;
        let state = if known { State::Away } else { State::NotInstalled };
        self.turn(&Target::Kind(kind), state, Some("the API server does not have it".to_owned()));
    }

    /// How long a kind has been known to be away; for ever, when it never was there.
    pub(super) fn lost_for(&self, kind: usize) -> Duration {
        let inner = self.inner();
        let standing = &inner.kinds[kind];
        if standing.state == State::Away { standing.since.elapsed() } else { Duration::MAX }
    }

    pub(super) fn not_installed(&self, kind: usize) {
        let target = Target::Kind(kind);
        self.turn(&target, State::NotInstalled, None);
        let change = self.inner().retain(&target, &HashSet::new());
        self.tell(change);
    }

    /// What has not been listed yet, and why.
    pub(super) fn missing(&self) -> Vec<String> {
        self.inner().missing()
    }

    pub(super) fn was_in_force(&self) -> bool {
        self.inner().in_force
    }

    pub(super) fn gather(&self, overruled: &Overruled, agent: Option<&str>) -> Gathered {
        let mut inner = self.inner();
        if !inner.is_known() {
            return Gathered::default();
        }
        inner.taken = true;
        inner.ledger.gathered();
        inner.store.nearby.gathered();
        let names = inner.store.overruled(overruled);
        if names != inner.overruled {
            for name in names.iter().filter(|name| !inner.overruled.contains(name)) {
                tracing::warn!("{name} stands in a file and in the cluster: the file's is in force");
            }
            inner.overruled = names;
        }
        inner.store.gather(overruled, agent)
    }

    pub(super) fn accept(&self, found: &[Diagnostic]) {
        let mut inner = self.inner();
        inner.in_force |= inner.taken;
        inner.store.accept();
        if self.writes {
            inner.ledger.accepted(found);
        }
        inner.dangling.found(found);
    }
}

impl Inner {
    /// None for pods whose labels nobody wants any more.
    fn of(&mut self, target: &Target) -> Option<&mut Standing> {
        match target {
            Target::Kind(kind) => Some(&mut self.kinds[*kind]),
            Target::Labels(selector) => self.labels.get_mut(selector),
        }
    }

    fn retain(&mut self, target: &Target, seen: &HashSet<Name>) -> Change {
        if let Target::Kind(kind) = target {
            self.ledger.retain(*kind, seen);
        }
        self.store.retain(target, seen)
    }

    /// It stands in a file too, which is in force.
    pub(super) fn is_overruled(&self, (kind, name): &(usize, Name)) -> bool {
        !self.overruled.is_empty() && self.overruled.contains(&object_name(*kind, name))
    }

    pub(super) fn begin(&mut self, selector: &Selector) {
        self.store.begin(selector);
        self.labels.insert(selector.clone(), Standing::default());
    }

    pub(super) fn end(&mut self, selector: &Selector) {
        self.store.end(selector);
        self.labels.remove(selector);
    }

    /// Half of a cluster is never compiled: rules without their services would be nothing but faults.
    fn is_known(&self) -> bool {
        self.taken || self.kinds.iter().all(|standing| standing.state != State::Listing)
    }

    fn missing(&self) -> Vec<String> {
        let kinds = self.kinds.iter().zip(&KINDS).map(|(standing, kind)| (kind.name.to_owned(), standing));
        let pods =
            |selector: &Selector| format!("labels of pods {} in {}", selector.labels, selector.namespace);
        let labels = self.labels.iter().map(|(selector, standing)| (pods(selector), standing));
        let missing = kinds.chain(labels).filter(|(_, standing)| standing.state == State::Listing);
        let told = missing.map(|(what, standing)| match &standing.why {
            Some(why) => format!("{what} ({why})"),
            None => what,
        });
        told.collect()
    }

    /// One line when the server goes away and one when it is back, whatever the number of kinds.
    fn tell_of_server(&mut self) {
        let mut standings = self.kinds.iter().chain(self.labels.values());
        let gone = standings.find(|standing| standing.state == State::Away);
        match (gone, self.away) {
            (Some(standing), None) => {
                let why = standing.why.as_deref().unwrap_or_default();
                tracing::warn!("the API server is away: what is known of the cluster stays in force: {why}");
                self.away = Some(Instant::now());
            }
            (None, Some(since)) => {
                tracing::info!("the API server is back after {:.1?}", since.elapsed());
                self.away = None;
            }
            _ => {}
        }
    }
}
