//! What a person is told that Istio would not tell.

use super::build::*;
use crate::{
    config::{Code, Resources, Severity, istio::HttpRoute},
    record::Accounts,
    route::Snapshot,
};

fn one(change: impl FnOnce(&mut HttpRoute)) -> World {
    compile(&app(vec![rule("it", vec![]).with(change)]))
}

#[test]
fn an_unknown_mirror_host_is_an_error_at_its_place_with_the_nearest_known_one() {
    let mirror = destination("my-ap.default.svc.cluster.local");
    let at = mirror.host.at.clone();
    let world = one(|r| r.mirror = Some(mirror));
    let fault = world.fault();
    assert_eq!((fault.code, &fault.at), (Code::UnknownHost, &at));
    assert_eq!(fault.object.as_deref(), Some("VirtualService default/my-app"));
    let path =
        "spec.http[0].mirror.host: no Service or ServiceEntry has the host `my-ap.default.svc.cluster.local`";
    assert_eq!(fault.message, path);
    assert_eq!(fault.hint.as_deref(), Some("the nearest known host is `my-app.default.svc.cluster.local`"));
    assert_eq!(fault.code.severity(), Severity::Error);
}

#[test]
fn the_nearest_host_is_found_by_name_in_another_namespace_and_by_a_dotted_short_name() {
    for near in ["my-app.prod.svc.cluster.local", "my-app.default"] {
        let world = one(|r| r.mirror = Some(destination(near)));
        assert!(world.fault().hint.as_ref().is_some_and(|hint| hint.contains(APP)), "{near}");
    }
    assert_eq!(one(|r| r.mirror = Some(destination("nothing.like.it"))).fault().hint, None);
}

#[test]
fn an_unknown_mirror_subset_is_an_error_that_names_the_known_ones() {
    let world = one(|r| r.mirrors = vec![policy("my-app/v3", None)]);
    let fault = world.fault();
    assert_eq!(fault.code, Code::UnknownSubset);
    assert!(fault.message.starts_with("spec.http[0].mirrors[0].destination.subset: "), "{fault:?}");
    assert_eq!(fault.hint.as_deref(), Some("default/my-app knows v1, v2"));
}

#[test]
fn every_fault_is_told_once_though_a_rule_is_compiled_for_several_ports() {
    let bad = on_path(regex("(")).with(|b| b.headers = vec![(text("x"), regex("a**"))]);
    let two_ports = |r: &mut Resources| r.service_entries[0].ports.push(port(81, "http-two", "HTTP", 8081));
    let rules =
        vec![rule("all", vec![]), rule("late", vec![bad]).with(|r| r.mirror = Some(destination("nowhere")))];
    let mut codes = compile(&app(rules).with(two_ports)).codes();
    codes.retain(|code| code.severity() == Severity::Error);
    assert_eq!(codes, [Code::BadRegex, Code::BadRegex, Code::UnknownHost]);
}

#[test]
fn presence_by_an_asterisk_is_refused_with_the_right_spelling() {
    let world = one(|r| r.matches = vec![block().with(|b| b.headers = vec![(text("x"), regex("*"))])]);
    assert_eq!(world.fault().code, Code::BadRegex);
    assert!(world.fault().message.starts_with("spec.http[0].match[0].headers[x].regex: `*`: "));
    assert!(world.fault().hint.as_ref().is_some_and(|hint| hint.contains("`{}`")));
}

#[test]
fn a_mirror_without_endpoints_is_warned_about() {
    let mut resources = app(vec![rule("it", vec![])]);
    resources.service_entries[0].endpoints.pop();
    assert_eq!(compile(&resources).codes(), [Code::NoEndpoints]);
    resources.service_entries[0].endpoints[0].address = text("0.0.0.0");
    resources.virtual_services[0].http[0].mirror = Some(destination("my-app"));
    assert_eq!(compile(&resources).codes(), [Code::NoEndpoints]);
}

#[test]
fn a_rule_after_one_that_matches_everything_is_unreachable() {
    let late = rule("late", vec![on_path(exact("/x"))]);
    let at = late.at.clone();
    let world = compile(&app(vec![rule("all", vec![]), late]));
    assert_eq!((world.fault().code, &world.fault().at), (Code::Unreachable, &at));
}

#[test]
fn a_match_whose_requests_an_earlier_one_takes_is_told() {
    let special = on_path(prefix("/api/v2/"));
    let at = special.at.clone();
    let world = compile(&app(vec![rule("api", vec![on_path(prefix("/api"))]), rule("v2", vec![special])]));
    assert_eq!((world.fault().code, &world.fault().at), (Code::Unreachable, &at));
    let text = "spec.http[1].match[0]: no request reaches this match: http[0].match[0] takes all of them";
    assert_eq!(world.fault().message, text);
    assert!(world.fault().hint.as_ref().is_some_and(|hint| hint.starts_with("see ")));
}

#[test]
fn a_match_that_keeps_some_request_for_itself_is_not_told() {
    let of_user = |uri| on_path(uri).with(|b| b.headers = vec![(text("user"), exact("it"))]);
    let rules = vec![
        rule("user", vec![of_user(prefix("/api"))]),
        rule("special", vec![on_path(prefix("/api/v2"))]),
        rule("general", vec![on_path(prefix("/api"))]),
        rule("rest", vec![]),
    ];
    in_force(&app(rules));
}

#[test]
fn a_method_in_lower_case_and_a_path_without_a_slash_are_told() {
    let get = block().with(|b| b.method = Some(exact("get")));
    let world = compile(&app(vec![rule("it", vec![get, on_path(prefix("api")), on_path(exact("*"))])]));
    let told: Vec<_> =
        world.report.diagnostics.iter().map(|d| (d.code, d.hint.as_deref().unwrap())).collect();
    let by_letter = (Code::Unreachable, "methods are compared by letter: `GET`");
    assert_eq!(told, [by_letter, (Code::Unreachable, "paths begin with a slash: `/api`")]);
}

#[test]
fn a_rule_cut_off_on_one_port_only_is_reachable() {
    let on_80 = rule("80", vec![block().with(|b| b.port = Some(Box::new(written(80))))]);
    let two_ports = |r: &mut Resources| r.service_entries[0].ports.push(port(81, "http-two", "HTTP", 8081));
    in_force(&app(vec![on_80, rule("rest", vec![])]).with(two_ports).with(|r| {
        for http in &mut r.virtual_services[0].http {
            http.mirror.as_mut().unwrap().port = Some(written(80));
            http.route[0].destination.port = Some(written(80));
        }
    }));
}

#[test]
fn a_port_that_no_service_has_is_told() {
    let world = compile(&app(vec![
        rule("none", vec![block().with(|b| b.port = Some(Box::new(written(8080))))]),
        rule("rest", vec![]),
    ]));
    assert_eq!(world.fault().code, Code::Unreachable);
    assert!(world.fault().message.contains("match[0].port: 8080 is no HTTP port"));
}

#[test]
fn a_percentage_that_rounds_to_nothing_is_told_at_its_place() {
    let percentage = percent(0.00005);
    let at = percentage.as_ref().and_then(|p| p.value.as_ref()).map(|v| v.at.clone()).unwrap();
    let world = one(|r| r.mirror_percentage = percentage);
    let fault = &world.report.diagnostics[0];
    assert_eq!((fault.code, &fault.at), (Code::MirrorsNothing, &at));
    assert!(fault.message.starts_with("spec.http[0].mirrorPercentage.value: 0.00005 rounds"), "{fault:?}");
}

#[test]
fn a_virtual_service_for_an_unknown_host_is_warned_about_and_its_rules_are_checked_all_the_same() {
    let mut resources = app(vec![rule("it", vec![])]);
    let orphan = virtual_service(
        "orphan",
        "nowhere",
        vec![rule("x", vec![]).with(|r| r.mirror = Some(destination("no")))],
    );
    resources.virtual_services.push(orphan);
    assert_eq!(compile(&resources).codes(), [Code::UnmatchedHost, Code::UnknownHost]);
}

#[test]
fn losers_and_orphans_open_no_accounts() {
    let mut resources = app(vec![rule("it", vec![])]);
    resources.virtual_services.push(virtual_service("z-loser", APP, vec![rule("x", vec![])]));
    resources.virtual_services.push(virtual_service("orphan", "nowhere", vec![rule("x", vec![])]));
    let world = compile(&resources);
    assert_eq!(world.codes(), [Code::Shadowed, Code::UnmatchedHost]);
    assert_eq!(world.accounts.all().len(), 1);
}

#[test]
fn a_wildcard_is_no_name_to_resolve() {
    let mut resources = app(vec![rule("it", vec![])]);
    let mut external = service("external", "*.example.com", &[]);
    external.resolution = written(crate::config::istio::Resolution::Dns);
    resources.service_entries.push(external);
    assert_eq!(compile(&resources).codes(), [Code::NotHonoured]);
}

#[test]
fn nothing_mirrored_at_all_is_told_unless_something_worse_is() {
    assert_eq!(compile(&Resources::default()).codes(), [Code::NothingMirrored]);
    assert_eq!(one(|r| r.mirror = None).codes(), [Code::NothingMirrored]);
    assert_eq!(one(|r| r.mirror = Some(destination("nowhere"))).codes(), [Code::UnknownHost]);
}

#[test]
fn what_the_reader_told_is_not_told_again() {
    let mut resources = app(vec![rule("it", vec![on_path(regex("("))])]);
    let first = compile(&resources);
    let mut report = first.report.clone();
    Snapshot::compile(&resources, &Accounts::default(), &mut report);
    assert_eq!(report.diagnostics.len(), first.report.diagnostics.len());
    resources.virtual_services.clear();
    Snapshot::compile(&resources, &Accounts::default(), &mut report);
    assert_eq!(report.diagnostics.len(), first.report.diagnostics.len());
}
