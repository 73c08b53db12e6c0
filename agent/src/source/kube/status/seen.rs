//! What is known of the objects that people write beside what is compiled of them: which version of each it was, what its status
//! says in our name, and what compiling found in it.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher as _},
};

use serde_json::{Value, json};

use super::super::{
    kinds::{AGENTS, COUNT, KINDS, POLICIES, ROUTES},
    store::{Name, place},
};
use crate::config::{Code, Diagnostic};

/// By whom an entry of a route's `status.parents` is written (Gateway API, `RouteParentStatus.controllerName`).
pub(in crate::source::kube) const CONTROLLER: &str = "umbra.dev/agent";
/// Findings that are kept of one object.
const SHOWN: usize = 4;

/// One object that somebody wrote, as it came.
#[derive(Debug)]
pub(in crate::source::kube) struct Seen {
    pub(super) uid: Box<str>,
    pub(super) generation: i64,
    /// Digest of what its status says in our name.
    pub(super) said: u64,
    /// Of a route with mirrors: `[index, parentRef]` of each parent that is a Service.
    pub(super) parents: Option<Box<str>>,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) seen: Seen,
    /// The change that brought what is to be compiled of it.
    pub(super) brought: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) code: Code,
    /// `spec.parentRefs[0].name: …`
    pub(super) message: String,
}

/// Of every object that people write. Grows with them, and with the faults in them.
#[derive(Debug, Default)]
pub(in crate::source::kube) struct Ledger {
    objects: [BTreeMap<Name, Entry>; COUNT],
    findings: HashMap<(usize, Name), Vec<Finding>>,
    /// Counts changes.
    changes: u64,
    /// Of them, those that are being compiled, and those that are in force.
    gathered: u64,
    accepted: u64,
}

impl Seen {
    /// None of what the cluster itself writes.
    pub(in crate::source::kube) fn of(kind: usize, object: &Value) -> Option<Self> {
        let metadata = &object["metadata"];
        KINDS[kind].written.then(|| Self {
            uid: metadata["uid"].as_str().unwrap_or_default().into(),
            generation: metadata["generation"].as_i64().unwrap_or(0),
            said: digest(&said(kind, object)),
            parents: ROUTES.contains(&kind).then(|| parents(object)).flatten(),
        })
    }
}

/// What the status of an object says in our name, times aside; Null for nothing.
pub(super) fn said(kind: usize, object: &Value) -> Value {
    let status = &object["status"];
    if ROUTES.contains(&kind) {
        let all = status["parents"].as_array().into_iter().flatten();
        let own: Vec<_> = all.filter(|entry| entry["controllerName"] == CONTROLLER).map(timeless).collect();
        return if own.is_empty() { Value::Null } else { own.into() };
    }
    match status.as_object().filter(|fields| !fields.is_empty()) {
        Some(_) if has_status(kind) => timeless(status),
        _ => Value::Null,
    }
}

/// Whether anything is said of the objects of a kind.
pub(super) fn has_status(kind: usize) -> bool {
    kind == AGENTS || kind == POLICIES || ROUTES.contains(&kind)
}

fn timeless(status: &Value) -> Value {
    let mut status = status.clone();
    for condition in status["conditions"].as_array_mut().into_iter().flatten() {
        if let Some(condition) = condition.as_object_mut() {
            condition.remove("lastTransitionTime");
        }
    }
    status
}

fn parents(route: &Value) -> Option<Box<str>> {
    let list = |value: &Value, name: &str| value[name].as_array().cloned().unwrap_or_default();
    let filters = list(&route["spec"], "rules").into_iter().flat_map(|rule| list(&rule, "filters"));
    if !filters.into_iter().any(|filter| filter["type"] == "RequestMirror") {
        return None;
    }
    let all = list(&route["spec"], "parentRefs").into_iter().enumerate();
    let services = all.filter(|(_, parent)| {
        parent["kind"] == "Service" && matches!(parent["group"].as_str(), Some("" | "core"))
    });
    let services: Vec<_> = services.map(|(index, parent)| json!([index, parent])).collect();
    (!services.is_empty()).then(|| Value::from(services).to_string().into())
}

/// The same for the same value, whatever the order of its fields.
pub(super) fn digest(value: &Value) -> u64 {
    fn add(value: &Value, to: &mut DefaultHasher) {
        match value {
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                fields.len().hash(to);
                for (name, value) in fields {
                    name.hash(to);
                    add(value, to);
                }
            }
            Value::Array(items) => {
                items.len().hash(to);
                items.iter().for_each(|item| add(item, to));
            }
            plain => plain.to_string().hash(to),
        }
    }
    let mut hasher = DefaultHasher::new();
    add(value, &mut hasher);
    hasher.finish()
}

impl Ledger {
    /// `changed`: there is something new to compile.
    pub(in crate::source::kube) fn put(&mut self, kind: usize, name: Name, seen: Seen, changed: bool) {
        self.changes += u64::from(changed);
        let before = self.objects[kind].get(&name).map(|entry| entry.brought);
        let brought = before.filter(|_| !changed).unwrap_or(self.changes);
        self.objects[kind].insert(name, Entry { seen, brought });
    }

    pub(in crate::source::kube) fn remove(&mut self, kind: usize, name: &Name) {
        self.objects[kind].remove(name);
    }

    pub(in crate::source::kube) fn retain(&mut self, kind: usize, seen: &HashSet<Name>) {
        self.objects[kind].retain(|name, _| seen.contains(name));
    }

    /// What is known now is being compiled.
    pub(in crate::source::kube) fn gathered(&mut self) {
        self.gathered = self.changes;
    }

    /// What was gathered last is in force, with these findings.
    pub(in crate::source::kube) fn accepted(&mut self, findings: &[Diagnostic]) {
        self.accepted = self.gathered;
        self.findings.clear();
        for finding in findings.iter().filter(|finding| matters(finding.code)) {
            let Some(place) = place(&finding.at.file) else { continue };
            let found = self.findings.entry(place).or_default();
            if found.len() < SHOWN {
                found.push(Finding { code: finding.code, message: finding.message.clone() });
            }
        }
    }

    pub(super) fn objects(&self, kind: usize) -> impl Iterator<Item = (&Name, &Entry)> {
        self.objects[kind].iter()
    }

    pub(super) fn seen(&self, kind: usize, name: &Name) -> Option<&Seen> {
        self.objects[kind].get(name).map(|entry| &entry.seen)
    }

    pub(super) fn is_in_force(&self, entry: &Entry) -> bool {
        entry.brought <= self.accepted
    }

    pub(super) fn findings(&self, place: &(usize, Name)) -> &[Finding] {
        self.findings.get(place).map_or(&[], Vec::as_slice)
    }

    pub(super) fn all_findings(&self) -> impl Iterator<Item = (&(usize, Name), &[Finding])> {
        self.findings.iter().map(|(place, findings)| (place, findings.as_slice()))
    }
}

impl Finding {
    /// A reference that leads nowhere: somebody must act.
    pub(super) fn is_dangling(&self) -> bool {
        use Code::{UnknownHost, UnknownPort, UnknownSubset, UnknownTarget, UnresolvedRef};
        matches!(self.code, UnknownHost | UnknownSubset | UnknownPort | UnresolvedRef | UnknownTarget)
            || self.code == Code::UnmatchedHost && self.message.starts_with("spec.parentRefs")
    }
}

/// What a status or an event tells of.
fn matters(code: Code) -> bool {
    use Code::{
        Overruled, Shadowed, UnknownHost, UnknownPort, UnknownSubset, UnknownTarget, UnmatchedHost,
        Unreachable, UnresolvedRef,
    };
    matches!(
        code,
        Overruled
            | Shadowed
            | UnknownHost
            | UnknownPort
            | UnknownSubset
            | UnknownTarget
            | UnmatchedHost
            | Unreachable
            | UnresolvedRef
    )
}
