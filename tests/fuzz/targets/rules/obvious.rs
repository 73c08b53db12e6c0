//! The reference: what Istio's documentation says of a match, word for word, without a thought for speed.

use std::{cell::RefCell, collections::HashMap};

use regex::Regex;
use umbra::config::istio::{HttpMatch, HttpRoute, StringMatch};

use super::Request;

/// The request as the rules' words speak of it.
struct Plain {
    path: String,
    query: Vec<(String, String)>,
    scheme: String,
    authority: Option<String>,
}

/// The name of the rule for a request to port 80, `-` for none. None when no block exists on that port, so that the
/// virtual service is passed over.
pub(super) fn rule(rules: &[HttpRoute], request: &Request) -> Option<String> {
    let plain = plain(request);
    let mut any = false;
    for rule in rules {
        if rule.matches.is_empty() {
            return Some(if plain.path.starts_with('/') { rule.name.clone().unwrap() } else { "-".into() });
        }
        for block in rule.matches.iter().filter(|b| b.port.as_ref().is_none_or(|p| p.value == 80)) {
            any = true;
            if holds(block, request, &plain) {
                return rule.name.clone();
            }
        }
    }
    any.then(|| "-".into())
}

/// All lines of a header, joined.
fn header(request: &Request, name: &str) -> Option<String> {
    let lines = request.headers.iter().filter(|(known, _)| known.to_lowercase() == name);
    let values: Vec<_> = lines.map(|(_, value)| *value).collect();
    (!values.is_empty()).then(|| values.join(","))
}

fn plain(request: &Request) -> Plain {
    let target = request.target.split('#').next().unwrap();
    let url = if target.starts_with('/') { format!("http://?{target}") } else { target.to_owned() };
    let (scheme, rest) = url.split_once("://").unwrap();
    let (before, query) = match rest.strip_prefix('?') {
        Some(origin) => origin.split_once('?').unwrap_or((origin, "")),
        None => rest.split_once('?').unwrap_or((rest, "")),
    };
    let (authority, path) = match before.find('/') {
        Some(slash) => (&before[..slash], &before[slash..]),
        None => (before, "/"),
    };
    let pair = |pair: &str| match pair.find('=') {
        Some(equals) => (pair[..equals].to_owned(), pair[equals + 1..].to_owned()),
        None => (pair.to_owned(), String::new()),
    };
    Plain {
        path: path.to_owned(),
        query: query.split('&').map(pair).collect(),
        scheme: scheme.to_lowercase(),
        authority: if target.starts_with('/') { header(request, "host") } else { Some(authority.to_owned()) },
    }
}

/// Compiling takes far longer than matching, and there are few expressions.
fn whole(pattern: &str, value: &str) -> bool {
    thread_local!(static KNOWN: RefCell<HashMap<String, Regex>> = RefCell::default());
    KNOWN.with_borrow_mut(|known| {
        let new = || Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap();
        known.entry(pattern.to_owned()).or_insert_with(new).is_match(value)
    })
}

fn says(condition: &StringMatch, value: &str) -> bool {
    match condition {
        StringMatch::Exact(text) => value == text,
        StringMatch::Prefix(text) => value.starts_with(text.as_str()),
        StringMatch::Regex(text) => whole(text, value),
        StringMatch::Empty => true,
    }
}

fn holds(block: &HttpMatch, request: &Request, plain: &Plain) -> bool {
    let uri = match block.uri.as_ref().map(|uri| &uri.value) {
        None | Some(StringMatch::Empty) => plain.path.starts_with('/'),
        Some(StringMatch::Exact(text)) if block.ignore_uri_case => {
            text.to_lowercase() == plain.path.to_lowercase()
        }
        Some(StringMatch::Prefix(text)) if block.ignore_uri_case => {
            plain.path.to_lowercase().starts_with(&text.to_lowercase())
        }
        Some(other) => says(other, &plain.path),
    };
    uri && block.scheme.as_ref().is_none_or(|m| says(m, &plain.scheme))
        && block.method.as_ref().is_none_or(|m| says(m, request.method))
        && block.authority.as_ref().is_none_or(|m| plain.authority.as_ref().is_some_and(|a| says(m, a)))
        && block.headers.iter().all(|(name, m)| header(request, name).is_some_and(|value| says(m, &value)))
        && block.without_headers.iter().all(|(name, m)| match &m.value {
            StringMatch::Empty => header(request, name).is_none(),
            other => !says(other, &header(request, name).unwrap_or_default()),
        })
        && block.query_params.iter().all(|(name, m)| {
            plain.query.iter().find(|(key, _)| *key == name.value).is_some_and(|(_, value)| says(m, value))
        })
}
