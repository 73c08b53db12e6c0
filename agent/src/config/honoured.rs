//! What the agent makes of each field, kind by kind: the one list that `check`'s warnings come from. A field that
//! begins to be honoured loses its meaning here, and nothing else has to change.

mod gateway;
mod istio;
mod shadow_policy;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};

/// Fields by their paths from the document's root, without indices and keys: `spec.http.match.headers.exact`. Braces
/// stand for each of their parts. The text is empty for what is honoured; else it says what being unhonoured means,
/// for the field and everything below it.
type Rows = &'static [(&'static str, &'static str)];

/// The text of a field that is honoured.
const HONOURED: &str = "";

const KINDS: &[(&str, &[Rows])] = &[
    ("VirtualService", &[istio::VIRTUAL_SERVICE]),
    ("DestinationRule", &[istio::DESTINATION_RULE]),
    ("ServiceEntry", &[istio::SERVICE_ENTRY]),
    ("WorkloadEntry", &[istio::WORKLOAD_ENTRY]),
    ("HTTPRoute", &[gateway::ROUTE, gateway::HTTP_ROUTE]),
    ("GRPCRoute", &[gateway::ROUTE, gateway::GRPC_ROUTE]),
    ("ReferenceGrant", &[gateway::REFERENCE_GRANT]),
    ("ShadowPolicy", &[shadow_policy::SHADOW_POLICY]),
];

/// What is made of the fields of one map, by their names.
pub(super) type Meanings = BTreeMap<String, &'static str>;

/// The list of one kind.
#[derive(Debug, Default)]
pub(super) struct Honoured {
    /// By the path of the map.
    maps: HashMap<String, Meanings>,
}

static LISTS: LazyLock<HashMap<&'static str, Honoured>> = LazyLock::new(|| {
    let list = |&(kind, lists): &(&'static str, &[Rows])| {
        let mut honoured = Honoured::default();
        for &(path, text) in lists.iter().copied().flatten() {
            expand(path).iter().for_each(|path| honoured.insert(path, text));
        }
        (kind, honoured)
    };
    KINDS.iter().map(list).collect()
});
static EMPTY: LazyLock<Honoured> = LazyLock::new(Honoured::default);
static NOTHING: Meanings = Meanings::new();

impl Honoured {
    /// The list of `kind`; an empty one where every field that is read is honoured.
    pub(super) fn of(kind: &str) -> &'static Self {
        LISTS.get(kind).unwrap_or_else(|| LazyLock::force(&EMPTY))
    }

    /// What is made of the fields of the map at `path`, which may have indices and keys.
    pub(super) fn below(&'static self, path: &str) -> &'static Meanings {
        if self.maps.is_empty() {
            return &NOTHING;
        }
        self.maps.get(&plain(path)).unwrap_or(&NOTHING)
    }

    fn insert(&mut self, path: &str, text: &'static str) {
        let Some((parent, name)) = path.rsplit_once('.') else { return };
        self.maps.entry(parent.to_owned()).or_default().insert(name.to_owned(), text);
        // What leads to it has no meaning of its own.
        let mut rest = parent;
        while let Some((parent, name)) = rest.rsplit_once('.') {
            self.maps.entry(parent.to_owned()).or_default().entry(name.to_owned()).or_insert(HONOURED);
            rest = parent;
        }
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
