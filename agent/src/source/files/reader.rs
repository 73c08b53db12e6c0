//! Files read again and again: one whose text is the same is not parsed again, and its objects stay the same values.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use super::{Found, Seen, add, files};
use crate::config::{self, Report, Resources, Sources};

/// Remembers what was read last, and what was read when the configuration was last accepted: whoever takes a fault back
/// has the objects of before.
#[derive(Debug, Default)]
pub struct Reader {
    seen: Seen<Arc<str>>,
    last: Known,
    accepted: Known,
}

/// By the name of the file.
type Known = HashMap<String, Arc<Parsed>>;

#[derive(Debug)]
struct Parsed {
    /// Length and hash.
    text: (usize, u64),
    resources: Arc<Resources>,
    faults: Report,
}

impl Reader {
    /// As [`load`](super::load), in parts: one for each file.
    pub fn load(&mut self, paths: &[PathBuf]) -> (Vec<Arc<Resources>>, Report, Sources) {
        let (mut report, mut sources) = (Report::default(), Sources::default());
        let (mut parts, mut last) = (Vec::new(), Known::new());
        let found = files(paths, &mut self.seen, |text| text);
        for file in &found {
            let Ok(text) = &file.made else {
                add(file, &mut Resources::default(), &mut report, &mut sources);
                continue;
            };
            sources.insert(&file.name, Arc::clone(text));
            let parsed = self.parsed(&file.name, text);
            report.diagnostics.extend_from_slice(&parsed.faults.diagnostics);
            parts.push(Arc::clone(&parsed.resources));
            last.insert(file.name.clone(), parsed);
        }
        self.last = last;
        if are_distinct(&parts) { (parts, report, sources) } else { together(&found) }
    }

    /// The configuration read last is in force.
    pub fn accept(&mut self) {
        self.accepted = self.last.clone();
    }

    fn parsed(&self, name: &str, text: &str) -> Arc<Parsed> {
        let digest = (text.len(), config::digest(text));
        let known = self.last.get(name).into_iter().chain(self.accepted.get(name));
        let same = known.into_iter().find(|parsed| parsed.text == digest);
        same.cloned().unwrap_or_else(|| {
            let (resources, faults) = config::read_part(name, text);
            Arc::new(Parsed { text: digest, resources: Arc::new(resources), faults })
        })
    }
}

/// Whether no two parts have an object of one name.
fn are_distinct(parts: &[Arc<Resources>]) -> bool {
    let agents = parts.iter().filter(|part| part.agent.is_some()).count();
    let metas = parts.iter().flat_map(|part| part.metas());
    let mut names = HashSet::new();
    let mut new = metas.map(|(kind, meta)| names.insert((kind, &meta.namespace, &meta.name.value)));
    agents < 2 && new.all(|new| new)
}

/// Read as one: whatever is written twice is told of, and the configuration is refused.
fn together(found: &[Found<Arc<str>>]) -> (Vec<Arc<Resources>>, Report, Sources) {
    let (mut resources, mut report, mut sources) =
        (Resources::default(), Report::default(), Sources::default());
    for file in found {
        add(file, &mut resources, &mut report, &mut sources);
    }
    (vec![Arc::new(resources)], report, sources)
}
