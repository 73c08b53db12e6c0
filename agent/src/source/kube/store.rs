//! What is known of the cluster: each object is a part of its own, the same value for as long as nothing that is kept of it
//! changes.
//!
//! One faulty object must not hold back what others change, as a faulty file does. An object that cannot be read, or in which
//! compiling finds an error, keeps its last version that was in force, or is left out where there was none. Nothing else
//! waits for it; its fault is logged once, and shown until the object is mended or gone.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Instant,
};

use super::kinds::{AGENTS, COUNT, KINDS, PODS};
use crate::config::{self, Diagnostic, Resources, Sources};

/// What the name of every part begins with: `kubernetes/VirtualService/shop/cart`.
const ROOT: &str = "kubernetes";

/// Namespace and name.
pub(super) type Name = (Box<str>, Box<str>);

/// Which objects: those of a kind, or the labels of pods of other nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// Its place among `KINDS`.
    Kind(usize),
    Labels(Selector),
}

/// Pods of a namespace with these labels, as the API server is asked for them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Selector {
    pub(super) namespace: String,
    /// `app=cart,tier=front`
    pub(super) labels: String,
}

#[derive(Debug, Default)]
pub(super) struct Store {
    kinds: [BTreeMap<Name, Object>; COUNT],
    labels: BTreeMap<Selector, BTreeMap<Name, Object>>,
    /// Why the newest version of an object is not in force.
    faults: BTreeMap<(usize, Name), Fault>,
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

#[derive(Debug)]
struct Fault {
    since: Instant,
    first: Diagnostic,
}

/// What the cluster adds to a configuration.
#[derive(Debug, Default)]
pub struct Gathered {
    pub parts: Vec<Arc<Resources>>,
    pub warnings: Vec<Diagnostic>,
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

/// Which objects of the cluster are passed over.
#[derive(Debug, Default)]
pub struct Overruled {
    /// Kind, namespace and name of what stands in a file.
    pub written: HashSet<(&'static str, String, String)>,
    /// A file has an AgentConfig; the cluster's do not count.
    pub agent: bool,
}

impl Target {
    pub(super) fn kind(&self) -> usize {
        match self {
            Self::Kind(kind) => *kind,
            Self::Labels(_) => PODS,
        }
    }
}

impl Store {
    /// None for pods whose labels nobody wants any more.
    fn objects(&mut self, target: &Target) -> Option<&mut BTreeMap<Name, Object>> {
        match target {
            Target::Kind(kind) => Some(&mut self.kinds[*kind]),
            Target::Labels(selector) => self.labels.get_mut(selector),
        }
    }

    /// Takes in the text of an object. True when there is something new to compile.
    pub(super) fn put(&mut self, target: &Target, name: Name, text: String) -> bool {
        let (kind, place) = (&KINDS[target.kind()], (target.kind(), name.clone()));
        let file = format!("{ROOT}/{}/{}/{}", kind.name, name.0, name.1);
        let Some(objects) = self.objects(target) else { return false };
        let object = objects.entry(name).or_default();
        let digest = (text.len(), config::digest(&text));
        if object.text == digest {
            return false;
        }
        object.text = digest;
        let (resources, mut report) = config::read_part(&file, &text);
        if let Some(first) = report.diagnostics.iter().find(|diagnostic| diagnostic.is_error()) {
            let stays = object.offered.is_some();
            self.faults.insert(place, Fault::new(first, stays));
            return false;
        }
        report.diagnostics.shrink_to_fit();
        let text = kind.written.then(|| text.into());
        let part = Part { resources: Arc::new(resources), warnings: report.diagnostics, text };
        let replaced = object.offered.replace(part);
        object.before = object.before.take().or(replaced);
        self.faults.remove(&place);
        true
    }

    /// True when there is something new to compile.
    pub(super) fn remove(&mut self, target: &Target, name: &Name) -> bool {
        let removed = self.objects(target).and_then(|objects| objects.remove(name));
        self.faults.remove(&(target.kind(), name.clone()));
        removed.is_some_and(|object| object.offered.is_some())
    }

    /// Forgets all but these.
    pub(super) fn retain(&mut self, target: &Target, seen: &HashSet<Name>) -> bool {
        let Some(objects) = self.objects(target) else { return false };
        let before = objects.len();
        objects.retain(|name, _| seen.contains(name));
        let fewer = objects.len() < before;
        if let Target::Kind(kind) = target {
            self.faults.retain(|(of, name), _| of != kind || seen.contains(name));
        }
        fewer
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
        self.kinds[kind].values().filter_map(|object| Some(&*object.offered.as_ref()?.resources))
    }

    pub(super) fn get(&self, kind: usize, name: &Name) -> Option<&Resources> {
        Some(&*self.kinds[kind].get(name)?.offered.as_ref()?.resources)
    }

    /// Everything that counts, always in the same order. `agent` names the AgentConfig; None: the only one, or `default`.
    pub(super) fn gather(&self, overruled: &Overruled, agent: Option<&str>) -> Gathered {
        let mut gathered = Gathered::default();
        for (part, _) in self.parts(overruled, agent) {
            gathered.parts.push(Arc::clone(&part.resources));
            gathered.warnings.extend_from_slice(&part.warnings);
        }
        let pods = &self.kinds[PODS];
        let mut seen = HashSet::new();
        for (name, object) in self.labels.values().flatten() {
            // A pod of this node is known in full, and one that two selectors name is one.
            if let Some(part) =
                object.offered.as_ref().filter(|_| !pods.contains_key(name) && seen.insert(name))
            {
                gathered.parts.push(Arc::clone(&part.resources));
            }
        }
        gathered
    }

    /// The texts of what people wrote.
    pub(super) fn add_texts(&self, overruled: &Overruled, agent: Option<&str>, sources: &mut Sources) {
        for (part, (kind, (namespace, name))) in self.parts(overruled, agent) {
            if let Some(text) = &part.text {
                sources.insert(&format!("{ROOT}/{}/{namespace}/{name}", KINDS[kind].name), Arc::clone(text));
            }
        }
    }

    fn parts(
        &self,
        overruled: &Overruled,
        agent: Option<&str>,
    ) -> impl Iterator<Item = (&Part, (usize, &Name))> {
        let agent = self.agent(agent).filter(|_| !overruled.agent);
        let all = self.kinds.iter().enumerate();
        let all =
            all.flat_map(|(kind, objects)| objects.iter().map(move |(name, object)| (kind, name, object)));
        let counts = move |kind: usize, name: &Name| match kind {
            AGENTS => agent == Some(name),
            _ if overruled.written.is_empty() => true,
            _ => !overruled.has(kind, name),
        };
        all.filter_map(move |(kind, name, object)| {
            let part = object.offered.as_ref().filter(|_| counts(kind, name))?;
            Some((part, (kind, name)))
        })
    }

    fn agent(&self, wanted: Option<&str>) -> Option<&Name> {
        let mut names = self.kinds[AGENTS].keys();
        match (wanted, names.len()) {
            (None, 1) => names.next(),
            (wanted, _) => names.find(|(_, name)| **name == *wanted.unwrap_or("default")),
        }
    }

    /// What stands in the cluster as well as in a file.
    pub(super) fn overruled(&self, overruled: &Overruled) -> Vec<String> {
        let known = |(kind, namespace, name): &&(&'static str, String, String)| {
            let name: Name = (namespace.as_str().into(), name.as_str().into());
            KINDS
                .iter()
                .position(|known| known.name == *kind)
                .is_some_and(|kind| self.kinds[kind].contains_key(&name))
        };
        let objects = overruled.written.iter().filter(known);
        let mut names: Vec<_> =
            objects.map(|(kind, namespace, name)| format!("{kind} {namespace}/{name}")).collect();
        if overruled.agent {
            names.extend(self.kinds[AGENTS].keys().map(|name| object_name(AGENTS, name)));
        }
        names.sort_unstable();
        names
    }

    /// What was gathered last is in force.
    pub(super) fn accept(&mut self) {
        let objects = self.kinds.iter_mut().chain(self.labels.values_mut());
        objects.flat_map(BTreeMap::values_mut).for_each(|object| object.before = None);
    }

    /// Takes the objects in which these errors lie back to their versions before. False when there is nothing to take back.
    pub(super) fn take_back(&mut self, errors: &[&Diagnostic]) -> bool {
        let mut done = HashSet::new();
        for error in errors {
            let Some((kind, name)) = place(&error.at.file) else { continue };
            let Some(object) = self.kinds[kind].get_mut(&name).filter(|object| object.offered.is_some())
            else {
                continue;
            };
            if done.insert((kind, name.clone())) {
                object.offered = object.before.take();
                let stays = object.offered.is_some();
                self.faults.insert((kind, name), Fault::new(error, stays));
            }
        }
        !done.is_empty()
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = Faulty> {
        self.faults.iter().map(|(place, Fault { since, first })| {
            let (object, message) = (object_name(place.0, &place.1), first.message.clone());
            Faulty { object, message, effect: self.effect(place), since: *since }
        })
    }

    /// Why the newest version of an object is not in force, and what is done about it.
    pub(super) fn fault(&self, place: &(usize, Name)) -> Option<(&Diagnostic, &'static str)> {
        self.faults.get(place).map(|fault| (&fault.first, self.effect(place)))
    }

    /// The same of all that have a fault.
    pub(super) fn faulty_objects(&self) -> impl Iterator<Item = (&(usize, Name), &Diagnostic, &'static str)> {
        self.faults.iter().map(|(place, fault)| (place, &fault.first, self.effect(place)))
    }

    fn effect(&self, (kind, name): &(usize, Name)) -> &'static str {
        effect(self.kinds[*kind].get(name).is_some_and(|object| object.offered.is_some()))
    }

    pub(super) fn faulty(&self, kind: usize) -> usize {
        self.faults.keys().filter(|(of, _)| *of == kind).count()
    }
}

fn effect(stays: bool) -> &'static str {
    if stays { "its last version without errors stays in force" } else { "it is left out" }
}

impl Fault {
    /// Told once.
    fn new(first: &Diagnostic, stays: bool) -> Self {
        let object = first.object.as_deref().unwrap_or(&first.at.file);
        tracing::error!(code = %first.code, "{object}: {}; {}", first.message, effect(stays));
        Self { since: Instant::now(), first: first.clone() }
    }
}

impl Overruled {
    fn has(&self, kind: usize, (namespace, name): &Name) -> bool {
        self.written.contains(&(KINDS[kind].name, namespace.to_string(), name.to_string()))
    }
}

pub(super) fn object_name(kind: usize, (namespace, name): &Name) -> String {
    format!("{} {namespace}/{name}", KINDS[kind].name)
}

/// Whether a place lies in an object of the cluster.
pub fn is_of_cluster(file: &str) -> bool {
    place(file).is_some()
}

pub(super) fn place(file: &str) -> Option<(usize, Name)> {
    let mut words = file.split('/');
    let (root, kind) = (words.next()?, words.next()?);
    let kind = KINDS.iter().position(|known| root == ROOT && known.name == kind)?;
    let name = (words.next()?.into(), words.next()?.into());
    words.next().is_none().then_some((kind, name))
}
