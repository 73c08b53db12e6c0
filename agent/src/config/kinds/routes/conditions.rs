//! `matches[]` of HTTPRoute and GRPCRoute.

use crate::config::{
    Code, Located,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    gateway::{GrpcMatch, GrpcMethod, HttpRouteMatch, KeyMatch, PathMatch, ValueMatch},
    kinds::refuse_repeated,
};

/// Limits of the CRDs, in bytes.
const MAX_PATH: usize = 1024;
const MAX_VALUE: usize = 4096;
/// What an Exact or PathPrefix path must not contain or end with.
const NOT_IN_PATHS: &[&str] = &["//", "/./", "/../", "%2f", "%2F", "#"];
const NOT_AT_END: &[&str] = &["/..", "/."];
const METHODS: &[(&str, ())] = &[
    ("GET", ()),
    ("HEAD", ()),
    ("POST", ()),
    ("PUT", ()),
    ("DELETE", ()),
    ("CONNECT", ()),
    ("OPTIONS", ()),
    ("TRACE", ()),
    ("PATCH", ()),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum PathType {
    Exact,
    Prefix,
    Regex,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum ValueType {
    Exact,
    Regex,
}

const VALUE_TYPES: &[(&str, ValueType)] =
    &[("Exact", ValueType::Exact), ("RegularExpression", ValueType::Regex)];

pub(super) fn http_match(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<HttpRouteMatch> {
    field.map(faults, Foreign, |faults, fields, at| {
        let path = fields.get("path").and_then(|field| path(faults, &field));
        let headers = keys(faults, fields, "headers", true);
        let query_params = keys(faults, fields, "queryParams", false);
        let method = fields.get("method").and_then(|field| {
            field.one_of(faults, METHODS)?;
            field.text(faults)
        });
        Some(HttpRouteMatch { at, path, headers, query_params, method })
    })
}

fn path(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<PathMatch>> {
    let types = &[
        ("Exact", PathType::Exact),
        ("PathPrefix", PathType::Prefix),
        ("RegularExpression", PathType::Regex),
    ];
    field.map(faults, Foreign, |faults, fields, _| {
        let kind = fields.one_of(faults, "type", types).map_or(PathType::Prefix, |found| found.value);
        let value = fields.text(faults, "value").map_or_else(|| "/".to_owned(), |value| value.value);
        let wrong = if value.len() > MAX_PATH {
            Some(format!("{} bytes, more than the {MAX_PATH} allowed", value.len()))
        } else if kind == PathType::Regex {
            None
        } else if !value.starts_with('/') {
            Some(format!("`{value}` does not start with `/`"))
        } else {
            let within = NOT_IN_PATHS.iter().find(|part| value.contains(**part));
            let bad = within.or_else(|| NOT_AT_END.iter().find(|part| value.ends_with(**part)));
            bad.map(|part| format!("`{value}` contains `{part}`, which no normalised path does"))
        };
        if let Some(what) = wrong {
            faults.add(Code::BadValue, fields.at(), &fields.path_of("value"), what);
            return None;
        }
        Some(field.located(match kind {
            PathType::Exact => PathMatch::Exact(value),
            PathType::Prefix => PathMatch::Prefix(value),
            PathType::Regex => PathMatch::Regex(value),
        }))
    })
}

fn keys(faults: &mut Faults<'_>, fields: &mut Fields<'_>, name: &'static str, header: bool) -> Vec<KeyMatch> {
    let read = fields.items(faults, name, |faults, item| key(faults, item, header));
    // The CRDs' lists are maps by name; header names have no case.
    let fold = |name: &String| if header { name.to_ascii_lowercase() } else { name.clone() };
    let names = read.iter().map(|key| Located { value: fold(&key.name.value), at: key.name.at.clone() });
    let names: Vec<_> = names.collect();
    refuse_repeated(faults, &fields.path_of(name), "the name", &names);
    read
}

fn key(faults: &mut Faults<'_>, field: &Field<'_>, header: bool) -> Option<KeyMatch> {
    field.map(faults, Foreign, |faults, fields, _| {
        let kind = fields.one_of(faults, "type", VALUE_TYPES).map_or(ValueType::Exact, |found| found.value);
        let name = fields.required(faults, "name").and_then(|field| field.text(faults))?;
        if header && http::HeaderName::from_bytes(name.as_bytes()).is_err() {
            let what = format!("`{}` is not the name of a header", name.value);
            faults.add(Code::BadValue, &name.at, &fields.path_of("name"), what);
        }
        let value = fields.required(faults, "value").and_then(|field| value(faults, &field, kind))?;
        Some(KeyMatch { name, value })
    })
}

fn value(faults: &mut Faults<'_>, field: &Field<'_>, kind: ValueType) -> Option<Located<ValueMatch>> {
    let text = field.text(faults)?.value;
    if text.is_empty() || text.len() > MAX_VALUE {
        let what = format!("{} bytes are not within 1..={MAX_VALUE}", text.len());
        field.fault(faults, Code::BadValue, what);
        return None;
    }
    Some(field.located(match kind {
        ValueType::Exact => ValueMatch::Exact(text),
        ValueType::Regex => ValueMatch::Regex(text),
    }))
}

pub(super) fn grpc_match(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<GrpcMatch> {
    field.map(faults, Foreign, |faults, fields, at| {
        let method = fields.child(faults, "method", Foreign, |faults, fields, at| {
            let kind =
                fields.one_of(faults, "type", VALUE_TYPES).map_or(ValueType::Exact, |found| found.value);
            if !fields.has("service") && !fields.has("method") {
                let what = "one or both of `service` or `method` must be specified";
                faults.add(Code::Missing, &at, fields.path(), what);
            }
            let mut part = |name| fields.get(name).and_then(|field| value(faults, &field, kind));
            Some(GrpcMethod { at, service: part("service"), method: part("method") })
        });
        Some(GrpcMatch { at, method, headers: keys(faults, fields, "headers", true) })
    })
}
