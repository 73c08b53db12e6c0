//! How the cluster stands as a source, for a person: each kind, the faults in objects, the references that lead nowhere.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use super::{
    kinds::KINDS,
    shared::{Inner, Shared},
    standing::{Standing, State},
    status::WriterStanding,
    store::{Faulty, Target},
};
use crate::config::Diagnostic;

/// Faults that are shown; all are counted.
const SHOWN: usize = 100;

/// How one kind stands.
#[derive(Clone, Debug)]
pub struct KindStanding {
    /// `PodLabels` for the labels of pods of other nodes.
    pub kind: &'static str,
    /// `networking.istio.io/v1`
    pub version: Option<String>,
    pub state: State,
    /// How long it has been so.
    pub since: Duration,
    /// How old what is known is: nothing while changes are heard of.
    pub age: Duration,
    pub objects: usize,
    pub faulty: usize,
    pub why: Option<String>,
}

/// How the cluster stands.
#[derive(Clone, Debug)]
pub struct ClusterStanding {
    pub kinds: Vec<KindStanding>,
    /// The first of them.
    pub faults: Vec<Faulty>,
    pub fault_count: usize,
    /// Objects that stand in a file too, which wins.
    pub overruled: Vec<String>,
    /// None: this agent was not asked to write status.
    pub writer: Option<WriterStanding>,
}

/// References that lead nowhere: the first of them, and how many there are.
#[derive(Debug, Default)]
pub(super) struct Dangling {
    first: Vec<Faulty>,
    count: usize,
}

impl Dangling {
    /// Those that compiling found. Each is told once.
    pub(super) fn found(&mut self, found: &[Diagnostic]) {
        let (mut first, mut count) = (Vec::new(), 0);
        for diagnostic in found.iter().filter(|diagnostic| diagnostic.is_error()) {
            count += 1;
            if first.len() == SHOWN {
                continue;
            }
            let object = diagnostic.object.clone().unwrap_or_else(|| diagnostic.at.file.to_string());
            let known = |known: &&Faulty| known.object == object && known.message == diagnostic.message;
            let before = self.first.iter().find(known).cloned();
            first.push(before.unwrap_or_else(|| {
                tracing::warn!(code = %diagnostic.code, "{object}: {}; its other mirrors are in force", diagnostic.message);
                let effect = "this mirror is left out until it is there";
                Faulty { object, message: diagnostic.message.clone(), effect, since: Instant::now() }
            }));
        }
        *self = Self { first, count };
    }
}

impl Shared {
    pub(super) fn writer(&self) -> Option<WriterStanding> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner).show()
    }

    pub(super) fn standing(&self) -> ClusterStanding {
        let inner = self.inner();
        let kinds = inner.kinds.iter().enumerate().map(|(kind, standing)| inner.kind(kind, standing));
        let kinds: Vec<_> = kinds.chain(inner.of_labels()).collect();
        let Dangling { first, count } = &inner.dangling;
        let faults: Vec<_> = inner.store.faults().chain(first.iter().cloned()).collect();
        let fault_count = faults.len() + count - first.len();
        let faults = faults.into_iter().take(SHOWN).collect();
        let overruled = inner.overruled.clone();
        drop(inner);
        let writer = self.writer();
        ClusterStanding { kinds, faults, fault_count, overruled, writer }
    }
}

impl Inner {
    fn kind(&self, kind: usize, standing: &Standing) -> KindStanding {
        let group = KINDS[kind].group;
        let version = standing.version.map(|version| match group {
            "" => version.to_owned(),
            group => format!("{group}/{version}"),
        });
        KindStanding {
            kind: KINDS[kind].name,
            version,
            state: standing.state,
            since: standing.since.elapsed(),
            age: standing.age(),
            objects: self.store.count(&Target::Kind(kind)),
            faulty: self.store.faulty(kind),
            why: standing.why.clone(),
        }
    }

    /// All selectors in one: the worst of them.
    fn of_labels(&self) -> Option<KindStanding> {
        let worst = self
            .labels
            .values()
            .max_by_key(|standing| (standing.state != State::Following, standing.age()))?;
        let objects =
            self.labels.keys().map(|selector| self.store.count(&Target::Labels(selector.clone()))).sum();
        Some(KindStanding {
            kind: "PodLabels",
            version: Some("v1".to_owned()),
            state: worst.state,
            since: worst.since.elapsed(),
            age: worst.age(),
            objects,
            faulty: 0,
            why: worst.why.clone(),
        })
    }
}
