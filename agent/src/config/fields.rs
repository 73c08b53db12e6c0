//! A map with fixed keys, read by asking for them; those that nobody asked for are reported at the end.

use std::collections::HashSet;

use super::{
    Code, Location,
    decode::{Key, Node, Value},
    field::{Faults, Field},
    honoured::Meanings,
};

/// Strange keys of one map that are told which name may have been meant: people slip once or twice.
const MAX_GUESSES: usize = 32;

/// A map with fixed keys, being read.
pub(super) struct Fields<'n> {
    path: String,
    at: &'n Location,
    entries: &'n [(Key, Node)],
    asked: Vec<&'static str>,
}

/// Whose field names these are, which decides how a strange one is taken.
#[derive(Clone, Copy)]
pub(super) enum Names {
    /// Others may know more fields than umbra does: a warning.
    Foreign,
    /// Ours: an error.
    Umbra,
}

impl<'n> Fields<'n> {
    pub(super) fn new(path: String, at: &'n Location, entries: &'n [(Key, Node)]) -> Self {
        Self { path, at, entries, asked: Vec::new() }
    }

    pub(super) fn at(&self) -> &'n Location {
        self.at
    }

    pub(super) fn path(&self) -> &str {
        &self.path
    }

    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) }
    }

    /// The value of a field; None when it is absent or null, which protobuf's JSON takes for absent. Istio's
    /// `mirror_percent` spelling of `mirrorPercent` counts as the same field.
    pub(super) fn get(&mut self, name: &'static str) -> Option<Field<'n>> {
        self.asked.push(name);
        let find = |name: &str| self.entries.iter().find(|(key, _)| key.name == name);
        let (key, node) = find(name).or_else(|| find(&snake_case(name)))?;
        let field = Field { path: self.path_of(&key.name), node };
        (!field.is_null()).then_some(field)
    }

    pub(super) fn required(&mut self, faults: &mut Faults<'_>, name: &'static str) -> Option<Field<'n>> {
        let field = self.get(name);
        if field.is_none() {
            faults.add(Code::Missing, self.at, &self.path_of(name), "is required");
        }
        field
    }

    /// Where the name of a field stands, or the map where it does not.
    pub(super) fn at_key(&self, name: &str) -> &'n Location {
        let snake = snake_case(name);
        let written = self.entries.iter().find(|(key, _)| key.name == name || key.name == snake);
        written.map_or(self.at, |(key, _)| &key.at)
    }

    /// Leaves fields unread on purpose.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let snake = snake_case(name);
        let named = |key: &Key| key.name == name || key.name == snake;
        self.entries.iter().any(|(key, node)| named(key) && !matches!(node.value, Value::Null))
    }

    /// Reports every key that has no effect: nobody asked for it, or it is not honoured.
    pub(super) fn finish(self, faults: &mut Faults<'_>, names: Names) {
        let listed = faults.honoured.below(&self.path);
        let mut guesses = MAX_GUESSES;
        for (key, node) in self.entries {
            if matches!(node.value, Value::Null) && matches!(names, Names::Foreign) {
                continue;
            }
            match self.asked.iter().find(|name| spells(name, &key.name, names)) {
                Some(name) => self.known(faults, key, name, listed),
                None => self.strange(faults, key, names, listed, &mut guesses),
            }
        }
    }

    fn known(&self, faults: &mut Faults<'_>, key: &Key, name: &str, listed: &Meanings) {
        if key.name != name && self.entries.iter().any(|(key, _)| key.name == name) {
            let what = format!("another spelling of `{name}`, which is written too");
            let path = self.path_of(&key.name);
            faults.add(Code::Conflict, &key.at, &path, what).help("keep one of them");
        } else if let Some(meaning) = listed.get(name).filter(|meaning| !meaning.is_empty()) {
            faults.unhonoured(&key.at, &self.path_of(&key.name), meaning);
        }
    }

    fn strange(
        &self,
        faults: &mut Faults<'_>,
        key: &Key,
        names: Names,
        listed: &Meanings,
        guesses: &mut usize,
    ) {
        let (written, path) = (key.name.as_str(), self.path_of(&key.name));
        let unread = listed.iter().find(|(name, _)| spells(name, written, names));
        if let Some((_, meaning)) = unread.filter(|(_, meaning)| !meaning.is_empty()) {
            faults.unhonoured(&key.at, &path, meaning);
            return;
        }
        let fault = match names {
            Names::Umbra => faults.add(Code::UnknownField, &key.at, &path, "no such field"),
            Names::Foreign => {
                faults.add(Code::NotHonoured, &key.at, &path, "not a field known here: no effect")
            }
        };
        // A long key is no slip of a name, and costs its length to compare.
        if *guesses == 0 || written.len() > 64 {
            return;
        }
        *guesses -= 1;
        let known = self.asked.iter().copied().chain(listed.keys().map(String::as_str));
        let near = known.map(|name| (strsim::damerau_levenshtein(name, written), name)).min();
        if let Some((_, name)) = near.filter(|(distance, _)| *distance <= 1 + written.len() / 5) {
            fault.help(format!("did you mean `{name}`?"));
        } else if matches!(names, Names::Umbra) {
            let (mut known, mut told) = (self.asked.clone(), HashSet::new());
            known.retain(|name| told.insert(*name));
            fault.help(format!("fields known here: {}", known.join(", ")));
        }
    }
}

/// True where `written` is the field `name`, which for others' kinds may be in protobuf's own spelling.
fn spells(name: &str, written: &str, names: Names) -> bool {
    name == written || matches!(names, Names::Foreign) && written.contains('_') && snake_case(name) == written
}

/// `mirrorPercent` → `mirror_percent`: the name in the protobuf definition, which its JSON form accepts too.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 2);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
