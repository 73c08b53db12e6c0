//! What the simulated server keeps of one kind: each object as a text that was made once, and every change in order.

use std::{
    collections::BTreeMap,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use serde_json::{Value, json};

/// Where the version of an object goes, which only the store knows.
const VERSION: &str = "@version@";

/// The text before and after its version.
pub(crate) struct Object {
    labels: Vec<(String, String)>,
    node: String,
    text: (Box<str>, Box<str>),
}

/// Namespace and name.
pub(crate) type Name = (String, String);

#[derive(Default)]
pub(crate) struct Collection {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    version: u64,
    objects: BTreeMap<Name, (u64, Arc<Object>)>,
    changes: Vec<Change>,
}

#[derive(Clone)]
pub(crate) struct Change {
    pub(crate) version: u64,
    namespace: String,
    before: Option<Arc<Object>>,
    after: Option<Arc<Object>>,
}

/// Which objects a watch is about, and how much of them.
pub(crate) struct Selection {
    pub(crate) namespace: Option<String>,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) node: Option<String>,
    pub(crate) metadata_only: bool,
}

impl Object {
    /// Of what a watch may select by, the pods' labels and nodes.
    pub(crate) fn new(text: &str, labels: &[(&str, &str)], node: &str) -> Self {
        let (before, after) = text.split_once(VERSION).expect("every template has a hole for the version");
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { labels, node: node.to_owned(), text: (before.into(), after.into()) }
    }
}

impl Collection {
    /// What is there from the beginning.
    pub(crate) fn fill(&self, objects: impl IntoIterator<Item = (Name, Object)>) {
        let mut inner = self.inner();
        for (name, object) in objects {
            inner.version += 1;
            let version = inner.version;
            inner.objects.insert(name, (version, Arc::new(object)));
        }
    }

    pub(crate) fn put(&self, name: Name, object: Object) {
        self.change(name, Some(Arc::new(object)));
    }

    pub(crate) fn delete(&self, name: Name) {
        self.change(name, None);
    }

    fn change(&self, name: Name, after: Option<Arc<Object>>) {
        let mut inner = self.inner();
        inner.version += 1;
        let (version, namespace) = (inner.version, name.0.clone());
        let before = match &after {
            Some(object) => inner.objects.insert(name, (version, Arc::clone(object))),
            None => inner.objects.remove(&name),
        };
        let before = before.map(|(_, object)| object);
        inner.changes.push(Change { version, namespace, before, after });
        self.changed.notify_all();
    }

    /// The version of now, and the objects there are, each with its own.
    pub(crate) fn list(&self, selection: &Selection) -> (u64, Vec<(u64, Arc<Object>)>) {
        let inner = self.inner();
        let of =
            inner.objects.iter().filter(|((namespace, _), (_, object))| selection.has(namespace, object));
        (inner.version, of.map(|(_, versioned)| versioned.clone()).collect())
    }

    /// What has changed since that version; waits for the first change for so long.
    pub(crate) fn since(&self, seen: u64, wait: Duration) -> (u64, Vec<Change>) {
        let mut inner = self.inner();
        if inner.version == seen {
            inner = self.changed.wait_timeout(inner, wait).unwrap().0;
        }
        let from = inner.changes.partition_point(|change| change.version <= seen);
        (inner.version, inner.changes[from..].to_vec())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }
}

impl Selection {
    fn has(&self, namespace: &str, object: &Object) -> bool {
        self.namespace.as_deref().is_none_or(|wanted| wanted == namespace)
            && self.node.as_ref().is_none_or(|node| *node == object.node)
            && self.labels.iter().all(|label| object.labels.contains(label))
    }

    /// The line of an event; None when the change is about none of these objects.
    pub(crate) fn event(&self, change: &Change) -> Option<String> {
        let of = |object: &Option<Arc<Object>>| {
            object.clone().filter(|object| self.has(&change.namespace, object))
        };
        let (kind, object) = match (of(&change.before), of(&change.after)) {
            (None, None) => return None,
            (None, Some(object)) => ("ADDED", object),
            (Some(_), Some(object)) => ("MODIFIED", object),
            (Some(object), None) => ("DELETED", object),
        };
        Some(self.line(kind, &object, change.version))
    }

    pub(crate) fn line(&self, kind: &str, object: &Object, version: u64) -> String {
        format!("{{\"type\":\"{kind}\",\"object\":{}}}\n", self.shown(object, version))
    }

    pub(crate) fn shown(&self, object: &Object, version: u64) -> String {
        let (before, after) = &object.text;
        let text = format!("{before}{version}{after}");
        if !self.metadata_only {
            return text;
        }
        let whole: Value = serde_json::from_str(&text).unwrap();
        let kind = "PartialObjectMetadata";
        json!({"kind": kind, "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]}).to_string()
    }
}
