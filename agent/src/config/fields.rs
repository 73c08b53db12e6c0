//! A map with fixed keys, read by asking for them; those that nobody asked for are reported at the end.

use super::{
    Code, Location,
    decode::{Key, Node, Value},
    field::{Faults, Field},
};

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
    /// Istio has more fields than umbra honours: a warning. The first part of a pair is a field that is known but
    /// not honoured, the second what that means.
    Istio(&'static [(&'static str, &'static str)]),
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

    /// Leaves fields unread on purpose.
    pub(super) fn ignore(&mut self, names: &[&'static str]) {
        self.asked.extend(names);
    }

    pub(super) fn has(&self, name: &str) -> bool {
        let snake = snake_case(name);
        let named = |key: &Key| key.name == name || key.name == snake;
        self.entries.iter().any(|(key, node)| named(key) && !matches!(node.value, Value::Null))
    }

    /// Reports every key that was not asked for.
    pub(super) fn finish(self, faults: &mut Faults<'_>, names: Names) {
        for (key, node) in self.entries {
            let written = key.name.as_str();
            if self.asked.contains(&written) {
                continue;
            }
            let path = self.path_of(written);
            if let Some(name) = self.asked.iter().find(|name| snake_case(name) == written)
                && matches!(names, Names::Istio(_))
            {
                if self.entries.iter().any(|(key, _)| key.name == **name) {
                    let what = format!("another spelling of `{name}`, which is written too");
                    faults.add(Code::Conflict, &key.at, &path, what).help("keep one of them");
                }
                continue;
            }
            let fault = match names {
                Names::Umbra => faults.add(Code::UnknownField, &key.at, &path, "no such field"),
                Names::Istio(_) if matches!(node.value, Value::Null) => continue,
                Names::Istio(others) => {
                    match others.iter().find(|(name, _)| *name == written || snake_case(name) == written) {
                        Some((_, meaning)) => {
                            let what = format!("read but not honoured yet: {meaning}");
                            faults.add(Code::NotHonoured, &key.at, &path, what);
                            continue;
                        }
                        None => {
                            faults.add(Code::NotHonoured, &key.at, &path, "not a field known here: no effect")
                        }
                    }
                }
            };
            let others = if let Names::Istio(others) = names { others } else { &[] };
            let known = self.asked.iter().chain(others.iter().map(|(name, _)| name));
            // A long key is no slip of a name, and costs its length to compare.
            let known = known.filter(|_| written.len() <= 64);
            let distance = |name: &&&str| strsim::damerau_levenshtein(name, written);
            let near = known.min_by_key(distance).filter(|name| distance(name) <= 1 + written.len() / 5);
            if let Some(name) = near {
                fault.help(format!("did you mean `{name}`?"));
            } else if matches!(names, Names::Umbra) {
                fault.help(format!("fields known here: {}", self.asked.join(", ")));
            }
        }
    }
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
