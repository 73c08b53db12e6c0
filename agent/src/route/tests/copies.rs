//! What a copy differs by: header operations and rewrites, by the destination the primary was routed to.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::build::*;
use crate::{
    config::{
        Code, Located,
        istio::{CorsPolicy, Fault, FaultAbort, HeaderOperations, Headers, HttpRoute, RegexRewrite, Rewrite},
    },
    route::{Decision, Original, Rule, Unmirrored},
};

type Pair = (Located<String>, Located<String>);

fn pairs(pairs: &[(&str, &str)]) -> Vec<Pair> {
    pairs.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn set(list: &[(&str, &str)]) -> Option<Box<Headers>> {
    operations(list, &[], &[])
}

fn operations(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Option<Box<Headers>> {
    let remove = remove.iter().map(|name| text(name)).collect();
    let request = HeaderOperations { at: here(), set: pairs(set), add: pairs(add), remove };
    Some(Box::new(Headers { at: here(), request: Some(request), response: None }))
}

fn rewrite(uri: Option<&str>, authority: Option<&str>) -> Option<Box<Rewrite>> {
    let authority = authority.map(text);
    Some(Box::new(Rewrite { at: here(), uri: uri.map(text), authority, uri_regex: None }))
}

fn rule_at(world: &World, address: &str, request: &Request) -> Arc<Rule> {
    let rules = world.snapshot.inbound(address.parse().unwrap()).unwrap();
    request.read(|head| match rules.decide(head, CLIENT) {
        Decision::Rule(rule) => Arc::clone(rule),
        other => panic!("{other:?}"),
    })
}

/// The path and the headers of the copy of a request that arrived at an endpoint.
pub(super) fn copy_at(world: &World, address: &str, request: &Request) -> Vec<String> {
    let rule = rule_at(world, address, request);
    let mut headers: HeaderMap = request
        .headers
        .iter()
        .map(|(name, value)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_bytes(value).unwrap())
        })
        .collect();
    let original = Original { method: "GET", path: &request.target, client: (CLIENT, 4711).into() };
    let path = rule.mirrors[0].changes.as_ref().and_then(|c| c.apply(&mut headers, original).unwrap());
    let headers = headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
    std::iter::once(path.unwrap_or(request.target.clone())).chain(headers).collect()
}

/// At v1 of `my-app`, under a rule with this change.
fn copy(request: &Request, change: impl FnOnce(&mut HttpRoute)) -> Vec<String> {
    copy_at(&in_force(&app(vec![rule("it", vec![]).with(change)])), "10.0.0.1:8080", request)
}

fn with(name: &str) -> impl Fn(&mut HttpRoute) + '_ {
    move |r| r.route[0].headers = set(&[("x", name)])
}

#[test]
fn a_rule_without_changes_leaves_its_copies_alone() {
    let world = in_force(&app(vec![rule("it", vec![])]));
    assert!(rule_at(&world, "10.0.0.1:8080", &get("/")).mirrors[0].changes.is_none());
}

/// Trap 18, trap 19.
#[test]
fn header_operations_of_the_rule_and_of_its_destination_show_in_the_copy() {
    let copied = copy(&get("/").header("gone", "1"), |r| {
        r.headers = operations(&[("b", "rule"), ("a", "rule")], &[("b", "more")], &["gone"]);
        r.route[0].headers = set(&[("c", "%REQ(:authority)%")]);
    });
    assert_eq!(copied, ["/", "host: my-app", "a: rule", "b: rule", "b: more", "c: my-app"]);
}

/// Trap 19: the two cases differ.
#[test]
fn the_only_destination_has_the_last_word_but_one_of_several_has_not() {
    let both = |r: &mut HttpRoute| {
        r.headers = set(&[("x", "rule")]);
        with("destination")(r);
    };
    assert_eq!(copy(&get("/"), both), ["/", "host: my-app", "x: destination"]);
    let several = |r: &mut HttpRoute| {
        both(r);
        r.route[0].weight = Some(written(90));
        r.route.push(route("my-app/v3", Some(10)));
    };
    let mut resources = app(vec![rule("it", vec![]).with(several)]);
    resources.service_entries[0] =
        service("my-app", APP, &[("10.0.0.1", "v1"), ("10.0.0.2", "v2"), ("10.0.0.3", "v3")]);
    resources.destination_rules = vec![versions("my-app", APP, &["v1", "v2", "v3"])];
    let world = in_force(&resources);
    assert_eq!(copy_at(&world, "10.0.0.1:8080", &get("/")), ["/", "host: my-app", "x: rule"]);
}

#[test]
fn the_destination_whose_changes_show_is_the_one_the_captured_endpoint_belongs_to() {
    let several = |r: &mut HttpRoute| {
        r.route = vec![route("my-app/v1", Some(90)), route("my-app/v3", Some(10))];
        r.route[0].headers = set(&[("x", "one")]);
        r.route[1].headers = set(&[("x", "three")]);
    };
    let mut resources = app(vec![rule("it", vec![]).with(several)]);
    resources.service_entries[0] =
        service("my-app", APP, &[("10.0.0.1", "v1"), ("10.0.0.2", "v2"), ("10.0.0.3", "v3")]);
    resources.destination_rules = vec![versions("my-app", APP, &["v1", "v2", "v3"])];
    let world = in_force(&resources);
    assert_eq!(copy_at(&world, "10.0.0.1:8080", &get("/"))[2], "x: one");
    assert_eq!(copy_at(&world, "10.0.0.3:8080", &get("/"))[2], "x: three");
    assert_eq!(world.accounts.all().len(), 1, "both ways of a rule keep one book");
}

#[test]
fn a_request_that_arrived_where_the_rule_sends_none_is_not_mirrored() {
    let world = in_force(&app(vec![rule("it", vec![])]));
    let rule = rule_at(&world, "10.0.0.2:8080", &get("/"));
    assert_eq!((rule.mirrors.len(), rule.unmirrored), (0, Some(Unmirrored::Elsewhere)));
}

/// §1.5: `rewrite.authority` before the rule's `host` before the destination's.
#[test]
fn the_host_is_rewritten_by_the_rewrite_else_by_the_rule_else_by_the_destination() {
    let host = |change: &dyn Fn(&mut HttpRoute)| copy(&get("/"), change)[1].clone();
    let destination = |r: &mut HttpRoute| r.route[0].headers = set(&[("Host", "of-destination")]);
    let rule = |r: &mut HttpRoute| {
        destination(r);
        r.headers = operations(&[(":authority", "of-rule")], &[("host", "added")], &[]);
    };
    assert_eq!(host(&destination), "host: of-destination");
    assert_eq!(host(&rule), "host: of-rule");
    let rewritten = |r: &mut HttpRoute| {
        rule(r);
        r.rewrite = rewrite(None, Some("rewritten"));
    };
    assert_eq!(host(&rewritten), "host: rewritten");
}

#[test]
fn other_pseudo_headers_and_framing_are_left_alone() {
    let change = |r: &mut HttpRoute| {
        r.headers = operations(&[(":path", "/x"), ("Content-Length", "7")], &[], &["host", "te"]);
    };
    let world = compile(&app(vec![rule("it", vec![]).with(change)]));
    assert_eq!(world.codes(), [Code::NotHonoured, Code::NotHonoured]);
    assert!(rule_at(&world, "10.0.0.1:8080", &get("/")).mirrors[0].changes.is_none());
}

#[test]
fn a_value_that_is_no_format_string_here_is_told_and_left_out() {
    let world = compile(&app(vec![rule("it", vec![]).with(with("%START_TIME%"))]));
    assert_eq!(world.fault().code, Code::NotHonoured);
    let path = "spec.http[0].route[0].headers.request.set[x]: `%START_TIME%` is not known here";
    assert!(world.fault().message.starts_with(path), "{}", world.fault().message);
}

#[test]
fn a_rewrite_of_the_uri_replaces_what_each_match_compared() {
    let paths = |r: &mut HttpRoute| {
        r.matches = vec![
            on_path(prefix("/old/")),
            on_path(exact("/exact")),
            on_path(regex("/re.*")),
            on_path(prefix("/CASE")).with(|b| b.ignore_uri_case = true),
        ];
        r.rewrite = rewrite(Some("/new/"), None);
    };
    let world = in_force(&app(vec![rule("it", vec![]).with(paths)]));
    for (sent, copied) in [
        ("/old/a?b=/old/", "/new/a?b=/old/"),
        ("/exact?q", "/new/?q"),
        ("/re/a/b?q", "/new/?q"),
        ("/case/a", "/new//a"),
    ] {
        assert_eq!(copy_at(&world, "10.0.0.1:8080", &get(sent))[0], copied, "{sent}");
    }
    let everything = |r: &mut HttpRoute| r.rewrite = rewrite(Some("/new"), None);
    assert_eq!(copy(&get("/a"), everything)[0], "/newa");
}

#[test]
fn a_regex_rewrite_of_the_uri_substitutes_groups() {
    let by = |pattern: &str, with: &str| {
        let uri_regex = RegexRewrite { at: here(), pattern: text(pattern), rewrite: text(with) };
        Some(Box::new(Rewrite { at: here(), uri: None, authority: None, uri_regex: Some(uri_regex) }))
    };
    let copied = copy(&get("/v1/cart?x"), |r| r.rewrite = by(r"^/v(\d)/", r"/\1/"));
    assert_eq!(copied[0], "/1/cart?x");
    let faulty =
        |pattern, with| compile(&app(vec![rule("it", vec![]).with(|r| r.rewrite = by(pattern, with))]));
    assert_eq!(faulty("(", "").codes(), [Code::BadRegex]);
    assert_eq!(faulty("a", r"\1").codes(), [Code::BadValue]);
}

/// Trap 21.
#[test]
fn a_rule_that_aborts_every_request_never_mirrors_and_one_that_aborts_some_mirrors_the_rest() {
    let aborting = |share: f64| {
        let abort = FaultAbort { at: here(), percentage: percent(share), error: None };
        let fault = Some(Box::new(Fault { at: here(), delay: None, abort: Some(abort) }));
        compile(&app(vec![rule("it", vec![]).with(|r| r.fault = fault)]))
    };
    assert_eq!(aborting(100.0).codes(), [Code::MirrorsNothing, Code::NothingMirrored]);
    let some = aborting(50.0);
    assert_eq!(some.mirrors().len(), 1);
    assert_eq!(some.codes(), []);
}

/// Trap 21.
#[test]
fn a_preflight_that_the_cors_policy_answers_is_not_mirrored() {
    let cors = |ignore: bool| CorsPolicy {
        at: here(),
        allow_origins: vec![exact("https://shop")],
        allow_origin: Vec::new(),
        allow_methods: Vec::new(),
        allow_headers: Vec::new(),
        expose_headers: Vec::new(),
        max_age: None,
        allow_credentials: None,
        unmatched_preflights: match ignore {
            true => crate::config::istio::UnmatchedPreflights::Ignore,
            false => crate::config::istio::UnmatchedPreflights::Forward,
        },
    };
    let mirrored = |ignore, method: &str, origin: &str, preflight: bool| {
        let world =
            in_force(&app(vec![rule("it", vec![]).with(|r| r.cors_policy = Some(Box::new(cors(ignore))))]));
        let mut request = get("/").header("Origin", origin).with(|r| r.method = method.into());
        if preflight {
            request = request.header("Access-Control-Request-Method", "PUT");
        }
        rule_at(&world, "10.0.0.1:8080", &request).unmirrored.is_none()
    };
    assert!(!mirrored(false, "OPTIONS", "https://shop", true));
    assert!(mirrored(false, "OPTIONS", "https://other", true));
    assert!(!mirrored(true, "OPTIONS", "https://other", true));
    assert!(mirrored(false, "OPTIONS", "https://shop", false));
    assert!(mirrored(false, "GET", "https://shop", true));
}
