//! What the agent makes of each field, kind by kind: the one list that `check`'s warnings come from. A field that
//! begins to be honoured loses its meaning here, and nothing else has to change.

mod gateway;
mod istio;
mod shadow_policy;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap},
    sync::LazyLock,
};

/// Fields by their paths from the document's root, without indices and keys: `spec.http.match.headers.exact`. Braces
/// stand for each of their parts. The text is empty for what is honoured; else it says what being unhonoured means,
/// for the field and everything below it.
type Rows = &'static [(&'static str, &'static str)];

/// The text of a field that is honoured.
const HONOURED: &str = "";

const KINDS: &[(&str, Rows)] = &[
    ("VirtualService", istio::VIRTUAL_SERVICE),
    ("DestinationRule", istio::DESTINATION_RULE),
    ("ServiceEntry", istio::SERVICE_ENTRY),
    ("WorkloadEntry", istio::WORKLOAD_ENTRY),
    ("HTTPRoute", gateway::HTTP_ROUTE),
    ("GRPCRoute", gateway::GRPC_ROUTE),
    ("ReferenceGrant", gateway::REFERENCE_GRANT),
    ("ShadowPolicy", shadow_policy::SHADOW_POLICY),
];

/// The list of one kind.
#[derive(Debug, Default)]
pub(super) struct Honoured {
    meanings: HashMap<String, &'static str>,
    /// The names below each path.
    below: HashMap<String, BTreeSet<String>>,
}

static LISTS: LazyLock<HashMap<&'static str, Honoured>> = LazyLock::new(|| {
    let list = |&(kind, rows): &(&'static str, Rows)| {
        let mut honoured = Honoured::default();
        for &(path, text) in rows {
            expand(path).into_iter().for_each(|path| honoured.insert(path, text));
        }
        (kind, honoured)
    };
    KINDS.iter().map(list).collect()
});
static NOTHING: LazyLock<Honoured> = LazyLock::new(Honoured::default);

impl Honoured {
    /// The list of `kind`; an empty one where every field that is read is honoured.
    pub(super) fn of(kind: &str) -> &'static Self {
        LISTS.get(kind).unwrap_or_else(|| LazyLock::force(&NOTHING))
    }

    /// What it means that the field at `path`, which may have indices and keys, is not honoured.
    pub(super) fn unhonoured(&self, path: &str) -> Option<&'static str> {
        if self.meanings.is_empty() {
            return None;
        }
        self.meanings.get(&plain(path)).copied().filter(|meaning| !meaning.is_empty())
    }

    /// The names of fields directly below `path` that are listed.
    pub(super) fn below(&self, path: &str) -> impl Iterator<Item = &str> {
        self.below.get(&plain(path)).into_iter().flatten().map(String::as_str)
    }

    fn insert(&mut self, path: String, text: &'static str) {
        let mut rest = path.as_str();
        while let Some((parent, name)) = rest.rsplit_once('.') {
            self.below.entry(parent.to_owned()).or_default().insert(name.to_owned());
            rest = parent;
        }
        self.meanings.insert(path, text);
    }
}

/// A path without what is in brackets, in camel case: `spec.http[0].query_params[x]` → `spec.http.queryParams`.
fn plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let (mut within, mut upper) = (false, false);
    for letter in path.chars() {
        match letter {
            '[' => within = true,
            ']' => within = false,
            _ if within => {}
            '_' => upper = true,
            _ if upper => {
                plain.push(letter.to_ascii_uppercase());
                upper = false;
            }
            _ => plain.push(letter),
        }
    }
    plain
}

/// `a.{b,c}.d` → `a.b.d`, `a.c.d`; braces do not nest.
fn expand(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else { return vec![path.to_owned()] };
    let (parts, after) = rest.split_once('}').unwrap_or((rest, ""));
    parts
        .split(',')
        .flat_map(|part| expand(after).into_iter().map(move |end| format!("{before}{part}{end}")))
        .collect()
}
