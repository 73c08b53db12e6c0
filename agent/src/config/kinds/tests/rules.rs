use crate::config::{
    Code,
    testing::{clean, each_has, faults, object},
};

/// A VirtualService with one rule: a route, then `rest` from line 8 on, at column 5.
fn rule(rest: &str) -> String {
    format!("hosts: [a]\nhttp:\n- route: [{{destination: {{host: a}}}}]\n{}", indent(rest))
}

fn indent(rest: &str) -> String {
    rest.lines().map(|line| format!("  {line}\n")).collect()
}

fn rule_has(cases: &[(&str, &str)]) {
    for (rest, expected) in cases {
        each_has("VirtualService", &[(&rule(rest), expected)]);
    }
}

#[test]
fn percentages_lie_within_0_and_100() {
    rule_has(&[
        ("mirror: {host: b}\nmirrorPercentage: {value: 0}", ""),
        ("mirror: {host: b}\nmirrorPercentage: {value: 100}", ""),
        ("mirror: {host: b}\nmirrorPercentage: {value: 0.0001}", ""),
        ("mirror: {host: b}\nmirrorPercentage: {}", ""),
        (
            "mirror: {host: b}\nmirrorPercentage: {value: 130}",
            "UMB0106 9:31 spec.http[0].mirrorPercentage.value: 130 is not within 0..=100",
        ),
        (
            "mirror: {host: b}\nmirrorPercentage: {value: 100.0001}",
            "UMB0106 9:31 spec.http[0].mirrorPercentage.value: 100.0001 is not within 0..=100",
        ),
        (
            "mirror: {host: b}\nmirrorPercentage: {value: .nan}",
            "UMB0106 9:31 spec.http[0].mirrorPercentage.value: NaN is not within 0..=100",
        ),
        (
            "mirror: {host: b}\nmirrorPercentage: {value: -.inf}",
            "UMB0106 9:31 spec.http[0].mirrorPercentage.value: -inf is not within 0..=100",
        ),
        (
            "mirror: {host: b}\nmirrorPercentage: {value: '50'}",
            "UMB0103 9:31 spec.http[0].mirrorPercentage.value: the text `50` where a number is wanted \
             (write it plainly: \
             no quotes, no leading zeros)",
        ),
        (
            "mirror: {host: b}\nmirrorPercentage: 50",
            "UMB0103 9:23 spec.http[0].mirrorPercentage: 50 where a map is wanted (write `{value: …}`)",
        ),
        (
            "mirrors: [{destination: {host: b}, percentage: {value: 101}}]",
            "UMB0106 8:60 spec.http[0].mirrors[0].percentage.value: 101 is not within 0..=100",
        ),
    ]);
}

#[test]
fn mirror_percent_is_deprecated_in_both_spellings() {
    let warning = |name: &str| {
        format!(
            "UMB0202 9:{} spec.http[0].{name}: deprecated in Istio's API (write mirrorPercentage: \
             {{value: …}})",
            7 + name.len()
        )
    };
    for name in ["mirrorPercent", "mirror_percent"] {
        rule_has(&[(&format!("mirror: {{host: b}}\n{name}: 30"), &warning(name))]);
        let too_much = format!(
            "{}\nUMB0106 9:{} spec.http[0].{name}: 101 is not within 0..=100",
            warning(name),
            7 + name.len()
        );
        rule_has(&[(&format!("mirror: {{host: b}}\n{name}: 101"), &too_much)]);
    }
    let both = faults(&object(
        "VirtualService",
        &rule(
            "mirror: {host: b}\nmirrorPercent: 30\nmirror_percent: \
         40",
        ),
    ));
    let expected = "UMB0108 10:5 spec.http[0].mirror_percent: another spelling of `mirrorPercent`, \
     which is written too \
                    (keep one of them)";
    assert_eq!(both[1..], [expected]);
}

#[test]
fn fields_that_exclude_each_other_are_refused() {
    let conflict = |one: &str, other: &str| {
        format!("UMB0108 7:5 spec.http[0]: `{one}` and `{other}` exclude each other")
    };
    rule_has(&[
        ("mirror: {host: b}\nmirrors: [{destination: {host: c}}]", &conflict("mirror", "mirrors")),
        ("redirect: {uri: /x}", &conflict("redirect", "route")),
        ("directResponse: {status: 204}", &conflict("directResponse", "route")),
    ]);
    each_has(
        "VirtualService",
        &[(
            "hosts: [a]\nhttp:\n- redirect: {uri: /x}\n  directResponse: {status: 204}",
            &conflict("redirect", "directResponse"),
        )],
    );
}

#[test]
fn a_rule_says_where_its_requests_go() {
    let hint =
        "(a rule that only mirrors still says where its requests go: `route: [{destination: {host: …}}]`)";
    each_has(
        "VirtualService",
        &[
            (
                "hosts: [a]\nhttp:\n- mirror: {host: b}",
                &format!(
                    "UMB0104 7:5 spec.http[0]: a rule needs `route`, `redirect` or `directResponse` {hint}"
                ),
            ),
            ("hosts: [a]\nhttp:\n- redirect: {uri: /x}", ""),
            ("hosts: [a]\nhttp:\n- directResponse: {status: 204}", ""),
            ("hosts: [a]\nhttp:\n- route: []", "UMB0104 7:12 spec.http[0].route: names no destination"),
            (
                "hosts: [a]\nhttp:\n- route: [{}]",
                "UMB0104 7:13 spec.http[0].route[0].destination: is required",
            ),
            ("hosts: [a]\nhttp:\n- delegate: {name: x}", ""),
            ("hosts: [a]\nhttp: []", "UMB0104 6:9 spec.http: has no rule"),
            (
                "hosts: [a]\nhttp: {a: b}",
                "UMB0103 6:9 spec.http: a map where a list is wanted (start each item with `- `)",
            ),
        ],
    );
}

#[test]
fn destinations_name_a_host_and_a_port_that_exists() {
    rule_has(&[
        ("mirror: {host: b, subset: v2, port: {number: 65535}}", ""),
        ("mirror: {host: 10.0.0.1}", ""),
        ("mirror: {subset: v2}", "UMB0104 8:13 spec.http[0].mirror.host: is required"),
        ("mirror: b", "UMB0103 8:13 spec.http[0].mirror: the text `b` where a map is wanted"),
        ("mirrors: [{}]", "UMB0104 8:15 spec.http[0].mirrors[0].destination: is required"),
        (
            "mirror: {host: 'b:80'}",
            "UMB0103 8:20 spec.http[0].mirror.host: `b:80` is not a host name (write the port apart: \
             `port: {number: …}`)",
        ),
        (
            "mirror: {host: 'http://b'}",
            "UMB0103 8:20 spec.http[0].mirror.host: `http://b` is not a host name (write the host \
             alone: no scheme, no path)",
        ),
        ("mirror: {host: '*'}", "UMB0103 8:20 spec.http[0].mirror.host: `*` names no host"),
        (
            "mirror: {host: b, port: {number: 0}}",
            "UMB0106 8:38 spec.http[0].mirror.port.number: 0 is not within 1..=65535",
        ),
        (
            "mirror: {host: b, port: {number: 65536}}",
            "UMB0106 8:38 spec.http[0].mirror.port.number: 65536 is not within 1..=65535",
        ),
        (
            "mirror: {host: b, port: {number: 80.5}}",
            "UMB0103 8:38 spec.http[0].mirror.port.number: 80.5 is not a whole number",
        ),
        ("mirror: {host: b, port: 80}", "UMB0103 8:29 spec.http[0].mirror.port: 80 where a map is wanted"),
        (
            "mirror: {host: b, prot: {number: 80}}",
            "UMB0201 8:23 spec.http[0].mirror.prot: not a field known here: no effect (did you mean \
             `port`?)",
        ),
    ]);
}

#[test]
fn weights_share_the_requests_out() {
    let routes = |weights: [&str; 2]| {
        let route = |weight| format!("{{destination: {{host: a}}{weight}}}");
        format!("hosts: [a]\nhttp:\n- route: [{}, {}]", route(weights[0]), route(weights[1]))
    };
    each_has(
        "VirtualService",
        &[
            (&routes([", weight: 1", ", weight: 0"]), ""),
            (
                &routes(["", ""]),
                "UMB0106 7:12 spec.http[0].route: the weights sum up to 0 (without a weight a \
                 destination gets nothing once \
                 there are several)",
            ),
            (
                &routes([", weight: -1", ", weight: 5"]),
                "UMB0106 7:46 spec.http[0].route[0].weight: -1 is not within 0..=2147483647",
            ),
        ],
    );
}

#[test]
fn fields_that_are_not_honoured_are_named_with_what_that_means() {
    let meant = "read but not honoured yet:";
    rule_has(&[
        ("timeout: 3s", ""),
        (
            "cors_policy: {maxAge: 24h}",
            &format!(
                "UMB0201 8:19 spec.http[0].cors_policy.maxAge: {meant} the primary's responses are left as they are, \
                 those of shadows are read and thrown away"
            ),
        ),
        ("retries: null", ""),
        (
            "mirrorPercentage: {value: 5}\nmirrors: [{destination: {host: b}}]",
            "UMB0201 7:5 spec.http[0].mirrorPercentage: no effect without `mirror` (each of `mirrors` \
             has a `percentage: \
             {value: …}` of its own; without it all is copied)",
        ),
    ]);
    for field in
        ["retries: {attempts: 3}", "fault: {delay: {fixedDelay: 1s}}", "headers: {response: {remove: [a]}}"]
    {
        let found = faults(&object("VirtualService", &rule(field)));
        assert!(found.len() == 1 && found[0].starts_with(Code::NotHonoured.as_str()), "{field}: {found:?}");
    }
    each_has(
        "VirtualService",
        &[
            (
                "hosts: [a]\ntcp: [{route: []}]",
                "UMB0201 6:3 spec.tcp: read but not honoured yet: only http rules are mirrored",
            ),
            ("http: [{redirect: {uri: /x}}]", ""),
            (
                "gateways: [mesh]\nhttp: [{redirect: {uri: /x}}]",
                "UMB0108 5:3 spec.gateways: a VirtualService without hosts is a delegate, which takes http rules \
                 only (name its `hosts`)",
            ),
        ],
    );
}

#[test]
fn hosts_are_names_and_each_is_there_once() {
    let http = "http: [{redirect: {uri: /x}}]";
    each_has(
        "VirtualService",
        &[
            (&format!("hosts: [a.b.c, '*.example.com', 10.0.0.1, '::1']\n{http}"), ""),
            (&format!("hosts: ['*']\ngateways: [gw]\n{http}"), ""),
            (
                &format!("hosts: ['*']\n{http}"),
                "UMB0103 5:11 spec.hosts: `*` is allowed for gateways only (name the hosts)",
            ),
            (
                &format!("hosts: [a, b, a]\n{http}"),
                "UMB0107 5:17 spec.hosts: the host is written twice (first at t.yaml:5:11)",
            ),
            (&format!("hosts: [a*b]\n{http}"), "UMB0103 5:11 spec.hosts[0]: `a*b` is not a host name"),
        ],
    );
}

#[test]
fn what_is_written_arrives() {
    let text = object(
        "VirtualService",
        &rule("mirrors:\n- destination: {host: b, port: {number: 81}}\n  percentage: {value: 2.5}"),
    );
    let resources = clean(&(text + "  exportTo: [.]\n  gateways: [mesh, ns/gw]\n"));
    let service = &resources.virtual_services[0];
    assert_eq!(service.export_to[0].value, ".");
    assert_eq!(service.gateways.iter().map(|g| g.value.as_str()).collect::<Vec<_>>(), ["mesh", "ns/gw"]);
    let policy = &service.http[0].mirrors[0];
    let destination = policy.destination.as_ref().unwrap();
    assert_eq!((destination.host.value.as_str(), destination.port.as_ref().unwrap().value), ("b", 81));
    assert_eq!(policy.percentage.as_ref().unwrap().value.as_ref().unwrap().value, 2.5);
    assert_eq!(service.http[0].mirrors_at.as_ref().unwrap().to_string(), "t.yaml:9:7");
}
