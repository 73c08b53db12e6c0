//! One compiled match block and its verdict on a request. As in Envoy, method, scheme, authority and headers are all
//! conditions on header fields; path and query parameters stand beside them.

use std::{borrow::Cow, fmt};

use super::{
    changes::Matched,
    re2::Pattern,
    source::{Source, SourceCondition},
};
use crate::message::RequestHead;

/// Every condition must hold.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) source: SourceCondition,
    pub(super) path: Text,
    pub(super) fields: Vec<FieldCondition>,
    pub(super) query: Vec<(Box<str>, Text)>,
}

/// What a value is compared with.
#[derive(Clone, Debug)]
pub(super) enum Text {
    Exact(Box<[u8]>),
    Prefix(Box<[u8]>),
    /// Without regard to ASCII case.
    ExactAnyCase(Box<[u8]>),
    PrefixAnyCase(Box<[u8]>),
    /// Whole path elements: `/foo` holds for `/foo` and `/foo/bar`, not for `/foobar`. Kept without a slash at its end.
    Elements(Box<[u8]>),
    /// Boxed: most texts are plain, and texts are kept by the hundred thousand.
    Regex(Box<Pattern>),
    /// Any value, but a value.
    Present,
}

#[derive(Debug)]
pub(super) struct FieldCondition {
    pub(super) field: Field,
    pub(super) text: Text,
    /// `withoutHeaders`: the condition must not hold.
    pub(super) without: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Field {
    Method,
    Scheme,
    Authority,
    Path,
    Header(Box<str>),
}

impl Block {
    /// For requests that are to be compared with it.
    pub(super) fn prepare(&self) {
        let fields = self.fields.iter().map(|condition| &condition.text);
        let texts = fields.chain(self.query.iter().map(|(_, text)| text)).chain([&self.path]);
        for text in texts {
            if let Text::Regex(pattern) = text {
                pattern.prepare();
            }
        }
    }

    /// A rule without any match block.
    pub(super) fn any() -> Self {
        let (source, path) = (SourceCondition::default(), Text::Prefix(Box::from(*b"/")));
        Self { source, path, fields: Vec::new(), query: Vec::new() }
    }

    /// Istio generates nothing after a block like this (`IsCatchAllRoute`). Where the client is asked for it does so for
    /// some clients only, and what follows stands for the others.
    pub(super) fn is_catch_all(&self) -> bool {
        self.takes_any_path() && self.fields.is_empty() && self.query.is_empty() && self.source.is_empty()
    }

    pub(super) fn takes_any_path(&self) -> bool {
        match &self.path {
            Text::Prefix(prefix) | Text::PrefixAnyCase(prefix) => **prefix == *b"/",
            Text::Elements(prefix) => prefix.is_empty(),
            Text::Regex(regex) => regex.as_written() == ".*",
            Text::Exact(_) | Text::ExactAnyCase(_) | Text::Present => false,
        }
    }

    /// What a rewrite of the path replaces (Envoy's route entries: by prefix, or the whole).
    pub(super) fn matched(&self) -> Matched {
        match &self.path {
            Text::Prefix(prefix) | Text::PrefixAnyCase(prefix) | Text::Elements(prefix) => {
                Matched::Prefix(prefix.len())
            }
            Text::Exact(_) | Text::ExactAnyCase(_) | Text::Regex(_) | Text::Present => Matched::Whole,
        }
    }

    pub(super) fn matches(&self, head: &RequestHead<'_>, source: Option<&Source>) -> bool {
        let (path, query) = path_and_query(head);
        self.source.holds(source)
            && self.path.holds(path.as_bytes())
            && self.fields.iter().all(|condition| condition.holds(head))
            && self.query.iter().all(|(name, text)| {
                first_parameter(query, name).is_some_and(|value| text.holds(value.as_bytes()))
            })
    }
}

/// A condition that does not hold, and what the request has in its place.
#[derive(Debug)]
pub(super) struct Miss {
    condition: String,
    found: Option<String>,
}

impl Block {
    /// The first condition that does not hold, for a person; None when all do.
    pub(super) fn miss(&self, head: &RequestHead<'_>, source: Option<&Source>) -> Option<Miss> {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (path, query) = path_and_query(head);
        if !self.source.holds(source) {
            let found = source.map(|s| {
                let labels: Vec<_> = s.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                format!("{} {}", s.namespace, labels.join(",")).trim_end().to_owned()
            });
            return Some(Miss { condition: format!("source: {}", self.source), found });
        }
        if !self.path.holds(path.as_bytes()) {
            return Some(Miss { condition: format!("uri: {}", self.path), found: Some(path.to_owned()) });
        }
        if let Some(missed) = self.fields.iter().find(|condition| !condition.holds(head)) {
            let found = missed.field.read(head).map(|value| lossy(&value));
            return Some(Miss { condition: missed.to_string(), found });
        }
        let missed = self.query.iter().find(|(name, text)| {
            !first_parameter(query, name).is_some_and(|value| text.holds(value.as_bytes()))
        });
        missed.map(|(name, text)| Miss {
            condition: format!("queryParams[{name}]: {text}"),
            found: first_parameter(query, name).map(str::to_owned),
        })
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Some(found) => write!(f, "{}, but it is `{found}`", self.condition),
            None => write!(f, "{}, but there is none", self.condition),
        }
    }
}

impl fmt::Display for FieldCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let not = if self.without { "not " } else { "" };
        match &self.field {
            Field::Method => write!(f, "method: {not}{}", self.text),
            Field::Scheme => write!(f, "scheme: {not}{}", self.text),
            Field::Authority => write!(f, "authority: {not}{}", self.text),
            Field::Path => write!(f, "headers[:path]: {not}{}", self.text),
            Field::Header(name) if self.without => write!(f, "withoutHeaders[{name}]: not {}", self.text),
            Field::Header(name) => write!(f, "headers[{name}]: {}", self.text),
        }
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, text) = match self {
            Self::Exact(text) => ("exact", text),
            Self::Prefix(text) => ("prefix", text),
            Self::ExactAnyCase(text) => ("exact (any case)", text),
            Self::PrefixAnyCase(text) => ("prefix (any case)", text),
            Self::Elements(text) => ("path prefix", text),
            Self::Regex(regex) => return write!(f, "regex `{}`", regex.as_written()),
            Self::Present => return f.write_str("present"),
        };
        write!(f, "{kind} `{}`", String::from_utf8_lossy(text))
    }
}

impl Text {
    pub(super) fn holds(&self, value: &[u8]) -> bool {
        match self {
            Self::Elements(prefix) => {
                value.strip_prefix(&**prefix).is_some_and(|rest| matches!(rest, [] | [b'/', ..]))
            }
            Self::Exact(text) => **text == *value,
            Self::Prefix(text) => value.starts_with(text),
            Self::ExactAnyCase(text) => text.eq_ignore_ascii_case(value),
            Self::PrefixAnyCase(text) => {
                value.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
            }
            Self::Regex(regex) => regex.is_match(value),
            Self::Present => true,
        }
    }
}

impl FieldCondition {
    fn holds(&self, head: &RequestHead<'_>) -> bool {
        let holds = match (self.field.read(head), &self.text) {
            (Some(value), text) => text.holds(&value),
            (None, Text::Present) => false,
            // Envoy's `treat_missing_header_as_empty`, which Istio sets for `withoutHeaders` alone.
            (None, text) => self.without && text.holds(b""),
        };
        holds != self.without
    }
}

impl Field {
    /// Several values of one header are one, joined by commas; only then is anything allocated.
    fn read<'a>(&self, head: &RequestHead<'a>) -> Option<Cow<'a, [u8]>> {
        let name = match self {
            Self::Method => return Some(Cow::Borrowed(head.method.as_bytes())),
            Self::Scheme => return Some(Cow::Borrowed(scheme(head).as_bytes())),
            Self::Authority => return head.authority().map(|a| Cow::Borrowed(a.as_bytes())),
            Self::Path => return Some(Cow::Borrowed(head.path_and_query().as_bytes())),
            Self::Header(name) => name,
        };
        let mut values =
            head.headers.iter().filter(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value.trim_ascii());
        let mut value = Cow::Borrowed(values.next()?);
        for next in values {
            let joined = value.to_mut();
            joined.push(b',');
            joined.extend_from_slice(next);
        }
        Some(value)
    }
}

/// Of an absolute target, in lower case as Envoy makes it; else what the connection speaks.
fn scheme<'a>(head: &RequestHead<'a>) -> &'a str {
    match head.target.split_once("://") {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known)).unwrap_or(scheme)
        }
        _ if head.encrypted => "https",
        _ => "http",
    }
}

/// The path that rules compare, and the query, both without the fragment.
pub(super) fn path_and_query<'a>(head: &RequestHead<'a>) -> (&'a str, &'a str) {
    let target = head.path_and_query();
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    (if path.is_empty() { "/" } else { path }, query)
}

/// As Envoy reads it: nothing is decoded, and a parameter without `=` has an empty value.
fn first_parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}
