//! What a rule mirrors: shares, destinations, and what keeps it from mirroring.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use super::build::*;
use crate::{
    config::{
        Code, Resources,
        istio::{HttpRoute, Retries},
    },
    route::{Decision, Mirror},
};

const V2: &str = "outbound|80|v2|my-app.default.svc.cluster.local";

fn one(change: impl FnOnce(&mut HttpRoute)) -> World {
    compile(&app(vec![rule("it", vec![]).with(change)]))
}

fn shares(change: impl FnOnce(&mut HttpRoute)) -> Vec<u32> {
    one(change).mirrors().into_iter().map(|(_, share)| share).collect()
}

/// Trap 2.
#[test]
fn a_share_is_the_percentage_else_the_percent_else_all() {
    assert_eq!(shares(|_| {}), [1_000_000]);
    assert_eq!(shares(|r| r.mirror_percent = Some(Box::new(written(30)))), [300_000]);
    assert_eq!(shares(|r| r.mirror_percentage = percent(0.57)), [5_699]);
    assert_eq!(
        shares(|r| {
            r.mirror_percentage = percent(50.0);
            r.mirror_percent = Some(Box::new(written(30)));
        }),
        [500_000]
    );
    assert_eq!(
        shares(|r| {
            r.mirror_percentage = percent(0.0);
            r.mirror_percent = Some(Box::new(written(30)));
        }),
        [0; 0]
    );
    assert_eq!(shares(|r| r.mirror_percentage = percent(None)), [0; 0]);
    assert_eq!(shares(|r| r.mirror_percent = Some(Box::new(written(0)))), [0; 0]);
    assert_eq!(shares(|r| r.mirror_percentage = percent(0.00005)), [0; 0]);
}

/// Trap 2: `mirrorPercentage` does not reach `mirrors`.
#[test]
fn mirrors_have_shares_of_their_own_and_keep_their_order() {
    let world = one(|r| {
        r.mirror = None;
        r.mirror_percentage = percent(1.0);
        r.mirrors = vec![
            policy("my-app/v2", None),
            policy("my-app/v1", percent(25.0)),
            policy("my-app", percent(0.0)),
        ];
    });
    let v1 = V2.replace("v2", "v1");
    assert_eq!(world.mirrors(), [(V2.to_owned(), 1_000_000), (v1, 250_000)]);
    assert_eq!(world.codes(), [Code::MirrorsNothing, Code::LiveShadow]);
}

#[test]
fn an_entry_of_mirrors_without_a_destination_is_skipped() {
    let world = one(|r| r.mirrors = vec![policy("my-app", None).with(|p| p.destination = None)]);
    assert_eq!(world.mirrors().len(), 1);
}

/// Trap 21.
#[test]
fn a_rule_that_answers_by_itself_never_mirrors() {
    let redirected = one(|r| r.redirect = Some(redirect()));
    let direct = one(|r| r.direct_response = Some(direct_response()));
    for world in [redirected, direct] {
        assert_eq!(world.mirrors(), []);
        assert_eq!(world.codes(), [Code::MirrorsNothing, Code::NothingMirrored]);
    }
}

#[test]
fn a_rule_whose_delegate_is_missing_produces_nothing_and_does_not_end_the_list() {
    let delegating = rule("delegate", vec![]).with(|r| r.delegate = Some(delegate("other")));
    let world = compile(&app(vec![delegating, rule("next", vec![])]));
    assert_eq!(world.rule_for(&get("/")), "next");
    assert_eq!(world.codes(), [Code::Delegation]);
}

/// Trap 17.
#[test]
fn without_any_known_primary_nothing_is_mirrored() {
    let world = one(|r| r.route = vec![route("my-app/v9", None)]);
    assert_eq!(world.mirrors(), []);
    assert_eq!(world.codes(), [Code::UnknownPrimary, Code::NothingMirrored]);
    let world = one(|r| r.route = vec![route("my-app/v9", Some(1)), route("my-app/v1", Some(1))]);
    assert_eq!(world.mirrors().len(), 1);
    assert_eq!(world.codes(), [Code::UnknownPrimary]);
}

/// Trap 7.
#[test]
fn a_weight_of_zero_removes_one_of_several_destinations_but_not_the_only_one() {
    let single = one(|r| r.route = vec![route("my-app/v1", Some(0))]);
    assert_eq!(single.mirrors().len(), 1);
    let of_several = one(|r| r.route = vec![route("my-app/v1", None), route("nowhere", Some(100))]);
    assert_eq!(of_several.mirrors(), []);
}

fn mirror_of(world: &World) -> Arc<Mirror> {
    let rules = world.snapshot.inbound("10.0.0.1:8080".parse().unwrap()).unwrap();
    get("/").read(|head| match rules.decide(head, CLIENT) {
        Decision::Rule(rule) => Arc::clone(&rule.mirrors[0]),
        other => panic!("{other:?}"),
    })
}

fn endpoints(world: &World) -> Vec<String> {
    mirror_of(world).cluster.endpoints.iter().map(ToString::to_string).collect()
}

#[test]
fn a_subset_selects_the_endpoints_that_have_all_of_its_labels() {
    assert_eq!(endpoints(&one(|_| {})), ["10.0.0.2:8080"]);
    let whole = one(|r| r.mirror = Some(destination("my-app")));
    assert_eq!(mirror_of(&whole).cluster.endpoints.len(), 2);
    assert_eq!(mirror_of(&whole).cluster.name, "outbound|80||my-app.default.svc.cluster.local");
}

#[test]
fn an_endpoint_serves_a_port_where_it_says_so_by_the_ports_name() {
    let resources = app(vec![rule("it", vec![])])
        .with(|r| assert_eq!(r.service_entries[0].endpoints[1].ports.insert("http".into(), 9000), None));
    assert_eq!(endpoints(&in_force(&resources)), ["10.0.0.2:9000"]);
}

/// Trap 16.
#[test]
fn a_mirrors_port_is_the_one_written_else_the_only_one_else_the_primarys() {
    let with = |ports: &[u16], number: Option<u16>| {
        let rule = rule("it", vec![]).with(|r| {
            r.mirror = Some(destination("shadow.example.com").with(|d| d.port = number.map(written)));
        });
        let shadow = service("shadow", "shadow.example.com", &[("10.0.0.9", "v1")])
            .with(|s| s.ports = ports.iter().map(|&p| port(p, "http", "HTTP", p)).collect());
        compile(&app(vec![rule]).with(|r: &mut Resources| r.service_entries.push(shadow)))
    };
    let port = |world: World| endpoints(&world)[0].rsplit(':').next().unwrap().parse::<u16>().unwrap();
    assert_eq!(port(with(&[80, 9090], Some(9090))), 9090);
    assert_eq!(port(with(&[9090], None)), 9090);
    assert_eq!(port(with(&[9090, 80], None)), 80);
    assert_eq!(with(&[9090, 9091], None).codes(), [Code::UnknownPort]);
    assert_eq!(with(&[80], Some(81)).codes(), [Code::UnknownPort]);
}

#[test]
fn equal_destinations_share_a_cluster_and_keep_books_of_their_own() {
    let twice = |r: &mut HttpRoute| {
        r.mirror = None;
        r.mirrors = vec![policy("my-app/v2", None), policy(&format!("{APP}/v2"), percent(1.0))];
    };
    let world = in_force(&app(vec![rule("it", vec![on_path(prefix("/a"))]), rule("it", vec![]).with(twice)]));
    let rules = world.snapshot.inbound("10.0.0.1:8080".parse().unwrap()).unwrap();
    let mirrors = get("/").read(|head| match rules.decide(head, CLIENT) {
        Decision::Rule(rule) => rule.mirrors.clone(),
        other => panic!("{other:?}"),
    });
    assert!(Arc::ptr_eq(&mirrors[0].cluster, &mirrors[1].cluster));
    let keys: Vec<_> =
        world.accounts.all().iter().map(|a| format!("{}|{}", a.key.rule.rule, a.key.mirror)).collect();
    let (v2, second) = (format!("{APP}:80/v2"), format!("{APP}:80/v2#2"));
    assert_eq!(keys, [format!("it|{v2}"), format!("it#2|{v2}"), format!("it#2|{second}")]);
}

#[test]
fn compiling_again_keeps_the_accounts() {
    let resources = app(vec![rule("a", vec![on_path(prefix("/a"))]), rule("b", vec![])]);
    let first = in_force(&resources);
    let (before, mut report) = (first.accounts.all(), crate::config::Report::default());
    let second = crate::route::Snapshot::compile(&resources, &first.accounts, &mut report);
    let after = first.accounts.all();
    assert_eq!(before.len(), 2);
    assert!(before.iter().zip(&after).all(|(a, b)| Arc::ptr_eq(a, b)));
    drop((first.snapshot, before, after));
    first.accounts.forget_unused();
    assert_eq!(first.accounts.all().len(), 2);
    drop(second);
    first.accounts.forget_unused();
    assert!(first.accounts.all().is_empty());
}

#[test]
fn an_unnamed_rule_is_known_by_its_index() {
    let unnamed = |path| rule("", vec![on_path(exact(path))]).with(|r| r.name = None);
    let world = in_force(&app(vec![unnamed("/a"), unnamed("/b")]));
    assert_eq!(world.rule_for(&get("/b")), "1");
}

/// Trap 5.
#[test]
fn a_share_is_of_the_rules_requests_wherever_its_weights_sent_them() {
    let rare = rule("rare", vec![on_path(prefix("/a"))]).with(|r| {
        r.route = vec![route("my-app/v1", Some(90)), route("my-app/v3", Some(10))];
        r.mirror_percentage = percent(10.0);
    });
    let never = rule("never", vec![]).with(|r| r.mirror = None);
    let mut resources = app(vec![rare, never]);
    let endpoints = [("10.0.0.1", "v1"), ("10.0.0.2", "v2"), ("10.0.0.3", "v3")];
    resources.service_entries[0] = service("my-app", APP, &endpoints);
    resources.destination_rules = vec![versions("my-app", APP, &["v1", "v2", "v3"])];
    let world = in_force(&resources);
    let mirrors = |address: &str, path: &str| {
        let rules = world.snapshot.inbound(address.parse().unwrap()).unwrap();
        get(path).read(|head| match rules.decide(head, CLIENT) {
            Decision::Rule(rule) => rule.mirrors.clone(),
            other => panic!("{other:?}"),
        })
    };
    let [one, three] = ["10.0.0.1:8080", "10.0.0.3:8080"].map(|address| mirrors(address, "/a")[0].clone());
    assert_eq!((one.share.0, three.share.0), (100_000, 100_000));
    assert!(Arc::ptr_eq(&one.account, &three.account), "one book for the rule");
    assert!(
        mirrors("10.0.0.1:8080", "/other").is_empty(),
        "requests of another rule are no part of the whole"
    );
}

/// Trap 14: copies go straight to the endpoints of the mirror's destination.
#[test]
fn a_virtual_service_of_the_mirrors_host_is_never_applied_to_copies() {
    let of_shadow = |http| virtual_service("shadow", "shadow.example.com", http);
    let to_elsewhere = rule("elsewhere", vec![]).with(|r| {
        r.route = vec![route("my-app/v1", None)];
        r.mirror = None;
    });
    let with = |virtual_services: Vec<_>| {
        let to_shadow = rule("it", vec![]).with(|r| r.mirror = Some(destination("shadow.example.com")));
        compile(&app(vec![to_shadow]).with(|r| {
            r.service_entries.push(service("shadow", "shadow.example.com", &[("10.0.0.9", "v1")]));
            r.virtual_services.extend(virtual_services);
        }))
    };
    let [plain, ruled] = [with(vec![]), with(vec![of_shadow(vec![to_elsewhere])])].map(|world| {
        let rules = world.snapshot.inbound("10.0.0.1:8080".parse().unwrap()).unwrap();
        get("/").read(|head| match rules.decide(head, CLIENT) {
            Decision::Rule(rule) => (rule.mirrors[0].cluster.endpoints.clone(), rule.mirrors.len()),
            other => panic!("{other:?}"),
        })
    });
    assert_eq!(plain, (vec!["10.0.0.9:8080".parse::<SocketAddr>().unwrap().into()], 1));
    assert_eq!(plain, ruled);
}

/// Trap 25.
#[test]
fn retries_and_the_timeout_of_the_rule_change_nothing_of_its_mirror() {
    let with = |retries: bool| {
        let world = compile(&app(vec![rule("it", vec![]).with(|r| {
            r.retries = retries.then(|| {
                Box::new(Retries {
                    at: here(),
                    attempts: Some(written(5)),
                    per_try_timeout: Some(written(Duration::from_millis(1))),
                    retry_on: Some(text("5xx")),
                    retry_remote_localities: None,
                    retry_ignore_previous_hosts: None,
                    backoff: None,
                })
            });
            r.timeout = retries.then(|| Box::new(written(Duration::from_millis(1))));
        })]));
        (world.mirrors(), world.codes())
    };
    assert_eq!(with(true), with(false));
}
