use crate::config::{
    gateway::{FilterKind, MirrorShare, PathMatch},
    testing::{clean, each_has, object},
};

/// An HTTPRoute's rule with a backend, its fields from line 7 on, at column 5.
fn rule(rest: &str) -> String {
    let rest: String = rest.lines().map(|line| format!("  {line}\n")).collect();
    format!("parentRefs: [{{group: '', kind: Service, name: a}}]\nrules:\n-\n{rest}")
}

fn mirror(rest: &str) -> String {
    rule(&format!(
        "filters: [{{type: RequestMirror, requestMirror: {{backendRef: {{name: b, port: 80}}{rest}}}}}]"
    ))
}

fn rule_has(cases: &[(String, &str)]) {
    for (spec, expected) in cases {
        each_has("HTTPRoute", &[(spec, expected)]);
    }
}

#[test]
fn a_mirror_has_a_percentage_or_a_fraction_of_at_most_everything() {
    rule_has(&[
        (mirror(""), ""),
        (mirror(", percent: 0"), ""),
        (mirror(", fraction: {numerator: 1, denominator: 3}"), ""),
        (
            mirror(", percent: 101"),
            "UMB0106 8:95 spec.rules[0].filters[0].requestMirror.percent: 101 is not within 0..=100",
        ),
        (
            mirror(", percent: 1, fraction: {numerator: 1}"),
            "UMB0108 8:98 spec.rules[0].filters[0].requestMirror: `percent` and `fraction` exclude each other",
        ),
        (
            mirror(", fraction: {numerator: 101}"),
            "UMB0106 8:96 spec.rules[0].filters[0].requestMirror.fraction: 101/100 is more than everything \
             (the denominator is 100 where none is written)",
        ),
        (
            mirror(", fraction: {numerator: 0, denominator: 0}"),
            "UMB0106 8:124 spec.rules[0].filters[0].requestMirror.fraction.denominator: 0 is not within \
             1..=2147483647",
        ),
    ]);
    let route = clean(&object("HTTPRoute", &mirror(", fraction: {numerator: 5}"))).http_routes.remove(0);
    let FilterKind::RequestMirror(mirror) = &route.rules[0].filters[0].kind else { panic!("a mirror") };
    assert_eq!(
        mirror.share.as_ref().unwrap().value,
        MirrorShare::Fraction { numerator: 5, denominator: 100 }
    );
    assert_eq!((mirror.backend.kind.as_str(), mirror.backend.group.as_str()), ("Service", ""));
}

#[test]
fn filters_are_described_by_the_field_of_their_type_and_only_mirrors_repeat() {
    let two = "{type: RequestMirror, requestMirror: {backendRef: {name: b, port: 80}}}";
    let rewrite = "{type: URLRewrite, urlRewrite: {hostname: x.example}}";
    rule_has(&[
        (rule(&format!("filters: [{two}, {two}]")), ""),
        (
            rule(&format!("filters: [{rewrite}, {rewrite}]")),
            "UMB0107 8:70 spec.rules[0].filters: the filter is written twice (first at t.yaml:8:15)",
        ),
        (
            rule(&format!("filters: [{rewrite}, {{type: RequestRedirect, requestRedirect: {{port: 81}}}}]")),
            "UMB0108 8:15 spec.rules[0].filters: `URLRewrite` and `RequestRedirect` exclude each other",
        ),
        (
            rule("filters: [{type: RequestMirror}]"),
            "UMB0104 8:15 spec.rules[0].filters[0].requestMirror: is required",
        ),
        (
            rule("filters: [{type: CORS, cors: {}, urlRewrite: {}}]"),
            "UMB0108 8:15 spec.rules[0].filters[0].urlRewrite: belongs to a filter of type URLRewrite\n\
             UMB0201 8:28 spec.rules[0].filters[0].cors: read but not honoured yet: preflight requests are mirrored \
             like any other",
        ),
        (
            rule(
                "matches: [{path: {type: Exact, value: /a}}]\nfilters: [{type: URLRewrite, urlRewrite: \
                 {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]",
            ),
            "UMB0108 9:53 replacePrefixMatch needs matches of path type PathPrefix",
        ),
        (
            rule(
                "backendRefs: [{name: b, port: 80}]\nfilters: [{type: RequestRedirect, requestRedirect: {port: 81}}]",
            ),
            "UMB0108 8:5 spec.rules[0]: a RequestRedirect filter and `backendRefs` exclude each other",
        ),
        (
            rule("backendRefs: [{name: b}]"),
            "UMB0104 8:19 spec.rules[0].backendRefs[0].port: is required for a Service",
        ),
    ]);
}

#[test]
fn paths_are_normal_and_names_stand_once() {
    rule_has(&[
        (rule("matches: [{path: {type: RegularExpression, value: '.*'}}]"), ""),
        (
            rule("matches: [{path: {value: cart}}]"),
            "UMB0103 8:22 spec.rules[0].matches[0].path.value: `cart` does not start with `/`",
        ),
        (
            rule("matches: [{path: {type: Exact, value: /a/../b}}]"),
            "UMB0103 8:22 spec.rules[0].matches[0].path.value: `/a/../b` contains `/../`, which no normalised path does",
        ),
        (
            rule("matches: [{headers: [{name: X, value: a}, {name: x, value: b}]}]"),
            "UMB0107 8:54 spec.rules[0].matches[0].headers: the name is written twice (first at t.yaml:8:33)",
        ),
        (
            rule("matches: [{method: get}]"),
            "UMB0103 8:24 spec.rules[0].matches[0].method: `get` is not known here (one of: GET, HEAD, POST, PUT, \
             DELETE, CONNECT, OPTIONS, TRACE, PATCH)",
        ),
    ]);
    let route =
        clean(&object("HTTPRoute", &rule("matches: [{path: {value: /a}}, {}]"))).http_routes.remove(0);
    let [one, any] = &route.rules[0].matches[..] else { panic!("two matches") };
    assert_eq!(one.path.as_ref().unwrap().value, PathMatch::Prefix("/a".into()));
    assert!(any.path.is_none());
    assert_eq!((route.parents[0].kind.as_str(), route.parents[0].group.as_str()), ("Service", ""));
}

#[test]
fn grpc_methods_name_a_service_or_a_method() {
    let with = |method: &str| format!("rules: [{{matches: [{{method: {method}}}]}}]");
    each_has(
        "GRPCRoute",
        &[
            (&with("{service: a.B}"), ""),
            (
                &with("{}"),
                "UMB0104 5:31 spec.rules[0].matches[0].method: one or both of `service` or `method` must be specified",
            ),
            (
                "rules: [{filters: [{type: URLRewrite, urlRewrite: {}}]}]",
                "UMB0103 5:29 spec.rules[0].filters[0].type: `URLRewrite` is not known here (one of: RequestMirror, \
                 RequestHeaderModifier, ResponseHeaderModifier, ExtensionRef)",
            ),
        ],
    );
}
