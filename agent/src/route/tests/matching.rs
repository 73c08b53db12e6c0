//! One match block against a request, and the order of rules.

use super::build::*;
use crate::config::{Code, istio::HttpMatch};

/// Which of the requests a rule with this single block matches.
fn matched<'a>(block: HttpMatch, requests: &[(&'a str, Request)]) -> Vec<&'a str> {
    let world = compile(&app(vec![rule("it", vec![block])]));
    assert!(!world.report.has_errors(), "{:#?}", world.report);
    requests.iter().filter(|(_, request)| world.rule_for(request) == "it").map(|(name, _)| *name).collect()
}

fn paths(block: HttpMatch, paths: &[&str]) -> Vec<String> {
    let requests: Vec<_> = paths.iter().map(|path| (*path, get(path))).collect();
    matched(block, &requests).into_iter().map(str::to_owned).collect()
}

#[test]
fn an_exact_uri_is_the_whole_path_without_query_and_fragment() {
    assert_eq!(
        paths(on_path(exact("/a")), &["/a", "/a?b=c", "/a#d", "/a/", "/A", "/ab"]),
        ["/a", "/a?b=c", "/a#d"]
    );
}

#[test]
fn a_prefix_is_a_raw_string_prefix() {
    assert_eq!(
        paths(on_path(prefix("/foo")), &["/foo", "/foobar", "/foo/x", "/fo", "/Foo"]),
        ["/foo", "/foobar", "/foo/x"]
    );
}

#[test]
fn a_regex_matches_the_whole_path_without_the_query() {
    let requests = ["/users/7", "/users/7?q", "/users/7/x", "/x/users/7"];
    assert_eq!(paths(on_path(regex("/users/[0-9]+")), &requests), ["/users/7", "/users/7?q"]);
}

#[test]
fn ignore_uri_case_reaches_exact_and_prefix_but_not_regex() {
    let any_case = |uri| on_path(uri).with(|b| b.ignore_uri_case = true);
    assert_eq!(paths(any_case(exact("/Ab")), &["/aB", "/abc"]), ["/aB"]);
    assert_eq!(paths(any_case(prefix("/Ab")), &["/aBc", "/a"]), ["/aBc"]);
    assert_eq!(paths(any_case(regex("/Ab")), &["/aB", "/Ab"]), ["/Ab"]);
}

#[test]
fn an_absent_uri_is_the_prefix_slash_so_an_asterisk_does_not_match() {
    assert_eq!(paths(block(), &["/", "/x", "*", "http://my-app", "http://my-app?x"]).len(), 4);
    assert_eq!(paths(on_path(empty()), &["/", "*"]), ["/"]);
    assert_eq!(paths(on_path(prefix("")), &["/", "*"]), ["/", "*"]);
}

#[test]
fn an_absolute_target_is_compared_by_its_path() {
    assert_eq!(paths(on_path(exact("/a")), &["http://my-app/a?b", "http://my-app/b"]), ["http://my-app/a?b"]);
}

#[test]
fn a_method_is_compared_with_its_case() {
    let with = |method: &str| get("/").with(|r| r.method = method.into());
    let requests = [("GET", with("GET")), ("get", with("get")), ("POST", with("POST"))];
    assert_eq!(matched(block().with(|b| b.method = Some(exact("GET"))), &requests), ["GET"]);
    assert_eq!(matched(block().with(|b| b.method = Some(regex("GET|POST"))), &requests), ["GET", "POST"]);
    assert_eq!(matched(block().with(|b| b.method = Some(empty())), &requests).len(), 3);
}

#[test]
fn a_scheme_is_http_unless_an_absolute_target_says_otherwise() {
    let requests = [
        ("plain", get("/")),
        ("https", get("HTTPS://my-app/")),
        ("query", get("/?u=https://x")),
        ("http", get("http://a/")),
    ];
    assert_eq!(
        matched(block().with(|b| b.scheme = Some(Box::new(exact("http")))), &requests),
        ["plain", "query", "http"]
    );
    assert_eq!(matched(block().with(|b| b.scheme = Some(Box::new(exact("https")))), &requests), ["https"]);
}

#[test]
fn an_authority_is_compared_as_sent_with_case_and_port() {
    let requests = [
        ("name", get("/").host("my-app")),
        ("port", get("/").host("my-app:80")),
        ("case", get("/").host("My-App")),
        ("absolute", get("http://my-app/").host("other")),
        ("none", get("/").with(|r| r.headers.clear())),
    ];
    assert_eq!(
        matched(block().with(|b| b.authority = Some(Box::new(exact("my-app")))), &requests),
        ["name", "absolute"]
    );
    assert_eq!(
        matched(block().with(|b| b.authority = Some(Box::new(prefix("my-app")))), &requests),
        ["name", "port", "absolute"]
    );
    assert_eq!(matched(block().with(|b| b.authority = Some(Box::new(empty()))), &requests).len(), 4);
    assert_eq!(
        matched(block().with(|b| b.headers = vec![(text("host"), exact("my-app"))]), &requests),
        ["name", "absolute"]
    );
}

#[test]
fn a_header_is_found_in_any_case_and_compared_with_case() {
    let requests = [
        ("same", get("/").header("x-end", "A")),
        ("other", get("/").header("X-End", "A")),
        ("value", get("/").header("x-end", "a")),
    ];
    assert_eq!(
        matched(block().with(|b| b.headers = vec![(text("x-end"), exact("A"))]), &requests),
        ["same", "other"]
    );
}

#[test]
fn a_header_sent_twice_is_one_value_joined_by_a_comma() {
    let requests = [
        ("twice", get("/").header("x", "a").header("y", "-").header("X", "b ")),
        ("once", get("/").header("x", "a")),
    ];
    let with = |m| block().with(|b| b.headers = vec![(text("x"), m)]);
    assert_eq!(matched(with(exact("a,b")), &requests), ["twice"]);
    assert_eq!(matched(with(exact("a")), &requests), ["once"]);
    assert_eq!(matched(with(regex("a(,b)?")), &requests), ["twice", "once"]);
}

#[test]
fn an_empty_match_of_a_header_is_presence() {
    let requests =
        [("some", get("/").header("x", "a")), ("empty", get("/").header("x", "")), ("none", get("/"))];
    assert_eq!(
        matched(block().with(|b| b.headers = vec![(text("x"), empty())]), &requests),
        ["some", "empty"]
    );
    assert_eq!(
        matched(block().with(|b| b.without_headers = vec![(text("x"), empty())]), &requests),
        ["none"]
    );
    assert_eq!(
        matched(block().with(|b| b.without_headers = vec![(text("x"), regex("*"))]), &requests),
        ["none"]
    );
}

/// Trap 9.
#[test]
fn without_headers_takes_a_missing_header_for_an_empty_one() {
    let requests =
        [("a", get("/").header("x", "a")), ("empty", get("/").header("x", "")), ("none", get("/"))];
    let without = |m| block().with(|b| b.without_headers = vec![(text("x"), m)]);
    assert_eq!(matched(without(exact("a")), &requests), ["empty", "none"]);
    assert_eq!(matched(without(exact("")), &requests), ["a"]);
    assert_eq!(matched(without(regex(".*")), &requests), [""; 0]);
}

#[test]
fn a_missing_header_matches_no_condition_on_its_value() {
    assert_eq!(
        matched(block().with(|b| b.headers = vec![(text("x"), exact(""))]), &[("none", get("/"))]),
        [""; 0]
    );
}

#[test]
fn keys_with_fields_of_their_own_are_ignored_in_headers() {
    let ignored = block().with(|b| b.headers = vec![(text("method"), exact("POST"))]);
    assert_eq!(matched(ignored, &[("get", get("/"))]), ["get"]);
}

#[test]
fn a_query_parameter_is_its_first_value_undecoded() {
    let with = |m| block().with(|b| b.query_params = vec![(text("a"), m)]);
    let requests = ["/?a=1", "/?b=2&a=1&a=2", "/?a=2&a=1", "/?a", "/?A=1", "/?a=%31", "/#?a=1", "/?a=1#x"];
    assert_eq!(paths(with(exact("1")), &requests), ["/?a=1", "/?b=2&a=1&a=2", "/?a=1#x"]);
    assert_eq!(paths(with(empty()), &["/?a", "/?a=", "/", "/?b"]), ["/?a", "/?a="]);
    assert_eq!(paths(with(exact("")), &["/?a", "/"]), ["/?a"]);
}

#[test]
fn conditions_of_a_block_must_all_hold_and_one_block_of_a_rule_suffices() {
    let both = on_path(prefix("/a")).with(|b| b.method = Some(exact("POST")));
    let world = in_force(&app(vec![rule("it", vec![both, on_path(exact("/b"))])]));
    assert_eq!(world.rule_for(&get("/a")), "-");
    assert_eq!(world.rule_for(&get("/a").with(|r| r.method = "POST".into())), "it");
    assert_eq!(world.rule_for(&get("/b")), "it");
}

#[test]
fn the_first_matching_rule_decides_and_no_match_is_no_rule() {
    let rules = vec![
        rule("first", vec![on_path(prefix("/a"))]),
        rule("second", vec![on_path(prefix("/a/b"))]),
        rule("third", vec![on_path(prefix("/c"))]),
    ];
    let world = compile(&app(rules));
    assert_eq!(world.fault().code, Code::Unreachable);
    assert_eq!(world.rule_for(&get("/a/b")), "first");
    assert_eq!(world.rule_for(&get("/c")), "third");
    assert_eq!(world.rule_for(&get("/d")), "-");
}

/// Trap 10.
#[test]
fn a_port_is_the_services_port_not_the_endpoints() {
    let on = |number| block().with(|b| b.port = Some(Box::new(written(number))));
    assert_eq!(in_force(&app(vec![rule("it", vec![on(80)])])).rule_for(&get("/")), "it");
    let world = compile(&app(vec![rule("endpoint", vec![on(8080)]), rule("rest", vec![])]));
    assert_eq!(world.rule_for(&get("/").host("my-app:8080")), "rest");
}

/// Trap 10: `sourceMatchHTTP` looks at gateways alone when they are written.
#[test]
fn a_source_matches_never_unless_gateways_put_it_out_of_force() {
    let from = |gateways: &[&str]| {
        block().with(|b| {
            b.source_namespace = Some("prod".into());
            b.source_labels = labels(&[("app", "x")]);
            b.gateways = gateways.iter().map(|g| text(g)).collect();
        })
    };
    let world = compile(&app(vec![rule("source", vec![from(&[])]), rule("rest", vec![])]));
    assert_eq!(world.rule_for(&get("/")), "rest");
    assert_eq!(world.report.diagnostics.len(), 2);
    let world = in_force(&app(vec![rule("mesh", vec![from(&["gw", "mesh"])])]));
    assert_eq!(world.rule_for(&get("/")), "mesh");
    let world = compile(&app(vec![rule("gateway", vec![from(&["gw"])]), rule("rest", vec![])]));
    assert_eq!(world.rule_for(&get("/")), "rest");
}

/// Trap 11.
#[test]
fn a_rule_without_a_match_and_a_catch_all_end_the_list_but_filtered_blocks_do_not() {
    for (catch_all, ends) in [
        (vec![], true),
        (vec![block()], true),
        (vec![on_path(prefix("/"))], true),
        (vec![on_path(regex(".*"))], true),
        (vec![on_path(prefix("/")).with(|b| b.method = Some(empty()))], false),
        (vec![block().with(|b| b.query_params = vec![(text("q"), empty())])], false),
        (vec![block().with(|b| b.port = Some(Box::new(written(81))))], false),
        (vec![block().with(|b| b.source_namespace = Some("x".into()))], false),
    ] {
        let shown = format!("{catch_all:?}");
        let world = compile(&app(vec![rule("first", catch_all), rule("second", vec![])]));
        let told = world.report.diagnostics.iter().any(|d| d.message.contains("http[0] matches everything"));
        assert_eq!(told, ends, "{shown}");
    }
}
