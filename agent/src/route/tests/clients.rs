//! Rules that ask who the client is: what a node knows of it is the address of its workload.

use super::{
    build::*,
    hosts::{self, CART},
};
use crate::config::{
    Code, Resources,
    istio::{HttpMatch, VirtualService, WorkloadEntry},
    kubernetes::PodPhase,
};

/// `cart` of namespace shop at 10.0.0.1, and a client of each of three namespaces.
fn shop(virtual_services: Vec<VirtualService>) -> Resources {
    hosts::shop(virtual_services).with(|r| {
        r.pods = vec![
            pod("shop/client", "web", "10.1.0.1"),
            pod("team/client", "web", "10.1.0.2"),
            pod("else/client", "web", "10.1.0.3"),
        ];
    })
}

const SHOP: &str = "10.1.0.1";
const TEAM: &str = "10.1.0.2";
const ELSE: &str = "10.1.0.3";
const NOBODY: &str = "192.0.2.1";

fn to_shadow(name: &str, matches: Vec<HttpMatch>) -> crate::config::istio::HttpRoute {
    rule(name, matches).with(|r| {
        r.route = vec![route(CART, None)];
        r.mirror = Some(destination("shadow.example.com"));
    })
}

/// A VirtualService with one rule for everything, both of this name.
fn exported(name: &str, host: &str, export: &[&str]) -> VirtualService {
    virtual_service(name, host, vec![to_shadow(name, vec![])])
        .with(|v| v.export_to = export.iter().map(|e| text(e)).collect())
}

fn decide(world: &World, client: &str, path: &str) -> String {
    let request = get(path).host("cart.shop");
    world.decide_from(client.parse().unwrap(), "10.0.0.1:8080", &request).expect("cart is captured")
}

fn seen_by(world: &World) -> [String; 4] {
    [SHOP, TEAM, ELSE, NOBODY].map(|client| decide(world, client, "/"))
}

#[test]
fn labels_and_namespace_are_those_of_the_workload_at_the_clients_address() {
    let labelled = block().with(|b| b.source_labels = labels(&[("app", "web"), ("tier", "a")]));
    let of_team = block().with(|b| b.source_namespace = Some("team".into()));
    let both = block().with(|b| {
        b.source_namespace = Some("shop".into());
        b.source_labels = labels(&[("tier", "b")]);
    });
    let rules = vec![
        to_shadow("labels", vec![labelled]),
        to_shadow("team", vec![of_team]),
        to_shadow("both", vec![both]),
        to_shadow("rest", vec![]),
    ];
    let tier = |name: &str, address: &str, tier: &str| {
        pod(name, "web", address).with(|p| p.meta.labels = labels(&[("app", "web"), ("tier", tier)]))
    };
    let mut machine = service("x", "x", &[("10.2.0.4", "v1")]).endpoints.remove(0);
    machine.labels = labels(&[("app", "web"), ("tier", "a"), ("more", "1")]);
    let resources = shop(vec![virtual_service("shop/a", CART, rules)]).with(|r| {
        r.pods.extend([tier("shop/a", "10.2.0.1", "a"), tier("shop/b", "10.2.0.2", "b")]);
        r.pods.push(tier("else/b", "10.2.0.3", "b").with(|p| p.ips.push("fd00::3".parse().unwrap())));
        r.workload_entries = vec![WorkloadEntry { meta: meta("else/machine"), endpoint: machine }];
    });
    let world = in_force(&resources);
    for (client, rule) in [
        ("10.2.0.1", "labels"),
        ("::ffff:10.2.0.1", "labels"),
        ("10.2.0.4", "labels"),
        ("10.2.0.2", "both"),
        ("10.2.0.3", "rest"),
        ("fd00::3", "rest"),
        (TEAM, "team"),
        (SHOP, "rest"),
        (NOBODY, "rest"),
    ] {
        assert_eq!(decide(&world, client, "/"), rule, "{client}");
    }
}

#[test]
fn a_pod_of_the_hosts_network_and_one_that_is_over_say_nothing_of_a_client() {
    let of_team = block().with(|b| b.source_namespace = Some("team".into()));
    let rules = vec![to_shadow("team", vec![of_team]), to_shadow("rest", vec![])];
    let resources = shop(vec![virtual_service("shop/a", CART, rules)]);
    assert_eq!(decide(&in_force(&resources), TEAM, "/"), "team");
    let host = resources.clone().with(|r| r.pods[1].host_network = true);
    assert_eq!(decide(&in_force(&host), TEAM, "/"), "rest");
    let over = resources.with(|r| r.pods[1].phase = PodPhase::Failed);
    assert_eq!(decide(&in_force(&over), TEAM, "/"), "rest");
}

/// Trap 12: where no rule exists for a client its VirtualService is passed over; where one exists and does not match
/// the request, nothing else is asked.
#[test]
fn nothing_generated_leaves_a_client_to_the_next_and_nothing_matched_does_not() {
    let of_team = on_path(prefix("/a")).with(|b| b.source_namespace = Some("team".into()));
    let first = virtual_service("shop/a", CART, vec![to_shadow("first", vec![of_team])]);
    let second = virtual_service("shop/b", CART, vec![to_shadow("second", vec![])]);
    let world = in_force(&shop(vec![first, second]));
    assert_eq!(decide(&world, TEAM, "/a"), "first");
    assert_eq!(decide(&world, TEAM, "/b"), "-");
    assert_eq!(decide(&world, ELSE, "/a"), "second");
    assert_eq!(decide(&world, NOBODY, "/b"), "second");
}

/// Trap 14.
#[test]
fn what_is_exported_to_one_namespace_holds_for_its_clients_alone() {
    let public = || exported("shop/public", CART, &[]);
    let names = |world: &World| seen_by(world);
    let of = |export: &[&str], namespace: &str| {
        names(&compile(&shop(vec![public(), exported(&format!("{namespace}/z"), CART, export)])))
    };
    let public_to_all = ["shop/public"; 4];
    // To its own namespace, however that is said; a client nobody knows counts as one of the service's namespace.
    assert_eq!(of(&["."], "team"), ["shop/public", "team/z", "shop/public", "shop/public"]);
    assert_eq!(of(&["team"], "team"), ["shop/public", "team/z", "shop/public", "shop/public"]);
    assert_eq!(of(&["."], "shop"), ["shop/z", "shop/public", "shop/public", "shop/z"]);
    // To others by name.
    assert_eq!(of(&["team", "else"], "owner"), ["shop/public", "owner/z", "owner/z", "shop/public"]);
    assert_eq!(of(&["shop", "."], "team"), ["team/z", "team/z", "shop/public", "team/z"]);
    // To nobody, and to all: the second by name.
    assert_eq!(of(&["~"], "team"), public_to_all);
    assert_eq!(of(&["*"], "team"), public_to_all);
    assert_eq!(of(&[".", "*"], "team"), public_to_all);
}

#[test]
fn private_comes_before_exported_by_name_and_that_before_public_for_each_client() {
    let world = compile(&shop(vec![
        exported("shop/public", CART, &["*"]),
        exported("owner/named", CART, &["team", "shop"]),
        exported("team/private", CART, &["."]),
    ]));
    assert_eq!(seen_by(&world), ["owner/named", "team/private", "shop/public", "owner/named"]);
    assert_eq!(world.codes(), [], "each of them speaks for somebody");
}

#[test]
fn the_most_specific_host_is_that_of_what_a_client_sees() {
    let world =
        compile(&shop(vec![exported("shop/any", "*.local", &[]), exported("shop/exact", CART, &["."])]));
    assert_eq!(seen_by(&world), ["shop/exact", "shop/any", "shop/any", "shop/exact"]);
}

#[test]
fn a_client_who_sees_no_virtual_service_has_no_rule() {
    let world = in_force(&shop(vec![exported("team/a", CART, &["."])]));
    assert_eq!(seen_by(&world), ["-", "team/a", "-", "-"]);
}

#[test]
fn where_no_workload_is_known_an_export_to_others_is_told_to_have_no_effect() {
    let nobody = |r: &mut Resources| r.pods.clear();
    let both = shop(vec![exported("shop/public", CART, &[]), exported("team/a", CART, &["."])]).with(nobody);
    let world = compile(&both);
    assert_eq!(seen_by(&world), ["shop/public"; 4]);
    assert_eq!(world.fault().code, Code::NotHonoured);
    assert!(world.fault().message.contains("spec.exportTo: reaches no namespace"), "{:?}", world.fault());
}

/// Istio gives a short name to clients of the service's own namespace alone.
#[test]
fn a_short_name_that_two_services_of_an_endpoint_have_is_the_one_of_the_clients_namespace() {
    let cart_of_team = "cart.team.svc.cluster.local";
    let resources = shop(vec![
        exported("shop/a", CART, &[]),
        exported("team/b", cart_of_team, &[]).with(|v| v.http[0].route = vec![route(cart_of_team, None)]),
    ])
    .with(|r| r.service_entries.push(service("team/cart", cart_of_team, &[("10.0.0.1", "v1")])));
    let world = in_force(&resources);
    let named = |host: &str| {
        let request = get("/").host(host);
        [SHOP, TEAM, ELSE, NOBODY]
            .map(|client| world.decide_from(client.parse().unwrap(), "10.0.0.1:8080", &request).unwrap())
    };
    assert_eq!(named("cart"), ["shop/a", "team/b", "?", "?"]);
    assert_eq!(named("cart.team"), ["team/b"; 4]);
}
