//! Text to trees: each YAML document as nodes that know their place. Owns the limits that keep hostile or broken
//! text from costing more than a moment; gives no meaning to any key.

mod raw;
#[cfg(test)]
mod tests;

use std::{cell::Cell, ops::ControlFlow, rc::Rc, sync::Arc};

use serde_saphyr::{Error, Spanned, options::NonFiniteFloatPolicy};

use super::{Code, Diagnostic, Location, Report};
use raw::Raw;

/// Bytes of one source.
pub const MAX_BYTES: usize = 8 << 20;
/// Documents of one source, empty ones too.
const MAX_DOCUMENTS: usize = 4096;
/// Values of one source, all documents together.
const MAX_NODES: usize = 250_000;
/// Values that aliases repeat, all documents together. People who write by hand use a handful.
const MAX_REPEATED: usize = 10_000;
/// Lists and maps within each other. Kubernetes' deepest kinds have less than twenty.
const MAX_DEPTH: usize = 32;
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

/// Every document of `text` that can be read. Broken ones are reported and hide no other.
pub(super) fn documents(file: &Arc<str>, text: &str, report: &mut Report) -> Vec<Node> {
    let mut refuse = |at: Location, message: String, hint: Option<String>| {
        report.push(Diagnostic { code: Code::Syntax, at, object: None, message, hint });
    };
    let start = Location { file: file.clone(), line: 1, column: 1 };
    if text.len() > MAX_BYTES {
        let hint = Some("split it; a directory of files is read as one configuration".into());
        refuse(start, format!("the source is larger than {} MiB", MAX_BYTES >> 20), hint);
        return Vec::new();
    }
    let mut documents = Vec::new();
    let (mut nodes, mut repeated, mut broken) = (MAX_NODES, MAX_REPEATED, 0);
    for (index, chunk) in Chunks::of(text).enumerate() {
        let at = Location { line: chunk.line, ..start.clone() };
        if index == MAX_DOCUMENTS {
            refuse(at, format!("more than {MAX_DOCUMENTS} documents in one source"), None);
            break;
        }
        match chunk.parse(nodes, repeated) {
            Ok(parsed) => {
                nodes = nodes.saturating_sub(parsed.nodes);
                repeated = repeated.saturating_sub(parsed.repeated);
                documents.extend(parsed.roots.into_iter().map(|root| chunk.locate(file, root)));
            }
            Err(error) => {
                let (message, hint, flow) = explain(&error);
                let place = error.location().filter(|place| place.line() > 0);
                let at = place.map_or(at, |place| chunk.place(file, place));
                broken += 1;
                let last = flow.is_break() || broken == MAX_BROKEN;
                let left = if last { "; the rest of this source is left unread" } else { "" };
                refuse(at, format!("{message}{left}"), hint);
                if last {
                    break;
                }
            }
        }
    }
    documents
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
struct Chunk<'t> {
    text: &'t str,
    /// The line it starts at.
    line: u32,
}

struct Parsed {
    roots: Vec<Spanned<Raw>>,
    nodes: usize,
    repeated: usize,
}

impl Chunk<'_> {
    fn parse(&self, nodes: usize, repeated: usize) -> Result<Parsed, Error> {
        let used = Rc::new(Cell::new((0, 0)));
        let seen = used.clone();
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_nodes: nodes, max_depth: MAX_DEPTH },
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
        let roots = serde_saphyr::from_multiple_with_options::<Spanned<Raw>>(self.text, options)?;
        let (written, aliases) = used.get();
        let built: usize = roots.iter().map(|root| root.value.size()).sum();
        // What was built beyond what was written came from aliases.
        let repeated = if aliases == 0 { 0 } else { built.saturating_sub(written).max(aliases) };
        Ok(Parsed { nodes: built.max(written), repeated, roots })
    }

    fn place(&self, file: &Arc<str>, at: serde_saphyr::Location) -> Location {
        let number = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Location { file: file.clone(), line: self.line + number(at.line()) - 1, column: number(at.column()) }
    }

    fn locate(&self, file: &Arc<str>, raw: Spanned<Raw>) -> Node {
        let written = || {
            let span = raw.defined.span();
            let start = usize::try_from(span.byte_offset()?).ok()?;
            let length = usize::try_from(span.byte_len()?).ok()?;
            self.text.get(start..start + length).map(str::to_owned)
        };
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => {
                Value::Bool { value, written: written().unwrap_or_else(|| value.to_string()) }
            }
            Raw::Number(value) => {
                Value::Number { value, written: written().unwrap_or_else(|| value.to_string()) }
            }
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(|item| self.locate(file, item)).collect()),
            Raw::Map(entries) => Value::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| {
                        let at = self.place(file, key.referenced);
                        (Key { name: key.value, at }, self.locate(file, value))
                    })
                    .collect(),
            ),
        };
        Node { at: self.place(file, raw.referenced), value }
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
            lines += 1;
        }
        let (text, rest) = self.rest.split_at(end);
        let chunk = Chunk { text, line: self.line };
        (self.rest, self.line) = (rest, self.line + lines);
        Some(chunk)
    }
}

/// What a person should read, and whether the source is worth reading on.
fn explain(error: &Error) -> (String, Option<String>, ControlFlow<()>) {
    let full = error.to_string();
    // The place is reported apart, and counts from the start of the source.
    let message = full.split(" at line ").next().unwrap_or(&full).to_owned();
    let too_much = |what: &str| (what.to_owned(), None, ControlFlow::Break(()));
    let on =
        |message: &str, hint: &str| (message.to_owned(), Some(hint.to_owned()), ControlFlow::Continue(()));
    let deep = || (format!("lists and maps more than {MAX_DEPTH} deep"), None, ControlFlow::Continue(()));
    match error.without_snippet() {
        Error::DuplicateMappingKey { key, .. } => {
            let key = key.as_deref().unwrap_or("?");
            on(&format!("the key `{key}` is written twice in one map"), "keep one of them")
        }
        Error::Budget { breach: serde_saphyr::budget::BudgetBreach::Depth { .. }, .. } => deep(),
        Error::Budget { breach: serde_saphyr::budget::BudgetBreach::Nodes { .. }, .. } => {
            too_much(&format!("more than {MAX_NODES} values in one source"))
        }
        Error::Budget { .. } => too_much(&format!("too large to be read: {message}")),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            too_much(&format!("aliases repeat more than {MAX_REPEATED} values"))
        }
        Error::AliasError { error, .. } => explain(error),
        Error::NullIntoString { .. } => on("a key without a name", "write the name before the `:`"),
        Error::Unexpected { expected: "string scalar", .. } => {
            on("a key must be plain text", "text that starts with `{` or `[` needs quotes")
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
