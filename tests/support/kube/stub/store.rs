//! What the stub keeps: every object in its place, and all that ever happened, by version.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(super) struct Store {
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// Version, place, the object before and after.
    history: Vec<(u64, Key, Option<Value>, Option<Value>)>,
    /// Who has seen no more than this is told to begin anew.
    forgotten: u64,
    /// Group, version and plural of what was installed.
    installed: BTreeSet<(String, String, String)>,
}

/// Group, plural, namespace, name.
type Key = (String, String, String, String);

/// What a path leads to.
#[derive(Clone, Debug)]
pub(super) struct Place {
    group: String,
    version: String,
    plural: String,
    namespace: Option<String>,
    pub(super) name: Option<String>,
    is_status: bool,
}

/// Which objects are meant, and how much of them.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    pub(super) labels: Vec<(String, String)>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) metadata_only: bool,
}

const BUILT_IN: [(&str, &str); 7] = [
    ("", "services"),
    ("", "pods"),
    ("", "namespaces"),
    ("discovery.k8s.io", "endpointslices"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("coordination.k8s.io", "leases"),
    ("events.k8s.io", "events"),
];

impl Place {
    pub(super) fn of(words: &[&str]) -> Option<Self> {
        let (group, version, rest) = match words {
            ["api", version, rest @ ..] => ("", *version, rest),
            ["apis", group, version, rest @ ..] => (*group, *version, rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", namespace, rest @ ..] if !rest.is_empty() && rest[0] != "status" => {
                (Some(*namespace), rest)
            }
            rest => (None, rest),
        };
        let (plural, name, is_status) = match rest {
            [plural] => (*plural, None, false),
            [plural, name] => (*plural, Some(*name), false),
            [plural, name, "status"] => (*plural, Some(*name), true),
            _ => return None,
        };
        let own = str::to_owned;
        let (namespace, name) = (namespace.map(own), name.map(own));
        Some(Self {
            group: own(group),
            version: own(version),
            plural: own(plural),
            namespace,
            name,
            is_status,
        })
    }

    fn key(&self) -> Key {
        let word = |word: &Option<String>| word.clone().unwrap_or_default();
        (self.group.clone(), self.plural.clone(), word(&self.namespace), word(&self.name))
    }

    fn holds(&self, (group, plural, namespace, _): &Key) -> bool {
        *group == self.group
            && *plural == self.plural
            && self.namespace.as_ref().is_none_or(|it| it == namespace)
    }
}

impl Selection {
    fn has(&self, object: &Value) -> bool {
        let node = &object["spec"]["nodeName"];
        let labels = &object["metadata"]["labels"];
        self.labels.iter().all(|(name, value)| labels[name] == *value)
            && self.fields.iter().all(|(name, value)| name == "spec.nodeName" && *node == *value)
    }

    fn show(&self, object: &Value) -> Value {
        match self.metadata_only {
            true => {
                json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": object["metadata"]})
            }
            false => object.clone(),
        }
    }
}

impl Store {
    pub(super) fn has(&self, place: &Place) -> bool {
        let key = (place.group.clone(), place.version.clone(), place.plural.clone());
        BUILT_IN.contains(&(&place.group, &place.plural)) || self.installed.contains(&key)
    }

    pub(super) fn versions(&self, group: &str) -> impl Iterator<Item = &str> {
        let of_group = self.installed.iter().filter(move |(known, ..)| known == group);
        of_group.map(|(_, version, _)| version.as_str()).collect::<BTreeSet<_>>().into_iter()
    }

    pub(super) fn plurals(&self, group: &str, version: &str) -> impl Iterator<Item = &str> {
        self.installed.iter().filter(move |it| it.0 == group && it.1 == version).map(|it| it.2.as_str())
    }

    /// As if nobody else had ever written it: what is applied replaces what was, the status and the rest apart.
    pub(super) fn apply(&mut self, place: &Place, written: &Value) -> Value {
        let before = self.objects.get(&place.key()).cloned();
        let mut object = before.clone().unwrap_or_else(|| written.clone());
        if place.is_status {
            object["status"] = written["status"].clone();
        } else if let Some(fields) = written.as_object() {
            let parts = fields.iter().filter(|(name, _)| !matches!(name.as_str(), "status" | "metadata"));
            parts.for_each(|(name, value)| object[name] = value.clone());
            object["metadata"]["labels"] = written["metadata"]["labels"].clone();
            if before.is_none() {
                object.as_object_mut().unwrap().remove("status");
            }
        }
        let metadata = &mut object["metadata"];
        if before.is_none() {
            metadata["uid"] = format!("uid-{}", self.version + 1).into();
            metadata["creationTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        let had = before.as_ref().map(|before| (&before["spec"], &before["metadata"]["generation"]));
        let generation = had.and_then(|(_, generation)| generation.as_u64()).unwrap_or(0);
        let same = had.is_some_and(|(spec, _)| *spec == object["spec"]);
        object["metadata"]["generation"] = (generation + u64::from(!same)).into();
        let metadata = &mut object["metadata"];
        // What servers add to every object, and nobody wants.
        metadata["managedFields"] =
            json!([{"manager": "test", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]);
        if place.plural == "customresourcedefinitions" {
            let spec = &object["spec"];
            let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            for version in spec["versions"].as_array().into_iter().flatten() {
                self.installed.insert((
                    word(&spec["group"]),
                    word(&version["name"]),
                    word(&spec["names"]["plural"]),
                ));
            }
        }
        self.happened(place.key(), before, Some(object))
    }

    /// A new object in this place, which names none. None: there is one.
    pub(super) fn create(&mut self, place: &Place, written: &Value) -> Option<Value> {
        let name = written["metadata"]["name"].as_str().map(str::to_owned);
        let place = Place { name, ..place.clone() };
        self.get(&place).is_none().then(|| self.apply(&place, written))
    }

    /// As `apply`, where nobody has changed it since the version that is written. None: somebody has.
    pub(super) fn replace(&mut self, place: &Place, written: &Value) -> Option<Value> {
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        let current = self.get(place)?;
        (version(&current) == version(written)).then(|| self.apply(place, written))
    }

    pub(super) fn delete(&mut self, place: &Place) -> Option<Value> {
        let before = self.objects.get(&place.key()).cloned()?;
        Some(self.happened(place.key(), Some(before), None))
    }

    fn happened(&mut self, key: Key, before: Option<Value>, after: Option<Value>) -> Value {
        self.version += 1;
        let versioned = |object: Option<Value>| {
            object.map(|mut object| {
                object["metadata"]["resourceVersion"] = self.version.to_string().into();
                object
            })
        };
        let gone = if after.is_none() { versioned(before.clone()) } else { before };
        let after = versioned(after);
        match &after {
            Some(object) => drop(self.objects.insert(key.clone(), object.clone())),
            None => drop(self.objects.remove(&key)),
        }
        let said = after.clone().or_else(|| gone.clone()).unwrap_or_default();
        self.history.push((self.version, key, gone, after));
        said
    }

    pub(super) fn get(&self, place: &Place) -> Option<Value> {
        self.objects.get(&place.key()).cloned()
    }

    /// Items of lists lack what says their kind. A token is the number of those before.
    pub(super) fn list(&self, place: &Place, selection: &Selection, page: usize, from: &str) -> Value {
        let from: usize = from.parse().unwrap_or(0);
        let all = self.objects.iter().filter(|(key, object)| place.holds(key) && selection.has(object));
        let all: Vec<_> = all.map(|(_, object)| selection.show(object)).collect();
        let mut items: Vec<_> = all.iter().skip(from).take(page).cloned().collect();
        for item in &mut items {
            item.as_object_mut().unwrap().retain(|name, _| !matches!(name.as_str(), "kind" | "apiVersion"));
        }
        let next = from + items.len();
        let more = if next < all.len() { next.to_string() } else { String::new() };
        json!({"kind": "List", "metadata": {"resourceVersion": self.version.to_string(), "continue": more}, "items": items})
    }

    /// The version of now, and the events for who has seen this one.
    pub(super) fn since(
        &self,
        seen: u64,
        place: &Place,
        selection: &Selection,
    ) -> (u64, Vec<(&'static str, Value)>) {
        let new = self.history.iter().filter(|(version, key, ..)| *version > seen && place.holds(key));
        let events = new.filter_map(|(_, _, before, after)| {
            let had = before.as_ref().filter(|object| selection.has(object));
            let has = after.as_ref().filter(|object| selection.has(object));
            match (had, has) {
                (None, None) => None,
                (None, Some(object)) => Some(("ADDED", selection.show(object))),
                (Some(_), Some(object)) => Some(("MODIFIED", selection.show(object))),
                (Some(object), None) => Some(("DELETED", selection.show(object))),
            }
        });
        (self.version, events.collect())
    }

    pub(super) fn forget(&mut self) {
        self.version += 1;
        self.forgotten = self.version;
        self.history.clear();
    }

    pub(super) fn has_forgotten(&self, seen: u64) -> bool {
        seen < self.forgotten
    }
}
