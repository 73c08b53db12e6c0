//! Levels, by every rule that makes them.

use std::sync::Arc;

use super::*;
use crate::{
    config::{Report, Resources, read},
    record::Accounts,
    route::{Compilation, Snapshot},
};

fn here(locality: &str) -> Here {
    Here { node: Some("n1".into()), locality: locality.parse().unwrap() }
}

/// An endpoint of a slice: its node, its zone, and the zones it is hinted for.
fn slice(node: &str, zone: &str, hints: &[&str]) -> SliceEndpoint {
    SliceEndpoint {
        addresses: Vec::new(),
        ready: true,
        serving: true,
        terminating: false,
        pod: None,
        node: Some(node.into()),
        zone: Some(zone.into()),
        for_zones: hints.iter().map(|&zone| zone.into()).collect(),
        for_nodes: Vec::new(),
    }
}

fn of_slices(here: &Here, preference: Preference<'_>, endpoints: &[SliceEndpoint]) -> Vec<u8> {
    let near: Vec<_> = endpoints.iter().map(|endpoint| Nearness::of_slice(here, endpoint)).collect();
    levels(here, preference, &near.iter().collect::<Vec<_>>())
}

/// Of endpoints with these localities.
fn of_workloads(here: &Here, preference: Preference<'_>, localities: &[&str]) -> Vec<u8> {
    let near = localities.iter().map(|&locality| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {{name: a}}\nspec: {{address: 10.0.0.1, locality: '{locality}'}}\n"
        );
        let mut resources = Resources::default();
        read("a.yaml", &text, &mut resources, &mut Report::default());
        Nearness::of_workload(here, &resources.workload_entries[0].endpoint)
    });
    let near: Vec<_> = near.collect();
    levels(here, preference, &near.iter().collect::<Vec<_>>())
}

#[test]
fn a_service_says_that_its_zone_or_its_node_comes_first() {
    let endpoints = [slice("n2", "a", &[]), slice("n3", "b", &[]), slice("n1", "a", &[])];
    let by = |distribution| of_slices(&here("eu/a"), Preference::Distribution(distribution), &endpoints);
    assert_eq!(by(TrafficDistribution::PreferSameZone), [0, 1, 0]);
    assert_eq!(by(TrafficDistribution::PreferSameNode), [1, 2, 0]);
}

#[test]
fn hints_count_where_each_endpoint_has_them_and_one_is_for_this_zone() {
    let by = |hints: [&[&str]; 3]| {
        let endpoints = hints.map(|hints| slice("n", "x", hints));
        of_slices(&here("eu/a"), Preference::Hints { or_locality: false }, &endpoints)
    };
    assert_eq!(by([&["a"], &["b"], &["b", "a"]]), [0, 1, 0]);
    assert_eq!(by([&["a"], &[], &["b"]]), [0, 0, 0]);
    assert_eq!(by([&["b"], &["b"], &["c"]]), [0, 0, 0]);
}

#[test]
fn hints_for_nodes_come_before_those_for_zones() {
    let for_node = |node: &str| SliceEndpoint { for_nodes: vec![node.into()], ..slice(node, "a", &["a"]) };
    let preference = Preference::Hints { or_locality: false };
    assert_eq!(of_slices(&here("eu/a"), preference, &["n1", "n2"].map(for_node)), [0, 1]);
    assert_eq!(of_slices(&here("eu/a"), preference, &["n3", "n2"].map(for_node)), [0, 0]);
}

#[test]
fn a_locality_is_near_by_as_much_as_it_has_in_common() {
    let localities = ["us/x", "eu/b/r", "eu/a/r2", "eu/a/r1", ""];
    let preference = Preference::Locality(&[]);
    assert_eq!(of_workloads(&here("eu/a/r1"), preference, &localities), [3, 2, 1, 0, 3]);
    assert_eq!(of_workloads(&here("asia/x"), preference, &["us/x", "eu/b"]), [0, 0], "no number is left out");
}

#[test]
fn a_region_may_name_the_one_that_follows_it() {
    let failover = |from: &str| [Failover { from: from.into(), to: "us".into() }];
    let localities = ["asia/x", "us/x", "eu/b", ""];
    let by = |failover: &[Failover]| of_workloads(&here("eu/a"), Preference::Locality(failover), &localities);
    assert_eq!(by(&failover("eu")), [2, 1, 0, 2]);
    assert_eq!(by(&failover("asia")), [1, 1, 0, 1]);
}

#[test]
fn while_nobody_knows_where_the_agent_is_everything_is_as_near() {
    let endpoints = [slice("n2", "a", &["a"]), slice("n3", "b", &["b"])];
    let nowhere = Here::default();
    for preference in [
        Preference::Locality(&[]),
        Preference::Hints { or_locality: true },
        Preference::Distribution(TrafficDistribution::PreferSameNode),
    ] {
        assert_eq!(of_slices(&nowhere, preference, &endpoints), [0, 0], "{preference:?}");
    }
}

#[test]
fn in_istio_a_locality_is_preferred_only_where_endpoints_can_fail() {
    let rule = |text: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a}}\nspec: {{host: a, trafficPolicy: {{loadBalancer: {{localityLbSetting: {text}}}}}}}\n"
        );
        let mut resources = Resources::default();
        read("a.yaml", &text, &mut resources, &mut Report::default());
        resources
            .destination_rules
            .remove(0)
            .traffic_policy
            .unwrap()
            .blocks
            .load_balancer
            .unwrap()
            .locality
            .unwrap()
    };
    let (plain, off) = (rule("{enabled: true}"), rule("{enabled: false}"));
    let distribute = rule("{distribute: [{from: eu/*, to: {us/*: 100}}]}");
    let preferred = |rule, ejects| {
        let preference = Preference::new(rule, ejects, None);
        of_workloads(&here("eu/a"), preference, &["us/x", "eu/a"]) == [1, 0]
    };
    assert!(preferred(Some(&plain), true) && preferred(None, true));
    assert!(!preferred(Some(&plain), false) && !preferred(None, false));
    assert!(!preferred(Some(&off), true) && !preferred(Some(&distribute), true));
}

#[test]
fn a_locality_has_three_parts_at_most() {
    let parts = |text: &str| text.parse::<Locality>().map(|it| [it.region, it.zone, it.sub_zone].join(" "));
    assert_eq!((parts("eu/a").unwrap(), parts("/a").unwrap()), ("eu a ".into(), " a ".into()));
    assert!(parts("").is_err() && parts("a/b/c/d").is_err());
}

#[test]
fn the_endpoints_of_a_mirror_have_their_levels() {
    let text = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app}
spec:
  hosts: [app.test]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: v1
kind: Service
metadata: {name: shadow}
spec: {ports: [{name: http, port: 80}], trafficDistribution: PreferClose}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shadow-1, labels: {kubernetes.io/service-name: shadow}}
addressType: IPv4
endpoints: [{addresses: [10.0.9.1], zone: b}, {addresses: [10.0.9.2], zone: a}]
ports: [{name: http, port: 8080}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: app}
spec:
  hosts: [app.test]
  http:
  - route: [{destination: {host: app.test}}]
    mirror: {host: shadow}
";
    let compiled = |here: Here| -> Snapshot {
        let (mut resources, mut report) = (Resources::default(), Report::default());
        read("a.yaml", text, &mut resources, &mut report);
        let parts = vec![Arc::new(resources)];
        let snapshot = Compilation::at(here).compile(parts, &Accounts::default(), &mut report);
        assert!(!report.has_errors(), "{report:?}");
        snapshot
    };
    let levels = |snapshot: &Snapshot| -> Vec<_> {
        let shadows = snapshot.clusters().iter().find(|cluster| cluster.name.contains("shadow")).unwrap();
        shadows.endpoints.iter().map(|endpoint| format!("{endpoint} {}", endpoint.level)).collect()
    };
    assert_eq!(levels(&compiled(here("eu/a"))), ["10.0.9.1:8080 1", "10.0.9.2:8080 0"]);
    assert_eq!(levels(&compiled(Here::default())), ["10.0.9.1:8080 0", "10.0.9.2:8080 0"]);
}
