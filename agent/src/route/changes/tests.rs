//! Changes as Envoy's router carries them out.

use regex::Regex;

use super::*;

fn original(path: &str) -> Original<'_> {
    Original { method: "GET", path, client: "10.0.0.9:4711".parse().unwrap() }
}

fn name(text: &str) -> HeaderName {
    HeaderName::from_bytes(text.as_bytes()).unwrap()
}

fn list(pairs: &[(&str, &str)]) -> Vec<(HeaderName, Template)> {
    pairs.iter().map(|(key, value)| (name(key), Template::new(value).unwrap())).collect()
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(key, value)| (name(key), value.parse().unwrap())).collect()
}

fn after(steps: Vec<HeaderChanges>, before: &[(&str, &str)]) -> Vec<String> {
    let mut headers = headers(before);
    let changes = Changes { headers: steps, ..Changes::default() };
    changes.apply(&mut headers, original("/a?b")).unwrap();
    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
}

/// Trap 19.
#[test]
fn removal_comes_first_then_set_then_add() {
    let step = HeaderChanges {
        remove: vec![name("gone"), name("back")],
        set: list(&[("back", "1"), ("kept", "new")]),
        add: list(&[("kept", "more")]),
    };
    let before = [("gone", "x"), ("back", "x"), ("kept", "old"), ("kept", "older")];
    assert_eq!(after(vec![step], &before), ["kept: new", "kept: more", "back: 1"]);
}

#[test]
fn values_are_worked_out_before_any_is_set() {
    let step = HeaderChanges {
        remove: vec![name("c")],
        set: list(&[("a", "%REQ(b)%"), ("b", "%REQ(a)%"), ("d", "%REQ(c)%")]),
        ..HeaderChanges::default()
    };
    assert_eq!(after(vec![step], &[("a", "1"), ("b", "2"), ("c", "3")]), ["a: 2", "b: 1"]);
}

#[test]
fn a_later_step_reads_what_an_earlier_one_left() {
    let first = HeaderChanges { set: list(&[("a", "1")]), ..HeaderChanges::default() };
    let second = HeaderChanges { set: list(&[("b", "%REQ(a)%-2")]), ..HeaderChanges::default() };
    assert_eq!(after(vec![first, second], &[]), ["a: 1", "b: 1-2"]);
}

#[test]
fn format_strings_speak_of_the_request() {
    let filled = |text: &str| {
        let headers = headers(&[("host", "shop"), ("x", "one"), ("x", "two")]);
        let value = Template::new(text).unwrap().fill(&headers, original("/a?b"));
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    for (text, value) in [
        ("100%%", Some("100%")),
        ("%REQ(X)%", Some("one")),
        ("%REQ(:path)% of %REQ(:authority)% by %REQ(:method)%", Some("/a?b of shop by GET")),
        ("%REQ(Y?X):2%", Some("on")),
        ("%REQ(y)%", None),
        ("", None),
        ("%DOWNSTREAM_REMOTE_ADDRESS%", Some("10.0.0.9:4711")),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", Some("10.0.0.9")),
    ] {
        assert_eq!(filled(text).as_deref(), value, "{text}");
    }
    assert_eq!(Template::new("100%"), Err(TemplateFault::Open));
    assert_eq!(Template::new("%START_TIME%"), Err(TemplateFault::Unknown("START_TIME".into())));
    assert_eq!(Template::new("a\nb"), Err(TemplateFault::Characters));
    assert_eq!(Template::literal("50%").unwrap().text(), "50%%");
}

#[test]
fn a_prefix_rewrite_replaces_what_the_rule_matched_and_keeps_the_query() {
    let replaced = |matched, with: &str, path| PathChange::Replace { matched, with: with.into() }.apply(path);
    assert_eq!(replaced(Matched::Prefix(4), "/new", "/old/x?y=/old"), "/new/x?y=/old");
    // Istio's well-known surprise: `/` replaced by `/new` runs into the rest.
    assert_eq!(replaced(Matched::Prefix(1), "/new", "/a"), "/newa");
    assert_eq!(replaced(Matched::Whole, "/new", "/a/b?c#d"), "/new?c#d");
    assert_eq!(replaced(Matched::Prefix(4), "", "/old?c"), "/?c");
    assert_eq!(replaced(Matched::Prefix(1), "/new", "*"), "/new");
}

#[test]
fn a_regex_rewrite_replaces_every_occurrence_but_none_in_the_query() {
    let replaced = |pattern: &str, with: &str, path| {
        let regex = Regex::new(pattern).unwrap();
        let with = PathChange::substitution(with, regex.captures_len() - 1).unwrap();
        PathChange::Regex { regex, with }.apply(path)
    };
    assert_eq!(
        replaced("/v(\\d+)/", "/version-\\1/", "/v1/a/v2/b?x=/v3/"),
        "/version-1/a/version-2/b?x=/v3/"
    );
    assert_eq!(replaced("a", "$1\\\\", "/a"), "/$1\\");
    for refused in ["\\2", "\\x", "\\"] {
        assert_eq!(PathChange::substitution(refused, 1), None, "{refused}");
    }
}
