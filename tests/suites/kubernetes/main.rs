//! Rules from a cluster: what is created, changed and deleted at the API server takes effect within a second, under traffic;
//! and whatever becomes of the API server, no request and no mirror is lost.
//!
//! Against a real API server where KUBEBUILDER_ASSETS names one, else against a stub. The server is away for some seconds as a
//! rule; `UMBRA_OUTAGE_SECONDS=300 cargo test -p umbra-tests --test kubernetes outage -- --nocapture` makes it five minutes.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod credentials;
mod place;
mod status;
mod world;

use std::{
    env, fs, thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::json;
use support::{Agent, ApiServer, eventually};
use world::{RULES, SERVICE, SHOP, World, cluster, mirror_to, rule, state, subsets};

/// A cluster with rules that mirror to v2, an agent that follows it.
fn mirroring(world: &World, server: &ApiServer) -> Agent {
    server.install(&RULES);
    world.populate(server);
    server.apply(&subsets());
    server.apply(&mirror_to("v2"));
    world.agent(server).start()
}

#[test]
fn what_changes_takes_effect_within_a_second_under_traffic() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    server.apply(&subsets());
    let agent = world.agent(&server).start();
    let load = world.load();
    load.eventually_answers(50);
    let mut took = Vec::new();

    server.apply(&mirror_to("v2"));
    took.push(("a rule is created", world.until_copied_to(2)));
    server.apply(&mirror_to("v3"));
    took.push(("a rule is changed", world.until_copied_to(3)));

    // The pod of v3 is replaced by one with another label: v3 has no endpoints.
    let mut relabelled = world.pod(3);
    relabelled["metadata"]["labels"]["version"] = "v4".into();
    server.apply(&relabelled);
    let start = Instant::now();
    agent_drops(&agent);
    took.push(("a label is changed", start.elapsed()));
    server.apply(&world.pod(3));
    took.push(("a label is changed back", world.until_copied_to(3)));

    server.apply(&world.slice(&[1, 2]));
    let start = Instant::now();
    agent_drops(&agent);
    took.push(("an endpoint is taken out of its slice", start.elapsed()));
    server.apply(&world.slice(&[1, 2, 3]));
    took.push(("an endpoint is put into its slice", world.until_copied_to(3)));

    server.delete(&world.pod(3));
    let start = Instant::now();
    agent_drops(&agent);
    took.push(("a pod is deleted", start.elapsed()));
    server.apply(&world.pod(3));
    took.push(("a pod is created", world.until_copied_to(3)));

    server.delete(&mirror_to("v3"));
    let start = Instant::now();
    eventually("nothing to be captured", || {
        let captured = agent.ask("/api/v1/status").unwrap().text();
        captured.contains("\"portCount\":0").then_some(())
    });
    took.push(("a rule is deleted", start.elapsed()));

    for (what, took) in &took {
        println!("{what}: in effect after {} ms", took.as_millis());
    }
    let report = load.stop();
    println!("{} requests answered, {} failed", report.answered, report.failures.len());
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    agent.accounting_is_exact();
    assert!(agent.stop().success());
}

/// Waits until a copy more had nowhere to go.
fn agent_drops(agent: &Agent) {
    let nowhere = || {
        let metrics = agent.metrics();
        let ended = metrics.select("umbra_shadow_outcomes_total{reason=\"no_endpoint\"}");
        ended.map(|sample| sample.value).sum::<f64>()
    };
    let before = nowhere();
    eventually("a copy without an endpoint", || (nowhere() > before + 0.5).then_some(()));
}

#[test]
fn an_outage_of_the_api_server_loses_no_request_and_no_mirror() {
    let seconds = env::var("UMBRA_OUTAGE_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(6);
    let world = World::new();
    let mut server = ApiServer::start(world.node.netns());
    let agent = mirroring(&world, &server);
    let load = world.load();
    world.until_copied_to(2);

    server.go_away();
    let away = Instant::now();
    eventually("the outage to be told of", || (state(&agent, "VirtualService") == "away").then_some(()));
    let (answered, copies) = (load.answered(), world.shadow(2).count());
    while away.elapsed() < Duration::from_secs(seconds) {
        world.until_copied_to(2);
        thread::sleep(Duration::from_millis(100));
    }
    let (answered, copies) = (load.answered() - answered, world.shadow(2).count() - copies);
    let age = agent
        .metrics()
        .select("umbra_cluster_age_seconds{kind=\"VirtualService\"}")
        .map(|it| it.value)
        .sum::<f64>();
    let told = agent.umbra(&["status"]);
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(told.contains("is away") && told.contains("stay in force"), "{told}");
    assert!(agent.is_ready(), "what is known is in force");

    server.come_back();
    server.apply(&mirror_to("v3"));
    // As long as client-go waits between two attempts, at most.
    let back = Instant::now();
    while world.shadow(3).count() == 0 && back.elapsed() < Duration::from_secs(45) {
        thread::sleep(Duration::from_millis(20));
    }
    println!("a change after {seconds} s of outage: in effect after {:.1?}", back.elapsed());
    world.until_copied_to(3);
    eventually("every kind to be followed", || {
        let cluster = cluster(&agent);
        let kinds = cluster["kinds"].as_array().unwrap();
        kinds
            .iter()
            .all(|kind| matches!(kind["state"].as_str(), Some("following" | "notInstalled")))
            .then_some(())
    });

    let report = load.stop();
    agent.accounting_is_exact();
    let metrics = agent.metrics();
    let [read, offered, completed] = [
        "umbra_requests_total",
        "umbra_shadow_offered_total",
        "umbra_shadow_outcomes_total{outcome=\"completed\"}",
    ]
    .map(|name| metrics.sum(name));
    println!(
        "away for {seconds} s (told as {age} s): {answered} requests answered and {copies} copied meanwhile; in all {} \
         answered, {} failed, {read} read, {offered} offered, {completed} copied",
        report.answered,
        report.failures.len()
    );
    let ended = metrics.select("umbra_shadow_outcomes_total").filter(|sample| sample.value > 0.0);
    ended.for_each(|it| println!("{} {}: {}", it.labels["outcome"], it.labels["reason"], it.value));
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    // A busy machine may leave copies out, which an outage must not: every request has its rule, and the rule its endpoints.
    let nowhere = metrics.sum("umbra_shadow_outcomes_total{reason=\"no_endpoint\"}");
    assert!((read - offered).abs() < 0.5 && nowhere < 0.5, "{nowhere} had nowhere to go\n{}", agent.log());
    assert!(agent.stop().success());
}

#[test]
fn away_at_the_start_nothing_is_captured_until_it_is_there() {
    let world = World::new();
    let mut server = ApiServer::start(world.node.netns());
    server.install(&RULES);
    world.populate(&server);
    server.apply(&subsets());
    server.apply(&mirror_to("v2"));
    server.go_away();
    let agent = world.agent(&server).spawn();
    let load = world.load();

    eventually("the agent to have started", || agent.log().contains("umbra is ready").then_some(()));
    assert!(!agent.is_ready());
    let why = agent.ask("/readyz").unwrap().text();
    assert!(
        why.contains("the cluster's configuration is not known: ") && why.contains("VirtualService"),
        "{why}"
    );
    assert_eq!(world.shadow(2).count(), 0);

    server.come_back();
    let back = Instant::now();
    while world.shadow(2).count() == 0 && back.elapsed() < Duration::from_secs(45) {
        thread::sleep(Duration::from_millis(20));
    }
    world.until_copied_to(2);
    eventually("the agent to be ready", || agent.is_ready().then_some(()));
    let report = load.stop();
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    agent.accounting_is_exact();
}

#[test]
fn kinds_that_are_installed_later_are_picked_up() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    world.populate(&server);
    let agent = world.agent(&server).start();
    assert_eq!(state(&agent, "VirtualService"), "notInstalled");

    server.install(&RULES);
    server.apply(&subsets());
    server.apply(&mirror_to("v2"));
    // It would look by itself within a minute.
    agent.signal(Signal::SIGHUP);
    eventually("the kind to be followed", || (state(&agent, "VirtualService") == "following").then_some(()));
    let load = world.load();
    world.until_copied_to(2);
    assert!(load.stop().failures.is_empty());
}

#[test]
fn a_faulty_object_holds_back_nobody_elses_change() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    let agent = mirroring(&world, &server);
    let load = world.load();
    world.until_copied_to(2);

    // Faults that reading finds, and that compiling finds.
    let mut unreadable = rule("other", &json!([]));
    unreadable["spec"]["hosts"] = json!(["other"]);
    unreadable["spec"]["http"][0]["mirrorPercentage"] = json!({"value": 130});
    server.apply(&unreadable);
    let mut uncompilable = mirror_to("v2");
    uncompilable["spec"]["http"][0]["match"] = json!([{"uri": {"regex": "("}}]);
    server.apply(&uncompilable);
    eventually("both faults", || (cluster(&agent)["faultCount"] == 2).then_some(()));
    let told = String::from_utf8_lossy(&agent.umbra(&["status"]).stdout).into_owned();
    for part in [
        "VirtualService shop/other: ",
        "130",
        "it is left out",
        "VirtualService shop/cart: ",
        "stays in force",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    // Its last version without a fault.
    world.until_copied_to(2);

    server.apply(&mirror_to("v3"));
    world.until_copied_to(3);
    // One of its mirrors leads nowhere: the other is in force.
    let nowhere = json!([
        {"destination": {"host": "nobody"}},
        {"destination": {"host": "cart", "subset": "v2"}},
    ]);
    server.apply(&rule("cart", &nowhere));
    eventually("the mirror that leads nowhere is told of", || {
        let told = cluster(&agent)["faults"].to_string();
        (told.contains("nobody") && told.contains("this mirror is left out")).then_some(())
    });
    world.until_copied_to(2);
    server.delete(&unreadable);
    server.apply(&mirror_to("v2"));
    eventually("no fault", || (cluster(&agent)["faultCount"] == 0).then_some(()));
    assert!(load.stop().failures.is_empty());
    agent.accounting_is_exact();
}

#[test]
fn what_stands_in_a_file_wins() {
    let world = World::new();
    let server = ApiServer::start(world.node.netns());
    let agent = mirroring(&world, &server);
    let load = world.load();
    world.until_copied_to(2);

    let file = fs::read_to_string(agent.config_path()).unwrap();
    fs::write(agent.config_path(), format!("{file}---\n{}\n", mirror_to("v3"))).unwrap();
    world.until_copied_to(3);
    assert_eq!(cluster(&agent)["overruled"], json!(["VirtualService shop/cart"]));
    let told = String::from_utf8_lossy(&agent.umbra(&["status"]).stdout).into_owned();
    assert!(told.contains("VirtualService shop/cart: stands in a file too"), "{told}");
    let dumped = String::from_utf8_lossy(&agent.umbra(&["config", "dump"]).stdout).into_owned();
    assert!(dumped.contains("kind: DestinationRule") && dumped.contains("subset: v3"), "{dumped}");

    // Faults in the file leave the file as it was, and the cluster goes on.
    fs::write(agent.config_path(), format!("{file}---\nkind: Nonsense\n")).unwrap();
    eventually("the refusal", || agent.log().contains("the last good one stays in force").then_some(()));
    server.apply(&world.slice(&[1, 2]));
    agent_drops(&agent);
    fs::write(agent.config_path(), &file).unwrap();
    world.until_copied_to(2);
    assert!(load.stop().failures.is_empty());
}

/// Only the stub can be told to.
mod misbehaving {
    use super::*;

    #[test]
    fn a_server_that_forgot_what_was_is_listed_anew() {
        let world = World::new();
        let mut server = ApiServer::stub(world.node.netns());
        let agent = mirroring(&world, &server);
        let load = world.load();
        world.until_copied_to(2);

        server.go_away();
        server.forget();
        server.come_back();
        server.apply(&mirror_to("v3"));
        world.until_copied_to(3);
        server.delete(&mirror_to("v3"));
        server.forget();
        eventually("nothing to be captured", || {
            agent.ask("/api/v1/status").unwrap().text().contains("\"portCount\":0").then_some(())
        });
        assert!(load.stop().failures.is_empty());
        agent.accounting_is_exact();
    }

    #[test]
    fn an_old_and_slow_server_is_listed_in_pages() {
        let world = World::new();
        let server = ApiServer::stub(world.node.netns());
        server.stream_no_lists();
        server.hobble(Duration::from_millis(300), 1);
        let agent = mirroring(&world, &server);
        let load = world.load();
        world.until_copied_to(2);
        let asked = server.asked();
        assert!(
            asked.iter().any(|line| line.contains("/services?") && !line.contains("watch=true")),
            "{asked:#?}"
        );
        assert!(asked.iter().any(|line| line.contains("continue=1")), "{asked:#?}");
        server.apply(&mirror_to("v3"));
        world.until_copied_to(3);
        assert!(load.stop().failures.is_empty());
        agent.accounting_is_exact();
    }

    #[test]
    fn no_more_is_asked_for_than_a_node_needs() {
        let world = World::new();
        let server = ApiServer::stub(world.node.netns());
        let agent = mirroring(&world, &server);
        let load = world.load();
        world.until_copied_to(2);
        let asked = server.asked();
        let of_pods: Vec<_> =
            asked.iter().filter(|line| line.contains("/pods?") && line.starts_with("GET")).collect();
        let [labels, node] =
            [format!("labelSelector=app={}", SERVICE.name), "fieldSelector=spec.nodeName=".to_owned()];
        assert!(of_pods.iter().all(|line| line.contains(&labels) || line.contains(&node)), "{of_pods:#?}");
        assert!(of_pods.iter().any(|line| line.contains(&labels)), "the subset's pods: {of_pods:#?}");
        let objects = |kind: &str| {
            let cluster = cluster(&agent);
            let kinds = cluster["kinds"].as_array().unwrap().clone();
            kinds.iter().find(|row| row["kind"] == kind).map_or(0, |row| row["objects"].as_u64().unwrap())
        };
        assert_eq!((objects("Pod"), objects("PodLabels")), (1, 3));
        // Without a subset no labels are asked for any more.
        server.apply(&rule(
            "cart",
            &json!([{"destination": {"host": format!("cart.{SHOP}.svc.cluster.local")}}]),
        ));
        eventually("the labels to be left", || (objects("PodLabels") == 0).then_some(()));
        assert!(load.stop().failures.is_empty());
    }
}
