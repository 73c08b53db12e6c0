//! Rules that send their requests to endpoints of other services.

use super::build::*;
use crate::{
    config::{
        Resources,
        istio::{HttpRoute, VirtualService},
    },
    route::{Decision, Unmirrored},
};

/// Namespace default: `reviews` without an endpoint of its own, `reviews-v1` at 10.0.0.1, `reviews-v2` at 10.0.0.2 and
/// `shadow` at 10.0.0.9.
fn reviews(virtual_services: Vec<VirtualService>) -> Resources {
    let entry = |name: &str, endpoints: &[(&str, &str)]| {
        service(name, &format!("{name}.default.svc.cluster.local"), endpoints)
    };
    Resources {
        virtual_services,
        service_entries: vec![
            entry("reviews", &[]),
            entry("reviews-v1", &[("10.0.0.1", "v1")]),
            entry("reviews-v2", &[("10.0.0.2", "v2")]),
            entry("shadow", &[("10.0.0.9", "v1")]),
        ],
        ..Resources::default()
    }
}

fn to(name: &str, path: &str, destinations: &[&str]) -> HttpRoute {
    rule(name, vec![on_path(prefix(path))]).with(|r| {
        r.route = destinations.iter().map(|d| route(d, Some(1))).collect();
        r.mirror = Some(destination("shadow"));
    })
}

fn split() -> Resources {
    let rules = vec![to("v2", "/v2", &["reviews-v2"]), to("v1", "/", &["reviews-v1"])];
    reviews(vec![virtual_service("reviews", "reviews", rules)])
}

fn at(world: &World, address: &str, host: &str, path: &str) -> Option<String> {
    world.decide(address, &get(path).host(host))
}

/// Under Istio the client's proxy has judged such a request by the rules of the service its `Host` names.
#[test]
fn requests_sent_to_another_services_endpoints_are_mirrored_there_by_the_name_they_carry() {
    let world = in_force(&split());
    assert_eq!(world.captured(), ["10.0.0.1:8080", "10.0.0.2:8080"]);
    for host in ["reviews", "Reviews.default:80", "reviews.default.svc.cluster.local."] {
        assert_eq!(at(&world, "10.0.0.1:8080", host, "/").as_deref(), Some("v1"), "{host}");
        assert_eq!(at(&world, "10.0.0.2:8080", host, "/v2/x").as_deref(), Some("v2"), "{host}");
    }
    for host in ["reviews-v1", "10.0.0.1:8080", "elsewhere", ""] {
        assert_eq!(at(&world, "10.0.0.1:8080", host, "/").as_deref(), Some("-"), "{host}");
    }
    let nameless = get("/").with(|r| r.headers.clear());
    assert_eq!(world.decide("10.0.0.1:8080", &nameless).as_deref(), Some("-"));
}

#[test]
fn only_those_of_a_rule_that_leads_there_are() {
    let world = in_force(&split());
    let mirrored = |address: &str, path: &str| {
        let rules = world.snapshot.inbound(address.parse().unwrap()).unwrap();
        get(path).host("reviews").read(|head| match rules.decide(head, CLIENT) {
            Decision::Rule(rule) => (rule.mirrors.len(), rule.unmirrored),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(mirrored("10.0.0.1:8080", "/"), (1, None));
    assert_eq!(mirrored("10.0.0.1:8080", "/v2"), (0, Some(Unmirrored::Elsewhere)));
    assert_eq!(mirrored("10.0.0.2:8080", "/"), (0, Some(Unmirrored::Elsewhere)));
}

#[test]
fn the_owners_rules_go_on_judging_what_does_not_name_the_guest() {
    let own = virtual_service("reviews-v1", "reviews-v1", vec![to("own", "/", &["reviews-v1"])]);
    let world = in_force(&split().with(|r| r.virtual_services.push(own)));
    for host in ["reviews-v1", "10.0.0.1", "elsewhere"] {
        assert_eq!(at(&world, "10.0.0.1:8080", host, "/").as_deref(), Some("own"), "{host}");
    }
    assert_eq!(at(&world, "10.0.0.1:8080", "reviews", "/").as_deref(), Some("v1"));
}

#[test]
fn a_service_that_keeps_some_of_its_requests_is_mirrored_at_both_places() {
    let rules = vec![to("both", "/", &["reviews", "reviews-v2"])];
    let resources = reviews(vec![virtual_service("reviews", "reviews", rules)]).with(|r| {
        r.service_entries[0] = service("reviews", "reviews.default.svc.cluster.local", &[("10.0.0.3", "v1")]);
    });
    let world = in_force(&resources);
    assert_eq!(world.captured(), ["10.0.0.2:8080", "10.0.0.3:8080"]);
    assert_eq!(at(&world, "10.0.0.2:8080", "reviews", "/").as_deref(), Some("both"));
    assert_eq!(at(&world, "10.0.0.2:8080", "anything", "/").as_deref(), Some("-"));
    // At its own endpoints, whatever the host.
    assert_eq!(at(&world, "10.0.0.3:8080", "anything", "/").as_deref(), Some("both"));
    assert_eq!(world.accounts.all().len(), 1, "one rule keeps one book");
}

#[test]
fn only_the_subset_a_rule_names_is_visited() {
    let resources =
        reviews(vec![virtual_service("reviews", "reviews", vec![to("one", "/", &["reviews-v1/v1"])])]).with(
            |r| {
                let endpoints = [("10.0.0.1", "v1"), ("10.0.0.5", "v9")];
                r.service_entries[1] =
                    service("reviews-v1", "reviews-v1.default.svc.cluster.local", &endpoints);
                r.destination_rules = vec![versions("reviews-v1", "reviews-v1", &["v1"])];
            },
        );
    assert_eq!(in_force(&resources).captured(), ["10.0.0.1:8080"]);
}

#[test]
fn an_endpoint_at_every_local_address_is_visited_like_another() {
    let resources = split().with(|r| {
        r.service_entries[1] =
            service("reviews-v1", "reviews-v1.default.svc.cluster.local", &[("0.0.0.0", "v1")]);
    });
    let world = in_force(&resources);
    assert_eq!(at(&world, "192.168.0.1:8080", "reviews", "/").as_deref(), Some("v1"));
    assert_eq!(at(&world, "192.168.0.1:8080", "reviews-v1", "/").as_deref(), Some("-"));
}

#[test]
fn no_endpoint_is_captured_that_is_not_said_to_speak_http() {
    let resources = split().with(|r| {
        r.service_entries[1].ports[0].protocol = "TCP".into();
        r.service_entries[1].ports[0].name = "tcp".into();
    });
    assert_eq!(compile(&resources).captured(), ["10.0.0.2:8080"]);
}

#[test]
fn rules_that_mirror_nothing_visit_nobody() {
    let world = compile(&split().with(|r| r.virtual_services[0].http[1].mirror = None));
    assert_eq!(world.captured(), ["10.0.0.2:8080"]);
}

/// `reviews` of namespace `other`, whose rules lead to the same endpoint.
#[test]
fn a_name_that_an_owner_shares_is_the_owners_and_one_that_two_guests_share_is_neithers() {
    let rules = vec![
        to("other", "/", &["reviews-v1.default.svc.cluster.local"])
            .with(|r| r.mirror = Some(destination("shadow.default.svc.cluster.local"))),
    ];
    let mut resources = split().with(|r| {
        r.service_entries.push(service("other/reviews", "reviews.other.svc.cluster.local", &[]));
        r.virtual_services.push(virtual_service("other/reviews", "reviews", rules));
    });
    let world = in_force(&resources);
    let here = |world: &World, host| at(world, "10.0.0.1:8080", host, "/").unwrap();
    assert_eq!(here(&world, "reviews.default"), "v1");
    assert_eq!(here(&world, "reviews.other"), "other");
    assert_eq!(here(&world, "reviews"), "?");
    let name = "reviews.third.svc.cluster.local";
    resources.service_entries[1].hosts.push(text(name));
    let world = in_force(&resources);
    // Two owners now, and the name of one of them.
    assert_eq!(here(&world, "reviews"), "-");
    assert_eq!(here(&world, "reviews.other"), "other");
    assert_eq!(here(&world, "elsewhere"), "?");
}

#[test]
fn an_exact_guest_comes_before_an_owner_by_wildcard() {
    let resources = split().with(|r| {
        r.service_entries[1].hosts.push(text("*.default.svc.cluster.local"));
        r.service_entries[0].hosts.push(text("reviews.example.com"));
    });
    let world = in_force(&resources);
    let here = |host| at(&world, "10.0.0.1:8080", host, "/").unwrap();
    assert_eq!(here("reviews.default.svc.cluster.local"), "v1");
    assert_eq!(here("x.default.svc.cluster.local"), "-");
}

#[test]
fn a_guests_rules_may_ask_for_the_client() {
    let of_team = |r: &mut HttpRoute| r.matches[0].source_namespace = Some("team".into());
    let rules = vec![to("team", "/", &["reviews-v1"]).with(of_team)];
    let resources = reviews(vec![virtual_service("reviews", "reviews", rules)])
        .with(|r| r.pods.push(pod("team/client", "web", "10.1.0.1")));
    let world = in_force(&resources);
    let from = |client: &str| {
        world.decide_from(client.parse().unwrap(), "10.0.0.1:8080", &get("/").host("reviews")).unwrap()
    };
    assert_eq!((from("10.1.0.1"), from("192.0.2.1")), ("team".into(), "-".into()));
}

/// An owner that is a guest too is an owner: the usual Service over the pods of both versions.
#[test]
fn a_service_over_all_versions_owns_what_its_rules_lead_to() {
    let resources = split().with(|r| {
        let endpoints = [("10.0.0.1", "v1"), ("10.0.0.2", "v2")];
        r.service_entries[0] = service("reviews", "reviews.default.svc.cluster.local", &endpoints);
    });
    let world = in_force(&resources);
    let rules = world.snapshot.inbound("10.0.0.1:8080".parse().unwrap()).unwrap();
    assert_eq!(rules.services().count(), 2);
    assert_eq!(at(&world, "10.0.0.1:8080", "reviews", "/").as_deref(), Some("v1"));
    assert_eq!(at(&world, "10.0.0.1:8080", "elsewhere", "/").as_deref(), Some("?"));
}
