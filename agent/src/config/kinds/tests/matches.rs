use crate::config::{
    istio::{HttpMatch, StringMatch},
    testing::{clean, each_has, object},
};

/// A VirtualService whose only rule has one match block, `block`, at 7:5.
fn matching(block: &str) -> String {
    let block = block.replace('\n', "\n    ");
    format!("hosts: [a]\nhttp:\n- match:\n  - {block}\n  route: [{{destination: {{host: a}}}}]")
}

fn block_has(cases: &[(&str, &str)]) {
    for (block, expected) in cases {
        each_has("VirtualService", &[(&matching(block), expected)]);
    }
}

fn block(block: &str) -> HttpMatch {
    clean(&object("VirtualService", &matching(block)))
        .virtual_services
        .remove(0)
        .http
        .remove(0)
        .matches
        .remove(0)
}

#[test]
fn every_condition_arrives_as_written() {
    let read = block(
        "name: n\nuri: {prefix: ''}\nignoreUriCase: true\nscheme: {exact: https}\nmethod: {regex: \
         GET|HEAD}\n\
         authority: {prefix: a.}\nheaders: {X-A: {exact: y}, x-b: {}}\nwithoutHeaders: {x-c: null, x-d: {regex: '*'}}\n\
         queryParams: {q: {exact: '1'}, r: null}\nport: 8080\nsourceLabels: {app: \
         web}\nsourceNamespace: shop\ngateways: [mesh]",
    );
    let pairs = |pairs: &[(crate::config::Located<String>, crate::config::Located<StringMatch>)]| {
        pairs.iter().map(|(key, value)| (key.value.clone(), value.value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(read.name.as_deref(), Some("n"));
    assert_eq!(read.uri.unwrap().value, StringMatch::Prefix(String::new()));
    assert!(read.ignore_uri_case);
    assert_eq!(read.scheme.unwrap().value, StringMatch::Exact("https".into()));
    assert_eq!(read.method.unwrap().value, StringMatch::Regex("GET|HEAD".into()));
    assert_eq!(read.authority.unwrap().value, StringMatch::Prefix("a.".into()));
    let exact = |text: &str| StringMatch::Exact(text.into());
    // `y` is text, not a boolean.
    assert_eq!(pairs(&read.headers), [("X-A".into(), exact("y")), ("x-b".into(), StringMatch::Empty)]);
    let star = StringMatch::Regex("*".into());
    assert_eq!(pairs(&read.without_headers), [("x-c".into(), StringMatch::Empty), ("x-d".into(), star)]);
    assert_eq!(pairs(&read.query_params), [("q".into(), exact("1")), ("r".into(), StringMatch::Empty)]);
    assert_eq!(read.port.unwrap().value, 8080);
    assert_eq!(read.source_labels.get("app"), Some("web"));
    assert_eq!(read.source_namespace.as_deref(), Some("shop"));
    assert_eq!(read.gateways[0].value, "mesh");
}

#[test]
fn an_absent_condition_is_none_and_an_empty_one_is_empty() {
    let read = block("uri: null\nmethod: {}\nauthority: {exact: null}\nport: 0");
    assert!(read.uri.is_none() && read.port.is_none() && read.headers.is_empty());
    assert_eq!(read.method.unwrap().value, StringMatch::Empty);
    assert_eq!(read.authority.unwrap().value, StringMatch::Empty);
}

#[test]
fn matchers_are_refused_as_istio_refuses_them() {
    let long = "x".repeat(1025);
    block_has(&[
        ("uri: {regex: ''}", "UMB0103 8:20 spec.http[0].match[0].uri.regex: an empty regular expression"),
        (
            &format!("uri: {{regex: {long}}}"),
            "UMB0112 8:20 spec.http[0].match[0].uri.regex: 1025 bytes, more than Istio's 1024 (use a \
             prefix, or several match \
             blocks)",
        ),
        (
            "method: {prefix: ''}",
            "UMB0103 8:24 spec.http[0].match[0].method.prefix: an empty prefix matches everything \
             (write `{}` for presence)",
        ),
        (
            "uri: {exact: /a, prefix: /b}",
            "UMB0108 8:12 spec.http[0].match[0].uri: `exact` and `prefix` exclude each other",
        ),
        (
            "headers: {x: null}",
            "UMB0103 8:20 spec.http[0].match[0].headers[x]: a header matcher may not be null (`{}` asks \
             for presence)",
        ),
        (
            "headers: {x: {exact: 5}}",
            "UMB0103 8:28 spec.http[0].match[0].headers[x].exact: 5 where text is wanted (quote it: \"5\")",
        ),
        (
            "headers: {x: {suffix: a}}",
            "UMB0201 8:21 spec.http[0].match[0].headers[x].suffix: not a field known here: no effect",
        ),
        ("uri: /a", "UMB0103 8:12 spec.http[0].match[0].uri: the text `/a` where a map is wanted"),
        ("headers: [x]", "UMB0103 8:16 spec.http[0].match[0].headers: a list where a map is wanted"),
        ("port: 70000", "UMB0106 8:13 spec.http[0].match[0].port: 70000 is not within 0..=65535"),
        (
            "ignoreUriCase: 'true'",
            "UMB0103 8:22 spec.http[0].match[0].ignoreUriCase: the text `true` where true or false is \
             wanted (write true or \
             false, without quotes)",
        ),
        (
            "statPrefix: s",
            "UMB0201 8:7 spec.http[0].match[0].statPrefix: read but not honoured yet: umbra's metrics \
             name the VirtualService \
             and the rule",
        ),
    ]);
}

#[test]
fn a_condition_stands_where_its_value_does() {
    let at = |text| block(text).uri.unwrap().at;
    assert_eq!((at("uri: {prefix: /a}").line, at("uri: {prefix: /a}").column), (8, 21));
    assert_eq!(at("uri: {}").column, 12);
}
