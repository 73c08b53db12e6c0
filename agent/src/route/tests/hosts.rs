//! Which VirtualService, DestinationRule and ServiceEntry a name leads to.

use super::build::*;
use crate::config::{
    Code, Located, Resources,
    istio::{HttpRoute, VirtualService},
};

pub(super) const CART: &str = "cart.shop.svc.cluster.local";

/// `cart` of namespace shop at 10.0.0.1, its shadow at 10.0.0.9, and these virtual services.
pub(super) fn shop(virtual_services: Vec<VirtualService>) -> Resources {
    Resources {
        virtual_services,
        service_entries: vec![
            service("shop/cart", CART, &[("10.0.0.1", "v1")]),
            service("shop/shadow", "shadow.example.com", &[("10.0.0.9", "v1")]),
        ],
        ..Resources::default()
    }
}

fn all(name: &str) -> Vec<HttpRoute> {
    vec![rule(name, vec![]).with(|r| {
        r.route = vec![route(CART, None)];
        r.mirror = Some(destination("shadow.example.com"));
    })]
}

fn exports(names: &[&str]) -> Vec<Located<String>> {
    names.iter().map(|n| text(n)).collect()
}

/// The rule in force for `cart`.
fn winner(resources: &Resources) -> Option<String> {
    compile(resources).decide("10.0.0.1:8080", &get("/").host("cart"))
}

/// Trap 15.
#[test]
fn a_short_name_belongs_to_the_namespace_of_its_virtual_service_and_a_dotted_one_is_whole() {
    let of = |name, host| winner(&shop(vec![virtual_service(name, host, all("it"))]));
    assert_eq!(of("shop/cart", "cart").as_deref(), Some("it"));
    assert_eq!(of("shop/cart", "CART").as_deref(), Some("it"));
    assert_eq!(of("default/cart", CART).as_deref(), Some("it"));
    assert_eq!(of("default/cart", "cart"), None);
    assert_eq!(of("shop/cart", "cart.shop"), None);
}

#[test]
fn a_mirrors_short_name_belongs_to_the_namespace_of_its_virtual_service() {
    let mirror_to_cart = |name| {
        let rules = all("it").with(|r| r[0].mirror = Some(destination("cart")));
        compile(&shop(vec![virtual_service(name, CART, rules)])).codes()
    };
    assert_eq!(mirror_to_cart("shop/cart"), [Code::LiveShadow]);
    assert_eq!(mirror_to_cart("default/cart"), [Code::UnknownHost]);
}

/// Trap 13.
#[test]
fn an_exact_host_beats_a_wildcard_and_the_longest_wildcard_the_others() {
    let any = || virtual_service("shop/a", "*.local", all("any"));
    let longest = || virtual_service("shop/b", "*.shop.svc.cluster.local", all("longest"));
    let exact = || virtual_service("shop/z", CART, all("exact"));
    assert_eq!(winner(&shop(vec![any()])).as_deref(), Some("any"));
    assert_eq!(winner(&shop(vec![any(), longest()])).as_deref(), Some("longest"));
    assert_eq!(winner(&shop(vec![any(), longest(), exact()])).as_deref(), Some("exact"));
    assert_eq!(compile(&shop(vec![any(), exact()])).codes(), []);
}

/// Trap 13.
#[test]
fn of_one_host_the_oldest_wins_then_the_first_by_name_then_by_namespace_and_nothing_is_merged() {
    let made = |name: &str, created: Option<&str>| {
        let rules =
            all(name).with(|r| r[0].matches = vec![on_path(prefix(&format!("/{}", name.replace('/', "-"))))]);
        virtual_service(name, CART, rules).with(|v| v.meta.created = created.map(str::to_owned))
    };
    let old = || made("shop/z", Some("2024-01-01T00:00:00Z"));
    let new = || made("shop/a", Some("2025-01-01T00:00:00Z"));
    let world = compile(&shop(vec![new(), old()]));
    let at = |world: &World, path: &str| world.decide("10.0.0.1:8080", &get(path)).unwrap();
    assert_eq!(at(&world, "/shop-z"), "shop/z");
    assert_eq!(at(&world, "/shop-a"), "-");
    assert_eq!(world.codes(), [Code::Shadowed]);
    assert!(world.fault().message.contains("shop/z already speaks for this host"), "{:?}", world.fault());
    assert_eq!(at(&compile(&shop(vec![made("shop/b", None), made("shop/a", None)])), "/shop-a"), "shop/a");
    assert_eq!(at(&compile(&shop(vec![made("shop/a", None), made("prod/a", None)])), "/prod-a"), "prod/a");
}

/// Trap 14. No workload is known here, so the service's namespace stands for the client's; see `clients` for theirs.
#[test]
fn private_beats_exported_by_name_beats_public() {
    let with = |name: &str, export: &[&str]| {
        virtual_service(name, CART, all(name)).with(|v| v.export_to = exports(export))
    };
    let public = || with("shop/a", &["*"]);
    let named = || with("other/b", &["shop"]);
    let private = || with("shop/c", &["."]);
    assert_eq!(winner(&shop(vec![public(), named()])).as_deref(), Some("other/b"));
    assert_eq!(winner(&shop(vec![public(), named(), private()])).as_deref(), Some("shop/c"));
    assert_eq!(winner(&shop(vec![with("other/a", &["."]), with("other/b", &["~"])])), None);
    assert_eq!(winner(&shop(vec![with("other/a", &[])])).as_deref(), Some("other/a"));
}

#[test]
fn a_virtual_service_without_a_rule_for_the_port_leaves_it_to_the_next() {
    let other_port =
        all("other").with(|r| r[0].matches = vec![block().with(|b| b.port = Some(Box::new(written(81))))]);
    let first = virtual_service("shop/a", CART, other_port);
    let second = virtual_service("shop/b", CART, all("second"));
    assert_eq!(winner(&shop(vec![first.clone(), second])).as_deref(), Some("second"));
    assert_eq!(winner(&shop(vec![first])), None);
}

#[test]
fn gateways_without_mesh_take_a_virtual_service_out_of_the_mesh() {
    let with = |gateways: &[&str]| {
        virtual_service("shop/a", CART, all("it")).with(|v| v.gateways = exports(gateways))
    };
    assert_eq!(winner(&shop(vec![with(&["gw", "mesh"])])).as_deref(), Some("it"));
    let world = compile(&shop(vec![with(&["gw"])]));
    assert_eq!(world.codes(), [Code::NotHonoured, Code::NothingMirrored]);
}

#[test]
fn the_older_of_two_service_entries_for_a_host_wins() {
    let old = service("shop/z", CART, &[("10.0.0.1", "v1")]).with(|s| s.meta.created = Some("2024".into()));
    let new = service("shop/a", CART, &[("10.0.0.2", "v1")]).with(|s| s.meta.created = Some("2025".into()));
    let mut resources = shop(vec![virtual_service("shop/a", CART, all("it"))]);
    resources.service_entries[0] = new;
    resources.service_entries.push(old);
    let world = compile(&resources);
    assert!(world.decide("10.0.0.1:8080", &get("/")).is_some());
    assert_eq!(world.decide("10.0.0.2:8080", &get("/")), None);
    assert_eq!(world.codes(), [Code::Shadowed]);
}

/// The lookup of destination rules: trap 28.
#[test]
fn destination_rules_are_those_of_the_client_else_of_the_service_else_of_the_root() {
    let subset_v1_found = |rules: &[(&str, &str, &[&str])]| {
        let mirror = all("it").with(|r| r[0].mirror = Some(destination("cart.shop.svc.cluster.local/v1")));
        let mut resources = shop(vec![virtual_service("apps/a", CART, mirror)]);
        let rule = |&(name, subset, export): &(&str, &str, &[&str])| {
            versions(name, CART, &[subset]).with(|r| r.export_to = exports(export))
        };
        resources.destination_rules = rules.iter().map(rule).collect();
        compile(&resources).codes() != [Code::UnknownSubset]
    };
    assert!(subset_v1_found(&[("istio-system/a", "v1", &[])]));
    assert!(subset_v1_found(&[("shop/a", "v1", &[]), ("istio-system/a", "v2", &[])]));
    assert!(subset_v1_found(&[("apps/a", "v1", &[]), ("shop/a", "v2", &[])]));
    // The first namespace that has a rule decides, though another has the subset.
    assert!(!subset_v1_found(&[("apps/a", "v2", &[]), ("shop/a", "v1", &[])]));
    assert!(!subset_v1_found(&[("elsewhere/a", "v1", &[])]));
    assert!(!subset_v1_found(&[("shop/a", "v1", &["."])]));
    assert!(subset_v1_found(&[("shop/a", "v1", &["apps"])]));
    assert!(subset_v1_found(&[("apps/a", "v1", &["."])]));
    // Several of one namespace are merged by the names of their subsets.
    assert!(subset_v1_found(&[("shop/a", "v2", &[]), ("shop/b", "v1", &[])]));
}

#[test]
fn the_most_specific_host_of_destination_rules_decides_alone() {
    let mirror = all("it").with(|r| r[0].mirror = Some(destination("cart/v1")));
    let mut resources = shop(vec![virtual_service("shop/a", CART, mirror)]);
    resources.destination_rules = vec![versions("shop/a", "*.local", &["v1"])];
    assert_eq!(compile(&resources).codes(), [Code::LiveShadow]);
    resources.destination_rules.push(versions("shop/b", "cart", &["v2"]));
    assert_eq!(compile(&resources).codes(), [Code::UnknownSubset]);
}

#[test]
fn a_service_entry_not_exported_to_the_virtual_services_namespace_is_unknown_there() {
    let mut resources = shop(vec![virtual_service("shop/a", CART, all("it"))]);
    resources.service_entries[1].meta.namespace = "elsewhere".into();
    assert_eq!(compile(&resources).codes(), []);
    resources.service_entries[1].export_to = exports(&["."]);
    assert_eq!(compile(&resources).codes(), [Code::UnknownHost]);
}
