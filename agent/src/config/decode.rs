//! Text to trees: each YAML document as nodes that know their place. Owns the limits that keep hostile or broken
//! text from costing more than a moment; gives no meaning to any key.

mod raw;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;

use std::{
    cell::Cell,
    collections::VecDeque,
    iter::Enumerate,
    mem,
    ops::{ControlFlow, Range},
    rc::Rc,
};

use serde_saphyr::{Error, options::NonFiniteFloatPolicy};

use super::{Code, Diagnostic, FileName, Location, Report};
use raw::{Place, Raw, RawNode};

/// Bytes of one source. A cluster of 10,000 services with 100,000 endpoints takes about 60 MiB of `kubectl get -o yaml`.
pub const MAX_BYTES: usize = 64 << 20;
/// Documents of one source, empty ones too.
const MAX_DOCUMENTS: usize = 100_000;
/// Values of one source, keys included, all documents together: what that many bytes of honest text hold. Each takes
/// some 70 bytes of memory while its document is read.
const MAX_NODES: usize = 8_000_000;
/// Values that aliases repeat, all documents together. People who write by hand use a handful.
const MAX_REPEATED: usize = 10_000;
/// Lists and maps within each other. Kubernetes' deepest kinds have less than twenty.
const MAX_DEPTH: usize = 32;
/// The next step where a source is too large.
const SPLIT: &str = "split it; a directory of files is read as one configuration";
/// Broken documents of one source that are reported before the rest is left unread.
const MAX_BROKEN: usize = 16;

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: Location,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool { value: bool, written: String },
    Number { value: f64, written: String },
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) at: Location,
}

/// The documents of a source that can be read, one after the other, so that only one of them is held. Broken ones are
/// reported and hide no other.
pub(super) struct Documents<'t> {
    file: FileName,
    chunks: Enumerate<Chunks<'t>>,
    /// A text between two `---` may hold several documents, each ended by `...`.
    parsed: VecDeque<Document<'t>>,
    /// What may still be read.
    nodes: usize,
    repeated: usize,
    broken: usize,
}

impl<'t> Documents<'t> {
    pub(super) fn of(file: &FileName, text: &'t str, report: &mut Report) -> Self {
        let mut chunks = Chunks::of(text);
        if text.len() > MAX_BYTES {
            let at = Location { file: file.clone(), line: 1, column: 1 };
            let hint = Some(SPLIT.into());
            let message = format!("the source is larger than {} MiB", MAX_BYTES >> 20);
            report.push(Diagnostic { code: Code::Syntax, at, object: None, message, hint });
            chunks.rest = "";
        }
        Self {
            file: file.clone(),
            chunks: chunks.enumerate(),
            parsed: VecDeque::new(),
            nodes: MAX_NODES,
            repeated: MAX_REPEATED,
            broken: 0,
        }
    }

    pub(super) fn next(&mut self, report: &mut Report) -> Option<Document<'t>> {
        loop {
            if let Some(document) = self.parsed.pop_front() {
                return Some(document);
            }
            let (index, chunk) = self.chunks.next()?;
            let at = Location { file: self.file.clone(), line: chunk.line, column: 1 };
            let mut refuse = |at: Location, message: String, hint: Option<String>| {
                report.push(Diagnostic { code: Code::Syntax, at, object: None, message, hint });
            };
            if index == MAX_DOCUMENTS {
                refuse(at, format!("more than {MAX_DOCUMENTS} documents in one source"), Some(SPLIT.into()));
                return None;
            }
            match chunk.parse(self.nodes, self.repeated) {
                Ok(parsed) => {
                    self.nodes = self.nodes.saturating_sub(parsed.nodes);
                    self.repeated = self.repeated.saturating_sub(parsed.repeated);
                    let document = |root| Document { file: self.file.clone(), chunk, root };
                    self.parsed.extend(parsed.roots.into_iter().map(document));
                }
                Err(error) => {
                    let (message, hint, flow) = explain(&error);
                    let place = error.location().filter(|place| place.line() > 0);
                    let at = place.map_or(at, |place| chunk.place(&self.file, Place::of(&place)));
                    self.broken += 1;
                    let last = flow.is_break() || self.broken == MAX_BROKEN;
                    let left = if last { "; the rest of this source is left unread" } else { "" };
                    refuse(at, format!("{message}{left}"), hint);
                    if last {
                        self.chunks = Chunks::of("").enumerate();
                    }
                }
            }
        }
    }
}

/// A document, not yet told where in its source it stands.
pub(super) struct Document<'t> {
    file: FileName,
    chunk: Chunk<'t>,
    root: RawNode,
}

impl Document<'_> {
    /// The text of a field of the document itself.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let Raw::Map(entries) = &self.root.value else { return None };
        entries.iter().find(|(key, _)| &*key.name == name).and_then(|(_, node)| match &node.value {
            Raw::Text(text) => Some(&**text),
            _ => None,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self.root.value, Raw::Null)
    }

    pub(super) fn into_node(self) -> Node {
        self.chunk.locate(&self.file, self.root)
    }

    /// The items of a list, or the whole document when it has none. One after the other: a cluster's worth of objects
    /// is one document, and with all their places they would take twice the room.
    pub(super) fn into_items(mut self) -> impl Iterator<Item = Node> {
        let items = match &mut self.root.value {
            Raw::Map(entries) => entries.iter_mut().find_map(|(key, node)| match &mut node.value {
                Raw::List(items) if &*key.name == "items" => Some(mem::take(items)),
                _ => None,
            }),
            _ => None,
        };
        let nodes = items.map_or_else(|| vec![mem::replace(&mut self.root, RawNode::null())], Vec::from);
        nodes.into_iter().map(move |node| self.chunk.locate(&self.file, node))
    }
}

/// Each document of `text` by itself, unread; empty ones too.
pub(super) fn split(text: &str) -> impl Iterator<Item = &str> {
    Chunks::of(text).map(|chunk| chunk.text)
}

/// A document that was accepted before, as JSON; every one there is, should a marker be hidden in it.
pub(super) fn json(document: &str) -> Vec<serde_json::Value> {
    let chunk = Chunk { text: document, line: 1 };
    let roots = chunk.parse(MAX_NODES, MAX_REPEATED).map(|parsed| parsed.roots).unwrap_or_default();
    roots.into_iter().map(|root| root.value.into()).collect()
}

/// One document, from its `---` to the next. At the start of a line `---` is always a marker, even within a block
/// or quoted scalar (YAML 1.2 §9.1.2), so that documents can be told apart before any is parsed.
#[derive(Clone, Copy)]
struct Chunk<'t> {
    text: &'t str,
    /// The line it starts at.
    line: u32,
}

struct Parsed {
    roots: Vec<RawNode>,
    nodes: usize,
    repeated: usize,
}

impl Chunk<'_> {
    fn parse(&self, nodes: usize, repeated: usize) -> Result<Parsed, Error> {
        let used = Rc::new(Cell::new((0, 0)));
        let seen = used.clone();
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! {
                max_nodes: nodes,
                max_depth: MAX_DEPTH,
                // Above what the limit of values lets happen, so that it is that one which is met.
                max_events: 4 * MAX_NODES,
            },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: repeated },
            // `method: {exact: Y}` is text, as in YAML 1.2 and in Go's reader of Kubernetes objects.
            strict_booleans: true,
            // `010` is eight to some readers and ten to others: left as text, it is refused where a number is wanted.
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
            // Comments would count as values.
            emit_comments: false,
            with_snippet: false,
        }
        .with_budget_report(move |report| seen.set((report.nodes, report.aliases)));
        let roots = serde_saphyr::from_multiple_with_options::<RawNode>(self.text, options)?;
        let (written, aliases) = used.get();
        let built: usize = roots.iter().map(|root| root.value.size()).sum();
        // What was built beyond what was written came from aliases.
        let repeated = if aliases == 0 { 0 } else { built.saturating_sub(written).max(aliases) };
        Ok(Parsed { nodes: built.max(written), repeated, roots })
    }

    fn place(&self, file: &FileName, at: Place) -> Location {
        Location { file: file.clone(), line: self.line.saturating_add(at.line) - 1, column: at.column }
    }

    fn locate(&self, file: &FileName, raw: RawNode) -> Node {
        let written = || {
            let (start, length) = raw.written;
            let range =
                Range { start: usize::try_from(start).ok()?, end: usize::try_from(start + length).ok()? };
            self.text.get(range).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => {
                Value::Bool { value, written: written().unwrap_or_else(|| value.to_string()) }
            }
            Raw::Number(value) => {
                Value::Number { value, written: written().unwrap_or_else(|| value.to_string()) }
            }
            Raw::Text(text) => Value::Text(text.into()),
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.locate(file, item)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let at = self.place(file, key.at);
                        (Key { name: key.name.into(), at }, self.locate(file, value))
                    })
                    .collect(),
            ),
        };
        Node { at: self.place(file, raw.at), value }
    }
}

struct Chunks<'t> {
    rest: &'t str,
    line: u32,
}

impl<'t> Chunks<'t> {
    fn of(text: &'t str) -> Self {
        Self { rest: text.strip_prefix('\u{feff}').unwrap_or(text), line: 1 }
    }
}

impl<'t> Iterator for Chunks<'t> {
    type Item = Chunk<'t>;

    fn next(&mut self) -> Option<Chunk<'t>> {
        if self.rest.is_empty() {
            return None;
        }
        let (mut end, mut lines, mut begun) = (0, 0, false);
        for line in self.rest.split_inclusive('\n') {
            let marker =
                line.strip_prefix("---").is_some_and(|rest| rest.trim_start() != rest || rest.is_empty());
            if marker && begun {
                break;
            }
            // Directives and comments before a marker belong to its document.
            begun |= marker || !(line.trim().is_empty() || line.starts_with(['%', '#']));
            end += line.len();
            lines += super::render::lines(line).count();
        }
        let (text, rest) = self.rest.split_at(end);
        let chunk = Chunk { text, line: self.line };
        (self.rest, self.line) = (rest, self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX)));
        Some(chunk)
    }
}

/// What a person should read, and whether the source is worth reading on.
fn explain(error: &Error) -> (String, Option<String>, ControlFlow<()>) {
    let full = error.to_string();
    // The place is reported apart, and counts from the start of the source.
    let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
    let too_much = |what: &str, hint: &str| (what.to_owned(), Some(hint.to_owned()), ControlFlow::Break(()));
    let on =
        |message: &str, hint: &str| (message.to_owned(), Some(hint.to_owned()), ControlFlow::Continue(()));
    let deep =
        || on(&format!("lists and maps more than {MAX_DEPTH} deep"), "nothing known here goes that deep");
    match error.without_snippet() {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            on(&format!("the key `{key}` is written twice in one map"), "keep one of them")
        }
        Error::Budget { breach: serde_saphyr::budget::BudgetBreach::Depth { .. }, .. } => deep(),
        Error::Budget { breach: serde_saphyr::budget::BudgetBreach::Nodes { .. }, .. } => {
            too_much(&format!("more than {MAX_NODES} values in one source"), SPLIT)
        }
        Error::Budget { breach: serde_saphyr::budget::BudgetBreach::Anchors { anchors }, .. } => too_much(
            &format!("more than {} anchors in one document", anchors - 1),
            "write out what they name",
        ),
        Error::Budget { .. } => too_much(&format!("too large to be read: {message}"), SPLIT),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            too_much(&format!("aliases repeat more than {MAX_REPEATED} values"), "write them out")
        }
        Error::AliasError { error, .. } => explain(error),
        Error::NullIntoString { .. } => on("a key without a name", "write the name before the `:`"),
        Error::Unexpected { expected: "string scalar", .. } => {
            on("a key must be plain text", "text that starts with `{` or `[` needs quotes")
        }
        _ if message.starts_with("unexpected character: `\\u{") => {
            on(&message, "no text has it: is the file damaged, or not YAML at all?")
        }
        _ if message.starts_with("unexpected character") => {
            on(&message, "text that starts with it needs quotes")
        }
        // The parser's own limit, which stands before that of the budget.
        _ if message.starts_with("recursion limit") => deep(),
        _ if message.starts_with("tabs disallowed") => on(&message, "indent with spaces"),
        _ => (message, None, ControlFlow::Continue(())),
    }
}
