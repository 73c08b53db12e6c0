//! What a rule changes of a request: rewrite and header operations.

use crate::config::{
    Code, Located,
    field::{Faults, Field},
    fields::{Fields, Names},
    istio::{HeaderOperations, Headers, HttpRoute, RegexRewrite, Rewrite},
};

pub(super) fn rewrite(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Option<Rewrite> {
    rule.child(faults, "rewrite", Names::Foreign, |faults, fields, at| {
        let uri = fields.word(faults, "uri");
        let authority = fields.word(faults, "authority");
        let uri_regex = fields.child(faults, "uriRegexRewrite", Names::Foreign, |faults, fields, at| {
            let pattern = fields.required(faults, "match").and_then(|field| field.text(faults));
            let rewrite = fields.required(faults, "rewrite").and_then(|field| field.text(faults));
            Some(RegexRewrite { at, pattern: pattern?, rewrite: rewrite? })
        });
        fields.exclusive(faults, &["uri", "uriRegexRewrite"]);
        if !["uri", "authority", "uriRegexRewrite"].iter().any(|name| fields.has(name)) {
            let what = "needs `uri`, `uriRegexRewrite` or `authority`";
            faults.add(Code::Missing, &at, fields.path(), what);
        }
        Some(Rewrite { at, uri, authority, uri_regex })
    })
}

pub(super) fn headers(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Headers> {
    fields.child(faults, "headers", Names::Foreign, |faults, fields, at| {
        let request = operations(faults, fields, "request", Names::Foreign);
        let response = operations(faults, fields, "response", Names::Foreign);
        Some(Headers { at, request, response })
    })
}

pub(in crate::config::kinds) fn operations(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    name: &'static str,
    names: Names,
) -> Option<HeaderOperations> {
    fields.child(faults, name, names, |faults, fields, at| {
        Some(HeaderOperations {
            at,
            set: pairs(faults, fields, "set"),
            add: pairs(faults, fields, "add"),
            remove: fields.items(faults, "remove", |faults, item| {
                let name = item.text(faults)?;
                valid(faults, item, &name.value).then_some(name)
            }),
        })
    })
}

fn pairs(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    name: &'static str,
) -> Vec<(Located<String>, Located<String>)> {
    let entries = fields.get(name).map(|field| field.entries(faults)).unwrap_or_default();
    let read = |(key, field): (Located<String>, Field<'_>)| {
        let value = field.text(faults)?;
        let lines = value.contains(['\r', '\n', '\0']);
        if lines {
            field.fault(faults, Code::BadValue, "a header's value is one line");
        }
        (valid(faults, &field, &key.value) && !lines).then_some((key, value))
    };
    entries.into_iter().filter_map(read).collect()
}

/// Header names, and `:authority`, which stands for Host.
fn valid(faults: &mut Faults<'_>, field: &Field<'_>, name: &str) -> bool {
    let valid = http::HeaderName::from_bytes(name.strip_prefix(':').unwrap_or(name).as_bytes()).is_ok();
    if !valid {
        field.fault(faults, Code::BadValue, format!("`{name}` is not the name of a header"));
    }
    valid
}

/// Istio's `validateAuthorityRewrite`: one field of a rule at most sets the host.
pub(super) fn one_authority(faults: &mut Faults<'_>, rule: &HttpRoute) {
    let rewritten = rule.rewrite.as_ref().and_then(|rewrite| rewrite.authority.as_ref()).map(|host| &host.at);
    let request = rule.headers.as_ref().and_then(|headers| headers.request.as_ref());
    let pairs = request.into_iter().flat_map(|request| request.set.iter().chain(&request.add));
    let set = pairs.filter(|(name, _)| ["host", ":authority"].contains(&name.to_ascii_lowercase().as_str()));
    let mut places = rewritten.into_iter().chain(set.map(|(name, _)| &name.at));
    let first = places.next();
    for place in places {
        let fault = faults.add(Code::Conflict, place, "", "the host is written twice in one rule");
        if let Some(first) = first {
            fault.help(format!("first at {first}"));
        }
    }
}
