//! Matches of routes, and which of them comes first.

use crate::{
    config::{
        Code, Located, Location,
        gateway::{GrpcMatch, HttpRouteMatch, KeyMatch, PathMatch, ValueMatch},
    },
    route::{
        conditions,
        findings::{Findings, Site},
        matcher::{Block, Field, FieldCondition, Text},
        re2,
    },
};

use super::attach::{Route, Spec};

/// Compared in this order, more before less: the kind of path (exact, prefix, regex), its length, a method, the number
/// of headers, the number of query parameters (Gateway API reference of HTTPRouteRule; where it leaves regular
/// expressions to implementations, Istio's order).
pub(super) type Specificity = (PathKind, usize, bool, usize, usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PathKind {
    Regex,
    Prefix,
    Exact,
}

/// The blocks of a rule, each with its index unless the rule has no match at all and means everything.
pub(super) fn blocks(
    route: &Route<'_>,
    rule: usize,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Vec<(Option<u32>, (Specificity, Block))> {
    let count = match route.spec {
        Spec::Http(route) => route.rules[rule].matches.len(),
        Spec::Grpc(route) => route.rules[rule].matches.len(),
    };
    if count == 0 {
        return vec![(None, ((PathKind::Prefix, 1, false, 0, 0), Block::any()))];
    }
    let mut blocks = Vec::with_capacity(count);
    for index in 0..count {
        let site = site.item("matches", index);
        let block = match route.spec {
            Spec::Http(route) => http(&route.rules[rule].matches[index], &site, findings),
            Spec::Grpc(route) => grpc(&route.rules[rule].matches[index], &site, findings),
        };
        blocks.extend(block.map(|block| (u32::try_from(index).ok(), block)));
    }
    blocks
}

fn http(
    written: &HttpRouteMatch,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Option<(Specificity, Block)> {
    let mut block = Block::any();
    let (mut kind, mut length) = (PathKind::Prefix, 1);
    if let Some(path) = &written.path {
        (kind, length, block.path) = match &path.value {
            PathMatch::Exact(text) => (PathKind::Exact, text.len(), Text::Exact(text.as_bytes().into())),
            PathMatch::Prefix(text) => {
                let elements = text.trim_end_matches('/').as_bytes();
                (PathKind::Prefix, text.len(), Text::Elements(elements.into()))
            }
            PathMatch::Regex(pattern) => {
                (PathKind::Regex, pattern.len(), regex(pattern, &path.at, &site.field("path"), findings)?)
            }
        };
    }
    if let Some(method) = &written.method {
        let text = Text::Exact(method.as_bytes().into());
        block.fields.push(FieldCondition { field: Field::Method, text, without: false });
    }
    for (key, text) in keys(&written.headers, "headers", false, site, findings)? {
        block.fields.push(FieldCondition { field: conditions::field(key), text, without: false });
    }
    for (key, text) in keys(&written.query_params, "queryParams", true, site, findings)? {
        block.query.push((key.into(), text));
    }
    let headers = block.fields.len() - usize::from(written.method.is_some());
    Some(((kind, length, written.method.is_some(), headers, block.query.len()), block))
}

/// A method of gRPC is a path: `/service/method`.
fn grpc(written: &GrpcMatch, site: &Site<'_>, findings: &mut Findings<'_>) -> Option<(Specificity, Block)> {
    let mut block = Block::any();
    let method = written.method.as_ref();
    let (service, name) = (method.and_then(|m| m.service.as_ref()), method.and_then(|m| m.method.as_ref()));
    let text = |part: Option<&Located<ValueMatch>>| match part.map(|part| &part.value) {
        Some(ValueMatch::Exact(text) | ValueMatch::Regex(text)) => text.clone(),
        None => String::new(),
    };
    let exact = |part: Option<&Located<ValueMatch>>| {
        part.is_none_or(|part| matches!(part.value, ValueMatch::Exact(_)))
    };
    let (service_text, name_text) = (text(service), text(name));
    let mut kind = PathKind::Prefix;
    if exact(service) && exact(name) && service.is_some() {
        block.path = match name {
            None => Text::Elements(format!("/{service_text}").into_bytes().into()),
            Some(_) => {
                kind = PathKind::Exact;
                Text::Exact(format!("/{service_text}/{name_text}").into_bytes().into())
            }
        };
    } else if let Some(method) = method.filter(|_| service.is_some() || name.is_some()) {
        let part = |part: Option<&Located<ValueMatch>>| match part.map(|part| &part.value) {
            Some(ValueMatch::Exact(text)) => regex::escape(text),
            Some(ValueMatch::Regex(pattern)) => format!("(?:{pattern})"),
            None => "[^/]+".to_owned(),
        };
        kind = PathKind::Regex;
        let pattern = format!("/{}/{}", part(service), part(name));
        block.path = regex(&pattern, &method.at, &site.field("method"), findings)?;
    }
    for (key, text) in keys(&written.headers, "headers", false, site, findings)? {
        block.fields.push(FieldCondition { field: conditions::field(key), text, without: false });
    }
    // A longer service counts before a longer method, which the sum of both would hide.
    const LONGEST: usize = 1 << 16;
    let length = service_text.len() * LONGEST + name_text.len();
    let headers = block.fields.len();
    Some(((kind, length, false, headers, 0), block))
}

/// Of entries with the same name the first counts. None when one cannot be understood.
fn keys<'w>(
    written: &'w [KeyMatch],
    field: &str,
    case: bool,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Option<Vec<(&'w str, Text)>> {
    let mut read = Vec::<(&str, Text)>::with_capacity(written.len());
    for (index, key) in written.iter().enumerate() {
        let name = key.name.as_str();
        let same = |known: &str| if case { known == name } else { known.eq_ignore_ascii_case(name) };
        if read.iter().any(|(known, _)| same(known)) {
            continue;
        }
        let text = match &key.value.value {
            ValueMatch::Exact(text) => Text::Exact(text.as_bytes().into()),
            ValueMatch::Regex(pattern) => regex(pattern, &key.value.at, &site.item(field, index), findings)?,
        };
        read.push((name, text));
    }
    Some(read)
}

fn regex(pattern: &str, at: &Location, site: &Site<'_>, findings: &mut Findings<'_>) -> Option<Text> {
    match re2::compile(pattern) {
        Ok(regex) => Some(Text::Regex(Box::new(regex))),
        Err(fault) => {
            let what = format!("`{pattern}`: {fault}");
            findings.add(Code::BadRegex, at, &site.field("value"), what, None);
            None
        }
    }
}
