//! Rules whose details are in another VirtualService.

use super::build::*;
use crate::config::{
    Code, Resources,
    istio::{Delegate, HttpMatch, HttpRoute, VirtualService},
};

/// Another owner of `my-app`'s rules, in namespace `team`.
fn delegate(http: Vec<HttpRoute>) -> VirtualService {
    virtual_service("team/parts", "", http).with(|vs| vs.hosts.clear())
}

fn delegating(name: &str, matches: Vec<HttpMatch>) -> HttpRoute {
    rule(name, matches).with(|r| {
        (r.route, r.mirror) = (Vec::new(), None);
        r.delegate =
            Some(Box::new(Delegate { at: here(), name: text("parts"), namespace: Some(text("team")) }));
    })
}

/// A rule of the delegate; names there are short in another namespace.
fn part(name: &str, matches: Vec<HttpMatch>) -> HttpRoute {
    rule(name, matches).with(|r| {
        r.route = vec![route(&format!("{APP}/v1"), None)];
        r.mirror = Some(destination(&format!("{APP}/v2")));
    })
}

fn both(root: Vec<HttpRoute>, parts: Vec<HttpRoute>) -> Resources {
    let mut resources = app(root);
    resources.virtual_services.push(delegate(parts));
    resources
}

#[test]
fn the_delegates_rules_stand_in_the_place_of_the_rule_that_delegates() {
    let world = in_force(&both(
        vec![delegating("shop", vec![on_path(prefix("/shop"))]), rule("rest", vec![])],
        vec![part("cart", vec![on_path(prefix("/shop/cart"))]), part("all", vec![])],
    ));
    for (path, rule) in [("/shop/cart/1", "shop-cart"), ("/shop/x", "shop-all"), ("/", "rest")] {
        assert_eq!(world.rule_for(&get(path)), rule, "{path}");
    }
}

#[test]
fn short_names_in_a_delegate_belong_to_its_own_namespace() {
    let world = compile(&both(
        vec![delegating("d", vec![])],
        vec![part("p", vec![]).with(|r| r.mirror = Some(destination("my-app/v2")))],
    ));
    let fault = &world.report.diagnostics[0];
    assert_eq!(fault.code, Code::UnknownHost);
    assert_eq!(fault.object.as_deref(), Some("VirtualService team/parts"));
    assert!(fault.message.contains("my-app.team.svc.cluster.local"), "{}", fault.message);
}

#[test]
fn conditions_of_both_hold() {
    let root = on_path(prefix("/a")).with(|b| b.headers = vec![(text("x"), exact("1"))]);
    let leaf = block().with(|b| {
        b.method = Some(exact("GET"));
        b.headers = vec![(text("y"), exact("2"))];
    });
    let world = in_force(&both(vec![delegating("", vec![root])], vec![part("p", vec![leaf])]));
    let decide = |request: Request| world.rule_for(&request);
    assert_eq!(decide(get("/a").header("x", "1").header("y", "2")), "p");
    for other in
        [get("/a").header("x", "1"), get("/a").header("y", "2"), get("/b").header("x", "1").header("y", "2")]
    {
        assert_eq!(decide(other), "-");
    }
}

/// Istio's `hasConflict`: the whole rule of the delegate goes.
#[test]
fn a_rule_of_the_delegate_that_no_match_of_the_root_covers_is_dropped() {
    let header = |name: &str, value| block().with(|b| b.headers = vec![(text(name), value)]);
    let any_case = |text| on_path(prefix(text)).with(|b| b.ignore_uri_case = true);
    let on_port = |number| block().with(|b| b.port = Some(Box::new(written(number))));
    let from = |namespace: Option<&str>| block().with(|b| b.source_namespace = namespace.map(str::to_owned));
    let gateways = |names: &[&str]| block().with(|b| b.gateways = names.iter().map(|n| text(n)).collect());
    for (root, leaf, covered) in [
        (on_path(prefix("/a")), on_path(prefix("/a/b")), true),
        (on_path(prefix("/a")), on_path(exact("/ab")), true),
        (on_path(prefix("/a/b")), on_path(prefix("/a")), false),
        (on_path(exact("/a")), on_path(exact("/a")), true),
        (on_path(exact("/a")), on_path(prefix("/a")), false),
        (on_path(regex("/a")), on_path(exact("/a")), false),
        (on_path(prefix("/a")), on_path(regex("/a")), false),
        (on_path(regex("/a")), block(), true),
        (on_path(prefix("/a")), any_case("/a"), false),
        (header("x", exact("1")), header("x", exact("2")), false),
        (header("x", empty()), header("x", exact("2")), false),
        (header("x", exact("1")), header("y", exact("2")), true),
        (on_port(80), on_port(80), true),
        (on_port(80), on_port(81), false),
        (from(Some("a")), from(None), false),
        (from(None), from(Some("a")), true),
        (gateways(&["mesh"]), gateways(&["mesh"]), true),
        (gateways(&["mesh"]), gateways(&["edge"]), false),
    ] {
        let shown = format!("{root:?}\n{leaf:?}");
        let world = compile(&both(
            vec![delegating("d", vec![root]), rule("rest", vec![])],
            vec![part("p", vec![leaf])],
        ));
        assert_eq!(!world.codes().contains(&Code::Delegation), covered, "{shown}");
    }
}

/// Trap 3.
#[test]
fn what_the_delegate_leaves_out_is_the_roots_so_that_mirror_and_mirrors_can_both_be_in_force() {
    let root = delegating("d", vec![]).with(|r| {
        r.mirror = Some(destination("my-app/v2"));
        r.mirror_percentage = percent(10.0);
    });
    let leaf = part("p", vec![]).with(|r| {
        r.mirror = None;
        r.mirrors = vec![policy(&format!("{APP}/v2"), percent(20.0))];
        r.mirrors_at = Some(Box::new(here()));
    });
    let world = in_force(&both(vec![root], vec![leaf]));
    assert_eq!(world.mirrors().iter().map(|(_, share)| *share).collect::<Vec<_>>(), [100_000, 200_000]);
}

/// Trap 29.
#[test]
fn a_delegate_cannot_delegate_again_nor_hide_from_its_root() {
    let again = delegating("again", vec![]);
    let world = compile(&both(vec![delegating("d", vec![]), rule("rest", vec![])], vec![again]));
    assert_eq!((world.codes(), world.rule_for(&get("/"))), (vec![Code::Delegation], "rest".into()));
    let mut hidden = both(vec![delegating("d", vec![]), rule("rest", vec![])], vec![part("p", vec![])]);
    hidden.virtual_services[1].export_to = vec![text(".")];
    let world = compile(&hidden);
    assert_eq!((world.codes(), world.rule_for(&get("/"))), (vec![Code::Delegation], "rest".into()));
}

#[test]
fn a_delegate_that_nobody_uses_is_told() {
    assert_eq!(compile(&both(vec![rule("it", vec![])], vec![part("p", vec![])])).codes(), [Code::Delegation]);
}
