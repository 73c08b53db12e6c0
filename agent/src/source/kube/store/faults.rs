//! Why the newest version of an object is not in force. Each fault is logged once, and known until the object is mended or gone.

use std::{
    collections::{BTreeMap, HashSet},
    time::Instant,
};

use super::names::{Name, object_name};
use crate::config::Diagnostic;

/// Kind and name.
type Place = (usize, Name);

#[derive(Debug, Default)]
pub(super) struct Faults(BTreeMap<Place, Fault>);

#[derive(Debug)]
struct Fault {
    since: Instant,
    first: Diagnostic,
    effect: &'static str,
}

/// A fault in an object, for a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faulty {
    /// `VirtualService shop/cart`
    pub object: String,
    pub message: String,
    /// What is done about it.
    pub effect: &'static str,
    pub since: Instant,
}

impl Faults {
    /// `stays`: there is a version before that is in force.
    pub(super) fn add(&mut self, place: Place, first: &Diagnostic, stays: bool) {
        let effect = if stays { "its last version without errors stays in force" } else { "it is left out" };
        let object = first.object.as_deref().unwrap_or(&first.at.file);
        tracing::error!(code = %first.code, "{object}: {}; {effect}", first.message);
        self.0.insert(place, Fault { since: Instant::now(), first: first.clone(), effect });
    }

    pub(super) fn remove(&mut self, place: &Place) {
        self.0.remove(place);
    }

    /// Forgets those of a kind's objects that are gone.
    pub(super) fn retain(&mut self, kind: usize, there: &HashSet<Name>) {
        self.0.retain(|(of, name), _| *of != kind || there.contains(name));
    }

    pub(super) fn shown(&self) -> impl Iterator<Item = Faulty> {
        self.0.iter().map(|((kind, name), Fault { since, first, effect })| {
            let (object, message) = (object_name(*kind, name), first.message.clone());
            Faulty { object, message, effect, since: *since }
        })
    }

    /// The first error of an object, and what is done about it.
    pub(super) fn of(&self, place: &Place) -> Option<(&Diagnostic, &'static str)> {
        self.0.get(place).map(|fault| (&fault.first, fault.effect))
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&Place, &Diagnostic, &'static str)> {
        self.0.iter().map(|(place, fault)| (place, &fault.first, fault.effect))
    }

    pub(super) fn count(&self, kind: usize) -> usize {
        self.0.keys().filter(|(of, _)| *of == kind).count()
    }
}
