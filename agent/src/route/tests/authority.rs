//! The forms of a `Host`, and which service each of them names: Istio's virtual host domains, compared as Envoy does,
//! without regard to case and port.

use super::build::*;
use crate::config::{Resources, istio::VirtualService, kubernetes};

/// One endpoint, 10.0.0.1, of Services `cart` and `pay` of namespace shop, of the headless `db` there, and of an entry
/// with addresses of its own. Each has one rule of its name.
fn world() -> World {
    let kube = |name: &str, change: fn(&mut kubernetes::Service)| kube_service(name, "all").with(change);
    let cart: fn(&mut kubernetes::Service) =
        |s| s.cluster_ips = vec!["10.96.0.10".parse().unwrap(), "fd00:96::10".parse().unwrap()];
    let entry = service("shop/legacy", "legacy.example.com", &[("10.0.0.1", "v1")])
        .with(|s| s.addresses = vec![text("240.0.0.1"), text("240.0.0.2/32"), text("240.1.0.0/16")]);
    let rules = |name: &str, host: &str| -> VirtualService {
        let to_shadow = rule(name, vec![]).with(|r| {
            r.route = vec![route(host, None)];
            r.mirror = Some(destination("shadow.example.com"));
        });
        virtual_service(&format!("shop/{name}"), host, vec![to_shadow])
    };
    in_force(&Resources {
        services: vec![
            kube("shop/cart", cart),
            kube("shop/pay", |_| {}),
            kube("shop/db", |s| s.headless = true),
        ],
        pods: vec![pod("shop/all-1", "all", "10.0.0.1")],
        service_entries: vec![entry, service("shadow", "shadow.example.com", &[("10.0.0.9", "v1")])],
        virtual_services: vec![
            rules("cart", "cart"),
            rules("pay", "pay"),
            rules("db", "db"),
            rules("legacy", "legacy.example.com"),
        ],
        ..Resources::default()
    })
}

fn all_name(hosts: &[&str], rule: &str) {
    let world = world();
    for host in hosts {
        let decided = world.decide("10.0.0.1:8080", &get("/").host(host));
        assert_eq!(decided.as_deref(), Some(rule), "{host}");
    }
}

#[test]
fn a_service_is_named_by_its_four_forms_in_any_case_with_any_port_and_with_the_roots_dot() {
    let forms = ["cart", "cart.shop", "cart.shop.svc", "cart.shop.svc.cluster.local"];
    let spelt =
        forms.map(|form| [form.into(), form.to_ascii_uppercase(), format!("{form}."), format!("{form}:80")]);
    let ported =
        forms.map(|form| [format!("{form}:"), format!("{form}:65535"), format!("{form}.:8080"), form.into()]);
    let all: Vec<_> = spelt.iter().chain(&ported).flatten().map(String::as_str).collect();
    all_name(&all, "cart");
}

#[test]
fn a_service_is_named_by_its_own_addresses() {
    all_name(
        &["10.96.0.10", "10.96.0.10:80", "[fd00:96::10]", "[fd00:96::10]:80", "[FD00:96:0::0010]:80"],
        "cart",
    );
    all_name(&["240.0.0.1", "240.0.0.2:80"], "legacy");
}

#[test]
fn the_pods_of_a_headless_service_name_it_too() {
    all_name(&["db", "db-0.db", "db-0.db.shop:80", "db-0.db.shop.svc.cluster.local."], "db");
}

/// Envoy decodes nothing in a host; networks are no virtual hosts; an endpoint's address is not its service's.
#[test]
fn no_other_text_names_a_service() {
    let escaped = ["%63art", "cart%2Eshop", "cart.shop%2E", "c\u{e4}rt"];
    let misspelt = ["cart..", ".cart", "cart..shop", "cart shop", "user@cart", "cart,pay", "", "."];
    let addresses =
        ["10.0.0.1", "10.0.0.1:8080", "240.1.0.1", "[::1]", "fd00:96::1", "10.96.0.010", "[10.96.0.10]x"];
    let pods = ["cart-0.cart", "db-0.shop"];
    let all: Vec<_> = escaped.iter().chain(&misspelt).chain(&addresses).chain(&pods).copied().collect();
    all_name(&all, "?");
}

#[test]
fn an_absolute_target_overrules_the_host() {
    let world = world();
    let to = |target: &str| world.decide("10.0.0.1:8080", &get(target).host("pay")).unwrap();
    assert_eq!(to("http://CART.shop.:80/x"), "cart");
    assert_eq!(to("http://[fd00:96::10]/"), "cart");
    assert_eq!(to("http://elsewhere?x"), "?");
    assert_eq!(to("/?u=http://cart/"), "pay");
}

/// What rules compare is the authority as it was sent (§1.3).
#[test]
fn a_condition_on_the_authority_sees_every_byte_of_it() {
    let on = |condition| block().with(|b| b.authority = Some(Box::new(condition)));
    let world = in_force(&app(vec![
        rule("v6", vec![on(exact("[fd00::1]:80"))]),
        rule("dot", vec![on(exact("my-app."))]),
        rule("case", vec![on(exact("My-App"))]),
        rule("port", vec![on(regex("my-app:[0-9]+"))]),
        rule("escaped", vec![on(prefix("my%2D"))]),
    ]));
    for (host, rule) in [
        ("[fd00::1]:80", "v6"),
        ("[FD00::1]:80", "-"),
        ("my-app.", "dot"),
        ("my-app", "-"),
        ("My-App", "case"),
        ("my-app:80", "port"),
        ("my%2Dapp", "escaped"),
        ("my%2dapp", "-"),
    ] {
        assert_eq!(world.rule_for(&get("/").host(host)), rule, "{host}");
    }
}
