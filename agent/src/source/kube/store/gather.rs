//! What of all that is known counts: everything but what stands in a file too, and one AgentConfig.

use std::{collections::HashSet, sync::Arc};

use super::{
    Part, Store,
    names::{Name, file, object_name},
};
use crate::{
    config::{Diagnostic, Resources, Sources},
    source::kube::kinds::{AGENTS, KINDS, PODS},
};

/// What the cluster adds to a configuration.
#[derive(Debug, Default)]
pub struct Gathered {
    pub parts: Vec<Arc<Resources>>,
    pub warnings: Vec<Diagnostic>,
}

/// Which objects of the cluster are passed over.
#[derive(Debug, Default)]
pub struct Overruled {
    /// Kind, namespace and name of what stands in a file.
    pub written: HashSet<(&'static str, String, String)>,
    /// A file has an AgentConfig; the cluster's do not count.
    pub agent: bool,
}

impl Overruled {
    fn has(&self, kind: usize, (namespace, name): &Name) -> bool {
        self.written.contains(&(KINDS[kind].name, namespace.to_string(), name.to_string()))
    }
}

impl Store {
    /// Everything that counts, always in the same order. `agent` names the AgentConfig; None: the only one, or `default`.
    pub(in crate::source::kube) fn gather(&self, overruled: &Overruled, agent: Option<&str>) -> Gathered {
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
    pub(in crate::source::kube) fn add_texts(
        &self,
        overruled: &Overruled,
        agent: Option<&str>,
        sources: &mut Sources,
    ) {
        for (part, (kind, name)) in self.parts(overruled, agent) {
            if let Some(text) = &part.text {
                sources.insert(&file(kind, name), Arc::clone(text));
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
    pub(in crate::source::kube) fn overruled(&self, overruled: &Overruled) -> Vec<String> {
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
}
