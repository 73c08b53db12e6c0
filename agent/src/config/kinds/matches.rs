//! `http[].match[]` of a VirtualService.

use crate::config::{
    Code, Labels, Located,
    field::{Faults, Field, exactly},
    fields::{Fields, Names::Foreign},
    istio::{HttpMatch, StringMatch},
};

/// Istio's limit of a regular expression, in bytes (`validateStringRegexp`).
const MAX_REGEX: usize = 1024;

/// What an absent matcher, an empty one or a null means at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Uri,
    Plain,
    /// Keys and matchers: a null matcher is refused.
    Headers,
    /// Keys and matchers: a null matcher asks for presence, as `{}` does.
    Others,
}

/// Every block. What is no block stands there as one that never matches: without any, the rule would match everything.
pub(super) fn all(faults: &mut Faults<'_>, field: &Field<'_>) -> Vec<HttpMatch> {
    let before = faults.mark();
    let blocks = field.list(faults);
    if faults.has_errors_since(before) {
        return vec![never(field)];
    }
    exactly(blocks.len(), blocks.iter().map(|block| read(faults, block)))
}

fn never(field: &Field<'_>) -> HttpMatch {
    HttpMatch {
        at: field.at().clone(),
        faulty: true,
        name: None,
        uri: None,
        ignore_uri_case: false,
        scheme: None,
        method: None,
        authority: None,
        headers: Vec::new(),
        without_headers: Vec::new(),
        query_params: Vec::new(),
        port: None,
        source_labels: Labels::NONE,
        source_namespace: None,
        gateways: Vec::new(),
    }
}

fn read(faults: &mut Faults<'_>, field: &Field<'_>) -> HttpMatch {
    let before = faults.mark();
    let Some(mut block) = field.fields(faults) else { return never(field) };
    let read = HttpMatch {
        at: field.at().clone(),
        faulty: false,
        name: block.plain(faults, "name"),
        uri: single(faults, &mut block, "uri", Place::Uri),
        ignore_uri_case: block.flag(faults, "ignoreUriCase").is_some_and(|flag| flag.value),
        scheme: single(faults, &mut block, "scheme", Place::Plain).map(Box::new),
        method: single(faults, &mut block, "method", Place::Plain),
        authority: single(faults, &mut block, "authority", Place::Plain).map(Box::new),
        headers: keyed(faults, &mut block, "headers", Place::Headers),
        without_headers: keyed(faults, &mut block, "withoutHeaders", Place::Others),
        query_params: keyed(faults, &mut block, "queryParams", Place::Others),
        port: block.integer(faults, "port", 0..=u16::MAX).filter(|port| port.value != 0).map(Box::new),
        source_labels: block.labels(faults, "sourceLabels"),
        source_namespace: block.plain(faults, "sourceNamespace"),
        gateways: block.texts(faults, "gateways"),
    };
    block.finish(faults, Foreign);
    HttpMatch { faulty: faults.has_errors_since(before), ..read }
}

/// A matcher that stands in a list by itself.
pub(super) fn plain(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<StringMatch>> {
    string_match(faults, field, Place::Plain)
}

fn single(
    faults: &mut Faults<'_>,
    block: &mut Fields<'_>,
    name: &'static str,
    place: Place,
) -> Option<Located<StringMatch>> {
    block.get(name).and_then(|field| string_match(faults, &field, place))
}

fn keyed(
    faults: &mut Faults<'_>,
    block: &mut Fields<'_>,
    name: &'static str,
    place: Place,
) -> Vec<(Located<String>, Located<StringMatch>)> {
    let entries = block.get(name).map(|field| field.entries(faults)).unwrap_or_default();
    let count = entries.len();
    let condition = |(key, field): (_, Field<'_>)| Some((key, string_match(faults, &field, place)?));
    exactly(count, entries.into_iter().filter_map(condition))
}

fn string_match(faults: &mut Faults<'_>, field: &Field<'_>, place: Place) -> Option<Located<StringMatch>> {
    if field.is_null() && place == Place::Headers {
        field
            .fault(faults, Code::BadValue, "a header matcher may not be null")
            .help("`{}` asks for presence");
        return None;
    }
    if field.is_null() {
        return Some(field.located(StringMatch::Empty));
    }
    let mut fields = field.fields(faults)?;
    let mut found = Vec::new();
    for (name, make) in [
        ("exact", StringMatch::Exact as fn(String) -> StringMatch),
        ("prefix", StringMatch::Prefix),
        ("regex", StringMatch::Regex),
    ] {
        let Some(value) = fields.get(name) else { continue };
        let text = value.text(faults)?;
        match name {
            "prefix" if text.is_empty() && place != Place::Uri => {
                value
                    .fault(faults, Code::BadValue, "an empty prefix matches everything")
                    .help("write `{}` for presence");
            }
            "regex" if text.is_empty() => {
                value.fault(faults, Code::BadValue, "an empty regular expression");
            }
            "regex" if text.len() > MAX_REGEX => {
                let what = format!("{} bytes, more than Istio's {MAX_REGEX}", text.len());
                value.fault(faults, Code::BadRegex, what).help("use a prefix, or several match blocks");
            }
            _ => {}
        }
        found.push((name, value.located(make(text.value))));
    }
    fields.finish(faults, Foreign);
    if let [(one, _), (other, _), ..] = found[..] {
        field.fault(faults, Code::Conflict, format!("`{one}` and `{other}` exclude each other"));
        return None;
    }
    Some(found.pop().map_or_else(|| field.located(StringMatch::Empty), |(_, matcher)| matcher))
}
