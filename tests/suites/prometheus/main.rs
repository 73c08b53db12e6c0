//! The tools people already have: a real Prometheus scrapes a real agent, and what the usual queries say agrees with what
//! clients and servers counted themselves; what is shipped for Grafana and Prometheus finds its data.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod cost;
mod figures;
mod program;
mod scene;
mod shipped;

use std::process::Command;

use figures::{Figures, Side};
use program::Prometheus;
use scene::Scene;
use support::eventually;

/// How far what Prometheus says may be from what others counted.
const TOLERANCE: f64 = 0.02;

#[test]
fn p95_error_rate_and_throughput_of_both_versions_are_what_clients_and_servers_counted() {
    let scene = Scene::new();
    let prometheus = Prometheus::scraping(&scene.node, scene.agent.admin());
    scene.load(40);
    let before = settled(&scene, &prometheus);
    scene.forget();

    let asked = scene.load(1000);
    let after = settled(&scene, &prometheus);

    let sides =
        [("v1", "destination", Side::of(&asked)), ("v2", "source", Side::of(&scene.shadow.answers()))];
    assert_eq!(scene.primary.answers().len(), 1000);
    for (version, reporter, counted) in sides {
        let told = Figures::of(&prometheus, version, (before, after));
        let counted = counted.figures(after - before);
        println!("{version}: counted {counted:?}, Prometheus says {told:?}");
        for (what, counted, told) in [
            ("throughput", counted.throughput, told.throughput),
            ("error rate", counted.error_rate, told.error_rate),
            ("p95", counted.p95, told.p95),
        ] {
            let off = (told / counted - 1.0).abs();
            assert!(off <= TOLERANCE, "{what} of {version}: {told}, not {counted}");
        }
        let other =
            format!("istio_requests_total{{destination_version=\"{version}\",reporter!=\"{reporter}\"}}");
        assert!(prometheus.query(&other).is_empty(), "{version} is told of by its {reporter} alone");
    }
    let known =
        "istio_requests_total{source_app=\"web\",source_version=\"v3\",destination_service_name=\"my-app\"}";
    assert_eq!(prometheus.query(known).len(), 4, "two versions, each with two codes, and who asked is known");
    scene.agent.accounting_is_exact();
}

/// Waits until every copy has ended and Prometheus has seen it. Returns the moment, in seconds since 1970.
fn settled(scene: &Scene, prometheus: &Prometheus) -> f64 {
    scene.agent.accounting_is_exact();
    let requests = scene.agent.metrics().sum("istio_requests_total");
    eventually("Prometheus to have scraped all of it", || {
        let seen: f64 = prometheus.query("istio_requests_total").iter().map(|sample| sample.value).sum();
        ((seen - requests).abs() < 0.5).then(Prometheus::now)
    })
}

#[test]
fn every_query_of_the_dashboard_and_of_the_rules_returns_data() {
    let scene = Scene::new();
    let prometheus = Prometheus::scraping(&scene.node, scene.agent.admin());
    // Until each rate has two points, and more requests lie between them.
    scene.load(30);
    scene.be_odd();
    settled(&scene, &prometheus);
    scene.load(30);
    scene.be_odd();
    settled(&scene, &prometheus);

    for query in shipped::of_dashboard() {
        let answer = || Some(prometheus.query(&query)).filter(|found| !found.is_empty());
        eventually(&format!("data for {query}"), answer);
    }
    let rules = prometheus.rules();
    assert!(rules.len() >= 14, "{rules:?}");
    for rule in rules {
        let query = shipped::without_threshold(&rule);
        let answer = || Some(prometheus.query(query)).filter(|found| !found.is_empty());
        eventually(&format!("data for {query}"), answer);
    }
    assert_eq!(prometheus.unhealthy_rules(), Vec::<String>::new());
}

#[test]
fn a_traced_request_can_be_looked_up_from_its_latency() {
    let scene = Scene::new();
    let prometheus = Prometheus::scraping(&scene.node, scene.agent.admin());
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let mut client = scene.client.client(scene.primary.address()).header("host", scene::HOST);
    client = client.header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    client.get("/1");
    settled(&scene, &prometheus);

    let found = prometheus.exemplars("istio_request_duration_milliseconds_bucket");

    assert!(found.iter().any(|it| it == &("v1".to_owned(), trace.to_owned())), "{found:?}");
    // What a browser or curl gets has none: only OpenMetrics can say it.
    let plain = scene.agent.ask("/metrics").unwrap();
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.text().contains(trace) && !plain.text().contains("# EOF"));
}

#[test]
fn promtool_has_nothing_to_say_but_of_istios_own_unit() {
    let scene = Scene::new();
    scene.load(20);
    scene.be_odd();
    scene.agent.accounting_is_exact();
    let text = scene.agent.ask("/metrics").unwrap().text();

    let complaints = shipped::promtool(&["check", "metrics"], &text);

    let unit = "use base unit \"seconds\" instead of \"milliseconds\"";
    let mut complaints: Vec<_> = complaints.lines().collect();
    complaints.sort_unstable();
    assert_eq!(
        complaints,
        [
            format!("istio_request_duration_milliseconds {unit}"),
            format!("umbra_shadow_duration_milliseconds {unit}")
        ]
    );
}

#[test]
fn the_rules_that_are_shipped_are_tested() {
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "rules.test.yaml"]] {
        let folder = shipped::folder().join("prometheus");
        let output = Command::new("promtool").args(arguments).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }
}
