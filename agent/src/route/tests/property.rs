//! The compiled matcher against the plainest reading of the same words, over generated rules and requests.

use std::{cell::RefCell, collections::HashMap};

use proptest::prelude::*;
use regex::Regex;

use super::build::*;
use crate::config::{
    Located,
    istio::{HttpMatch, HttpRoute, StringMatch},
};

/// Words small enough for conditions and requests to meet often.
fn word() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "", "a", "A", "ab", "aB", "b", "a,b", "/", "/a", "/A", "/a/b", "/ab", "GET", "POST", "http", "my-app",
    ])
    .prop_map(str::to_owned)
}

fn string_match() -> impl Strategy<Value = Located<StringMatch>> {
    let regex =
        prop::sample::select(vec!["a", "/a.*", ".*", "/[ab]+(/b)?", "(?i)ab", "a|b", "GET|POST", r"[\w,]+"]);
    prop_oneof![
        word().prop_map(StringMatch::Exact),
        word().prop_filter("no empty prefix", |w| !w.is_empty()).prop_map(StringMatch::Prefix),
        regex.prop_map(|r| StringMatch::Regex(r.to_owned())),
        Just(StringMatch::Empty),
    ]
    .prop_map(written)
}

/// Mostly absent, so that blocks with few conditions are common.
fn rarely<T: Clone + std::fmt::Debug>(value: impl Strategy<Value = T>) -> impl Strategy<Value = Option<T>> {
    prop::option::weighted(0.3, value)
}

fn conditions() -> impl Strategy<Value = Vec<(Located<String>, Located<StringMatch>)>> {
    let key = prop::sample::select(vec!["x", "y"]).prop_map(text);
    rarely((key, string_match())).prop_map(|condition| condition.into_iter().collect())
}

prop_compose! {
    fn match_block()(
        uri in rarely(string_match()),
        ignore_uri_case: bool,
        scheme in rarely(string_match()),
        method in rarely(string_match()),
        authority in rarely(string_match()),
        headers in conditions(),
        without_headers in conditions(),
        query_params in conditions(),
        port in rarely(prop::sample::select(vec![80, 81])),
    ) -> HttpMatch {
        HttpMatch {
            uri, ignore_uri_case, scheme, method, authority, headers, without_headers, query_params,
            port: port.map(written),
            ..block()
        }
    }
}

fn rules() -> impl Strategy<Value = Vec<HttpRoute>> {
    let rule = prop::collection::vec(match_block(), 0..3).prop_map(|matches| rule("", matches));
    prop::collection::vec(rule, 1..4).prop_map(|rules| {
        rules.into_iter().enumerate().map(|(n, rule)| rule.with(|r| r.name = Some(format!("r{n}")))).collect()
    })
}

prop_compose! {
    fn request()(
        method in prop::sample::select(vec!["GET", "POST", "get"]),
        absolute in prop::option::weighted(0.2, prop::sample::select(vec!["http://my-app", "HTTPS://ab"])),
        path in prop::sample::select(vec!["", "/", "/a", "/A", "/a/b", "/ab", "/b"]),
        query in rarely(prop::collection::vec((prop::sample::select(vec!["x", "y", "z"]), rarely(word())), 0..3)),
        fragment in prop::option::weighted(0.1, Just("#x?x=a")),
        host in prop::option::weighted(0.8, word()),
        headers in prop::collection::vec((prop::sample::select(vec!["x", "X", "y"]), word()), 0..3),
    ) -> Request {
        let path = if absolute.is_none() && path.is_empty() { "/" } else { path };
        let query = query.map(|pairs| {
            let pairs = pairs.into_iter().map(|(k, v)| v.map_or(k.to_owned(), |v| format!("{k}={v}")));
            format!("?{}", pairs.collect::<Vec<_>>().join("&"))
        });
        let fragment = fragment.filter(|_| !path.is_empty()).unwrap_or("");
        let target = [absolute.unwrap_or(""), path, query.as_deref().unwrap_or(""), fragment].concat();
        let headers = host.iter().map(|h| ("Host", h)).chain(headers.iter().map(|(k, v)| (*k, v)));
        let headers = headers.map(|(k, v)| (k.to_owned(), v.clone().into_bytes())).collect();
        Request { method: method.into(), target, headers }
    }
}

/// The request as the rules' words speak of it.
struct Plain {
    path: String,
    query: Vec<(String, String)>,
    scheme: String,
    authority: Option<String>,
}

fn plain(request: &Request) -> Plain {
    let all = |name: &str| -> Option<String> {
        let values = request.headers.iter().filter(|(k, _)| k.to_lowercase() == name);
        let values: Vec<_> = values.map(|(_, v)| String::from_utf8(v.clone()).unwrap()).collect();
        (!values.is_empty()).then(|| values.join(","))
    };
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
        authority: if target.starts_with('/') { all("host") } else { Some(authority.to_owned()) },
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
    let header = |name: &str| {
        let mut value = None::<String>;
        for (_, v) in request.headers.iter().filter(|(k, _)| k.to_lowercase() == name) {
            let v = std::str::from_utf8(v).unwrap();
            value = Some(value.map_or(v.to_owned(), |before| format!("{before},{v}")));
        }
        value
    };
    let uri = match &block.uri {
        None => plain.path.starts_with('/'),
        Some(uri) => match &uri.value {
            StringMatch::Empty => plain.path.starts_with('/'),
            StringMatch::Regex(_) => says(uri, &plain.path),
            StringMatch::Exact(text) if block.ignore_uri_case => {
                text.to_lowercase() == plain.path.to_lowercase()
            }
            StringMatch::Prefix(text) if block.ignore_uri_case => {
                plain.path.to_lowercase().starts_with(&text.to_lowercase())
            }
            other => says(other, &plain.path),
        },
    };
    uri && block.scheme.as_ref().is_none_or(|m| says(m, &plain.scheme))
        && block.method.as_ref().is_none_or(|m| says(m, &request.method))
        && block.authority.as_ref().is_none_or(|m| plain.authority.as_ref().is_some_and(|a| says(m, a)))
        && block.headers.iter().all(|(name, m)| header(name).is_some_and(|value| says(m, &value)))
        && block.without_headers.iter().all(|(name, m)| match &m.value {
            StringMatch::Empty => header(name).is_none(),
            other => !says(other, &header(name).unwrap_or_default()),
        })
        && block.query_params.iter().all(|(name, m)| {
            plain.query.iter().find(|(key, _)| *key == name.value).is_some_and(|(_, value)| says(m, value))
        })
}

/// None when no block exists on port 80, so that the virtual service is passed over.
fn obvious(rules: &[HttpRoute], request: &Request, plain: &Plain) -> Option<String> {
    let mut any = false;
    for rule in rules {
        if rule.matches.is_empty() {
            return Some(if plain.path.starts_with('/') { rule.name.clone().unwrap() } else { "-".into() });
        }
        for block in rule.matches.iter().filter(|b| b.port.as_ref().is_none_or(|p| p.value == 80)) {
            any = true;
            if holds(block, request, plain) {
                return rule.name.clone();
            }
        }
    }
    any.then(|| "-".into())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    /// A million pairs: every set of rules meets every request.
    #[test]
    fn the_compiled_matcher_agrees_with_the_obvious_one(
        sets in prop::collection::vec(rules(), 20),
        requests in prop::collection::vec(request(), 100),
    ) {
        let requests: Vec<_> = requests.into_iter().map(|request| (plain(&request), request)).collect();
        for rules in &sets {
            let world = compile(&app(rules.clone()));
            for (plain, request) in &requests {
                let compiled = world.decide("10.0.0.1:8080", request);
                prop_assert_eq!(&compiled, &obvious(rules, request, plain), "{:?}\n{:?}", rules, request);
            }
        }
    }
}
