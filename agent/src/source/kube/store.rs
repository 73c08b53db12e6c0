//! What is known of the cluster: each object is a part of its own, the same value for as long as nothing that is kept of it
//! changes.
//!
//! One faulty object must not hold back what others change, as a faulty file does. An object that cannot be read, or in which
//! compiling finds an error, keeps its last version that was in force, or is left out where there was none. Nothing else
//! waits for it; its fault is logged once, and shown until the object is mended or gone (`faults`).

mod faults;
mod gather;
mod names;
mod nearby;

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use self::{faults::Faults, names::file, nearby::Nearby};
pub use self::{
    faults::Faulty,
    gather::{Gathered, Overruled},
    names::is_of_cluster,
};
pub(super) use self::{
    names::{Name, Selector, Target, object_name, place},
    nearby::Change,
};
use super::kinds::{COUNT, KINDS, SLICES};
use crate::config::{self, Diagnostic, Resources};

#[derive(Debug, Default)]
pub(super) struct Store {
    kinds: [BTreeMap<Name, Object>; COUNT],
    labels: BTreeMap<Selector, BTreeMap<Name, Object>>,
    faults: Faults,
    pub(super) nearby: Nearby,
    /// Counts changes of what people write.
    revision: u64,
}

#[derive(Debug, Default)]
struct Object {
    /// Length and hash of its text.
    text: (usize, u64),
    /// What is compiled. None: there never was a version without a fault.
    offered: Option<Part>,
    /// What was in force before, until the one above is.
    before: Option<Part>,
}

#[derive(Clone, Debug)]
struct Part {
    resources: Arc<Resources>,
    warnings: Vec<Diagnostic>,
    /// Of what people write.
    text: Option<Arc<str>>,
}

impl Object {
    fn resources(&self) -> Option<&Resources> {
        Some(&*self.offered.as_ref()?.resources)
    }
}

impl Store {
    /// Of an agent on this node.
    pub(super) fn on(node: String) -> Self {
        Self { nearby: Nearby::of(node), ..Self::default() }
    }

    /// Takes in the text of an object.
    pub(super) fn put(&mut self, target: &Target, name: Name, text: String) -> Change {
        let (kind, place) = (target.kind(), (target.kind(), name.clone()));
        let file = file(kind, &name);
        let Self { kinds, labels, faults, nearby, revision } = self;
        let Some(objects) = objects(kinds, labels, target) else { return Change::None };
        let object = objects.entry(name).or_default();
        let digest = (text.len(), config::digest(&text));
        if object.text == digest {
            return Change::None;
        }
        object.text = digest;
        let (resources, mut report) = config::read_part(&file, &text);
        if let Some(first) = report.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            faults.add(place, first, object.offered.is_some());
            return Change::None;
        }
        report.diagnostics.shrink_to_fit();
        let change = match kind {
            SLICES => nearby.weigh(object.resources(), Some(&resources)),
            _ => Change::Now,
        };
        let text = KINDS[kind].written.then(|| text.into());
        *revision += u64::from(text.is_some());
        let part = Part { resources: Arc::new(resources), warnings: report.diagnostics, text };
        let replaced = object.offered.replace(part);
        object.before = object.before.take().or(replaced);
        faults.remove(&place);
        change
    }

    pub(super) fn remove(&mut self, target: &Target, name: &Name) -> Change {
        let Self { kinds, labels, faults, nearby, revision } = self;
        *revision += u64::from(KINDS[target.kind()].written);
        let removed = objects(kinds, labels, target).and_then(|objects| objects.remove(name));
        faults.remove(&(target.kind(), name.clone()));
        match removed {
            Some(object) if object.offered.is_none() => Change::None,
            Some(object) if target.kind() == SLICES => nearby.weigh(object.resources(), None),
            Some(_) => Change::Now,
            None => Change::None,
        }
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, target: &Target, seen: &HashSet<Name>) -> Change {
        let Self { kinds, labels, faults, revision, .. } = self;
        *revision += u64::from(KINDS[target.kind()].written);
        let Some(objects) = objects(kinds, labels, target) else { return Change::None };
        let before = objects.len();
        objects.retain(|name, _| seen.contains(name));
        let fewer = objects.len() < before;
        if let Target::Kind(kind) = target {
            faults.retain(*kind, seen);
        }
        if fewer { Change::Now } else { Change::None }
    }

    pub(super) fn count(&self, target: &Target) -> usize {
        match target {
            Target::Kind(kind) => self.kinds[*kind].len(),
            Target::Labels(selector) => self.labels.get(selector).map_or(0, BTreeMap::len),
        }
    }

    /// From now on these pods' labels are kept.
    pub(super) fn begin(&mut self, selector: &Selector) {
        self.labels.entry(selector.clone()).or_default();
    }

    pub(super) fn end(&mut self, selector: &Selector) {
        self.labels.remove(selector);
    }

    /// The resources of one kind, each object's own.
    pub(super) fn of_kind(&self, kind: usize) -> impl Iterator<Item = &Resources> {
        self.kinds[kind].values().filter_map(Object::resources)
    }

    pub(super) fn get(&self, kind: usize, name: &Name) -> Option<&Resources> {
        self.kinds[kind].get(name)?.resources()
    }

    /// How many nodes have endpoints.
    pub(super) fn nodes(&self) -> usize {
        let endpoints = self.of_kind(SLICES).flat_map(|it| &it.endpoint_slices).flat_map(|it| &it.endpoints);
        endpoints.filter_map(|endpoint| endpoint.node.as_deref()).collect::<HashSet<_>>().len()
    }

    /// The same for as long as the texts of what people write are.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    /// What was gathered last is in force.
    pub(super) fn accept(&mut self) {
        let objects = self.kinds.iter_mut().chain(self.labels.values_mut());
        objects.flat_map(BTreeMap::values_mut).for_each(|object| object.before = None);
    }

    /// Takes the objects in which these errors lie back to their versions before. False when there is nothing to take back.
    pub(super) fn take_back(&mut self, errors: &[&Diagnostic]) -> bool {
        let mut done = HashSet::new();
        self.revision += 1;
        for error in errors {
            let Some((kind, name)) = place(&error.at.file) else { continue };
            let Some(object) = self.kinds[kind].get_mut(&name).filter(|object| object.offered.is_some())
            else {
                continue;
            };
            if done.insert((kind, name.clone())) {
                object.offered = object.before.take();
                self.faults.add((kind, name), error, object.offered.is_some());
            }
        }
        !done.is_empty()
    }

    /// Why newest versions of objects are not in force, for a person.
    pub(super) fn faults(&self) -> impl Iterator<Item = Faulty> {
        self.faults.shown()
    }

    /// Why the newest version of an object is not in force, and what is done about it.
    pub(super) fn fault(&self, place: &(usize, Name)) -> Option<(&Diagnostic, &'static str)> {
        self.faults.of(place)
    }

    /// The same of all that have a fault.
    pub(super) fn faulty_objects(&self) -> impl Iterator<Item = (&(usize, Name), &Diagnostic, &'static str)> {
        self.faults.all()
    }

    pub(super) fn faulty(&self, kind: usize) -> usize {
        self.faults.count(kind)
    }
}

/// None for pods whose labels nobody wants any more.
fn objects<'o>(
    kinds: &'o mut [BTreeMap<Name, Object>; COUNT],
    labels: &'o mut BTreeMap<Selector, BTreeMap<Name, Object>>,
    target: &Target,
) -> Option<&'o mut BTreeMap<Name, Object>> {
    match target {
        Target::Kind(kind) => Some(&mut kinds[*kind]),
        Target::Labels(selector) => labels.get_mut(selector),
    }
}
