//! What is captured, and whose rules judge what arrives there.

use super::build::*;
use crate::config::{
    Resources,
    istio::{HttpRoute, ServiceEntry},
};

/// A rule named after its service that mirrors to a shadow.
fn mirrored(name: &str, service: &str) -> HttpRoute {
    rule(name, vec![]).with(|r| {
        r.route = vec![route(service, None)];
        r.mirror = Some(destination("shadow.example.com"));
    })
}

/// These services, each with a virtual service of one rule that mirrors.
fn services(services: Vec<ServiceEntry>) -> Resources {
    let virtual_service = |s: &ServiceEntry| {
        let host = s.hosts[0].value.as_str();
        virtual_service(&s.meta.qualified(), host, vec![mirrored(&s.meta.name, host)])
    };
    let virtual_services = services.iter().map(virtual_service).collect();
    let shadow = service("shadow", "shadow.example.com", &[("10.9.9.9", "v1")]);
    let service_entries = services.into_iter().chain([shadow]).collect();
    Resources { virtual_services, service_entries, ..Resources::default() }
}

#[test]
fn every_endpoint_of_a_mirrored_service_is_captured_and_no_other() {
    let world =
        in_force(&services(vec![service("a", "a.example.com", &[("10.0.0.1", "v1"), ("fd00::1", "v1")])]));
    assert_eq!(world.captured(), ["10.0.0.1:8080", "[fd00::1]:8080"]);
    assert!(world.decide("[fd00::1]:8080", &get("/")).is_some());
    assert!(world.decide("[::ffff:10.0.0.1]:8080", &get("/")).is_some());
    for missed in ["10.0.0.1:80", "10.0.0.2:8080", "10.9.9.9:8080"] {
        assert_eq!(world.decide(missed, &get("/")), None, "{missed}");
    }
}

#[test]
fn only_ports_that_speak_http_are_captured() {
    let ports = |s: &mut ServiceEntry| {
        s.ports = vec![
            port(1, "web", "HTTP", 1001),
            port(2, "h2", "HTTP2", 1002),
            port(3, "rpc", "GRPC", 1003),
            port(4, "rpc-web", "GRPC-WEB", 1004),
            port(5, "http-admin", "TCP", 1005),
            port(6, "https", "HTTPS", 1006),
            port(7, "db", "TCP", 1007),
            port(8, "https", "TCP", 1008),
            port(9, "http", "TLS", 1009),
        ];
    };
    let mut resources = services(vec![service("a", "a.example.com", &[("10.0.0.1", "v1")]).with(ports)]);
    resources.virtual_services[0].http[0].route[0].destination.port = Some(written(1));
    let world = in_force(&resources);
    assert_eq!(
        world.captured(),
        ["10.0.0.1:1001", "10.0.0.1:1002", "10.0.0.1:1003", "10.0.0.1:1004", "10.0.0.1:1005"]
    );
}

#[test]
fn an_endpoints_own_port_is_captured_instead_of_the_target_port() {
    let world = in_force(&services(vec![
        service("a", "a.example.com", &[("10.0.0.1", "v1")])
            .with(|s| assert_eq!(s.endpoints[0].ports.insert("http".into(), 9000), None)),
    ]));
    assert_eq!(world.captured(), ["10.0.0.1:9000"]);
}

#[test]
fn the_only_service_of_an_endpoint_judges_whatever_the_host() {
    let world = in_force(&services(vec![service("a", "a.example.com", &[("10.0.0.1", "v1")])]));
    for host in ["a.example.com", "elsewhere", "10.0.0.1:8080"] {
        assert_eq!(world.decide("10.0.0.1:8080", &get("/").host(host)).as_deref(), Some("a"), "{host}");
    }
}

#[test]
fn several_services_of_an_endpoint_are_told_apart_by_the_authority() {
    let cart = service("cart", "cart.shop.svc.cluster.local", &[("10.0.0.1", "v1")]);
    let prod = service("cart", "cart.prod.svc.cluster.local", &[("10.0.0.1", "v1")])
        .with(|s| s.meta.namespace = "prod".into());
    let pay = service("pay", "pay.shop.svc.cluster.local", &[("10.0.0.1", "v1")]);
    let any = service("any", "*.example.com", &[("10.0.0.1", "v1")]);
    let mut resources = services(vec![cart, prod, pay, any]);
    resources.virtual_services[1].http[0].name = Some("prod".into());
    // No destination has a wildcard's name: traffic to it goes to one of its hosts.
    resources.virtual_services[3].http[0].route = vec![route("cart.shop.svc.cluster.local", None)];
    let world = in_force(&resources);
    for (host, rule) in [
        ("pay", "pay"),
        ("PAY.shop:8080", "pay"),
        ("pay.shop.svc.", "pay"),
        ("pay.shop.svc.cluster.local", "pay"),
        ("cart.shop", "cart"),
        ("cart.prod", "prod"),
        ("x.example.com", "any"),
        ("example.com", "?"),
        // Two services have this short name, and whose namespace the client is of is not known.
        ("cart", "?"),
        ("10.0.0.1:8080", "?"),
    ] {
        assert_eq!(world.decide("10.0.0.1:8080", &get("/").host(host)).as_deref(), Some(rule), "{host}");
    }
    let nameless = get("/").with(|r| r.headers.clear());
    assert_eq!(world.decide("10.0.0.1:8080", &nameless).as_deref(), Some("?"));
}

#[test]
fn a_service_without_rules_keeps_its_requests_from_the_others() {
    let mut resources = services(vec![
        service("a", "a.example.com", &[("10.0.0.1", "v1")]),
        service("b", "b.example.com", &[("10.0.0.1", "v1")]),
    ]);
    resources.virtual_services.pop();
    let world = in_force(&resources);
    let decide = |host: &str| world.decide("10.0.0.1:8080", &get("/").host(host));
    assert_eq!(decide("a.example.com").as_deref(), Some("a"));
    assert_eq!(decide("b.example.com").as_deref(), Some("-"));
    let owners = world.snapshot.inbound("10.0.0.1:8080".parse().unwrap()).unwrap().owners();
    assert_eq!(owners.iter().map(|o| &*o.service).collect::<Vec<_>>(), ["a.example.com", "b.example.com"]);
    assert_eq!(owners[0].labels.get("version"), Some("v1"));
}

#[test]
fn an_unspecified_address_stands_for_every_local_one_and_an_exact_one_comes_first() {
    let mut resources = services(vec![
        service("any4", "any4.example.com", &[("0.0.0.0", "v1")]),
        service("any6", "any6.example.com", &[("::", "v1")]).with(|s| s.ports[0].target_port = 8081),
        service("exact", "exact.example.com", &[("10.0.0.1", "v1")]),
        service("quiet", "quiet.example.com", &[("10.0.0.2", "v1")]),
    ]);
    resources.virtual_services.pop();
    let world = in_force(&resources);
    assert_eq!(world.captured(), ["*:8080", "*:8081", "10.0.0.1:8080"]);
    let decide = |address: &str| world.decide(address, &get("/"));
    assert_eq!(decide("192.168.0.1:8080").as_deref(), Some("any4"));
    assert_eq!(decide("[fd00::1]:8081").as_deref(), Some("any6"));
    assert_eq!(decide("10.0.0.1:8080").as_deref(), Some("exact"));
    assert_eq!(decide("10.0.0.2:8080"), None);
}

#[test]
fn of_two_service_ports_that_lead_to_one_place_the_authority_names_one_else_the_first_is_meant() {
    let on = |name: &str, number| {
        mirrored(name, "a.example.com")
            .with(|r| r.matches = vec![block().with(|b| b.port = Some(Box::new(written(number))))])
    };
    let two = |s: &mut ServiceEntry| {
        s.ports = vec![port(81, "first", "HTTP", 8080), port(80, "second", "HTTP", 8080)];
    };
    let mut resources = services(vec![service("a", "a.example.com", &[("10.0.0.1", "v1")]).with(two)]);
    resources.virtual_services[0].http = vec![on("81", 81), on("80", 80)];
    let world = in_force(&resources);
    for (host, rule) in [("a.example.com", "80"), ("a.example.com:81", "81"), ("a.example.com:9", "81")] {
        assert_eq!(world.decide("10.0.0.1:8080", &get("/").host(host)).as_deref(), Some(rule), "{host}");
    }
}

#[test]
fn a_service_whose_rules_mirror_nothing_is_not_captured() {
    let mut resources = services(vec![service("a", "a.example.com", &[("10.0.0.1", "v1")])]);
    resources.virtual_services[0].http[0].mirror = None;
    assert_eq!(compile(&resources).captured(), [""; 0]);
}
