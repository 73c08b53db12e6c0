//! Promise 1: the primary is never hurt, whatever the shadow is. Each shadow here is bad in its own way and meets every
//! load; the primary's bytes stay the same on both sides, memory stays bounded and the books exact. With `--nocapture`
//! each test prints what it measured.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod clients;
mod logs;
mod names;
mod primary;
mod said;
mod shadows;
mod slow;
mod trial;

use std::{io::Write as _, net::TcpStream, time::Duration};

use clients::Load;
use shadows::{GIB, Way, shadow};
use support::{Metrics, Node, agent, eventually, upstream};
use trial::{Ends, PARALLEL, Setting, World, mib, outcomes, trial};

const FAILED: Ends = Ends::As("outcome=\"failed\"");

#[test]
fn a_healthy_shadow_for_comparison() {
    served("healthy", Way::Healthy, Ends::Completed);
}

#[test]
fn an_absent_shadow() {
    // Nobody has this address, and the node says so.
    let absent = |_: &Node, _: &_| Setting::new("10.98.200.1:9".parse().unwrap(), ());
    trial("absent", Ends::As("outcome=\"failed\",reason=\"connect\""), absent);
}

#[test]
fn a_shadow_that_refuses() {
    trial("refusing", Ends::As("outcome=\"failed\",reason=\"connect\""), |_, shadow| {
        let refusing = shadow.refusing();
        Setting::new(refusing.address(), refusing)
    });
}

#[test]
fn a_black_holed_shadow() {
    trial("black-holed", FAILED, |node, shadow| Setting::new(node.black_hole(shadow), ()));
}

#[test]
fn a_shadow_that_accepts_and_never_reads() {
    served("accepts, never reads", Way::NeverReads, FAILED);
}

#[test]
fn a_shadow_that_never_answers() {
    served("reads, never answers", Way::NeverAnswers, Ends::As("outcome=\"failed\",reason=\"timeout\""));
}

#[test]
fn a_shadow_that_answers_one_byte_per_second() {
    served("one byte per second", Way::BytePerSecond, FAILED);
}

#[test]
fn a_shadow_that_resets() {
    served("resets", Way::Resets, FAILED);
}

#[test]
fn a_shadow_that_resets_mid_response() {
    served("resets mid-response", Way::ResetsMidResponse, FAILED);
}

#[test]
fn a_shadow_whose_response_never_ends() {
    served("endless response", Way::Endless, FAILED);
}

#[test]
fn a_shadow_whose_responses_are_a_gibibyte() {
    served("1 GiB responses", Way::OneGib, FAILED);
}

#[test]
fn a_shadow_that_answers_garbage() {
    served("garbage", Way::Garbage, FAILED);
}

#[test]
fn a_shadow_that_answers_500() {
    served("500s", Way::Answers500, Ends::Completed);
}

#[test]
fn a_shadow_that_speaks_tls() {
    served("TLS where none is expected", Way::SpeaksTls, FAILED);
}

#[test]
fn a_shadow_asked_for_tls_that_speaks_none() {
    const RULE: &str = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shadow, namespace: default}\n\
                        spec: {host: shadow-0.test, trafficPolicy: {tls: {mode: SIMPLE, insecureSkipVerify: true}}}\n";
    trial("TLS asked of a plain server", Ends::As("outcome=\"failed\",reason=\"tls\""), |_, pod| {
        let plain = upstream(pod).replies("ok").start();
        Setting { objects: RULE, ..Setting::new(plain.address(), plain) }
    });
}

fn served(kind: &str, way: Way, ends: Ends) {
    trial(kind, ends, |_, pod| {
        let shadow = shadow(pod, way);
        Setting::new(shadow.address, shadow)
    });
}

#[test]
fn what_a_thousand_connections_cost_by_themselves() {
    let world = World::new("1s", |_, pod| {
        let shadow = shadow(pod, Way::Healthy);
        Setting::new(shadow.address, shadow)
    });
    assert!(world.agent.umbra(&["pause", "--all"]).status.success());
    let before = world.agent.memory_at_rest();
    let (metrics, peak) = world.bear(PARALLEL, 0);
    let (growth, ends) = (mib(peak, before), outcomes(&metrics, &Metrics::default()));
    println!("{:32} {:24} +{growth:5.1} MiB {ends}", "paused", PARALLEL.name);
    // They were read by the relay, and none was copied.
    let offered = metrics.sum("umbra_shadow_offered_total");
    let paused = metrics.sum("umbra_shadow_outcomes_total{reason=\"paused\"}");
    assert!(offered > 4000.0 && (paused - offered).abs() < 0.5, "of {offered} {ends}");
    // Measured: 3. It would be 8 if each connection kept 8 KiB, be it one answer or a small buffer.
    assert!(growth < 8.0, "1,000 connections without copies took {growth:.1} MiB");
}

#[test]
fn a_response_of_a_gibibyte_is_read_to_its_end_and_not_kept() {
    let world = World::new("100s", |_, pod| {
        let shadow = shadow(pod, Way::OneGib);
        Setting::new(shadow.address, shadow)
    });
    let (before, memory) = (world.agent.memory_at_rest(), world.agent.watch_memory());
    let one = Load { name: "one request", connections: 1, requests: 1, body: 0 };
    assert_eq!(one.run(&world.client, world.primary.address), Vec::<String>::new());
    let completed = "umbra_shadow_outcomes_total{outcome=\"completed\"}";
    eventually(&format!("{GIB} bytes to be read"), || {
        (world.agent.metrics().sum(completed) > 0.5).then_some(())
    });
    world.agent.accounting_is_exact();
    let growth = mib(memory.stop(), before);
    assert!(growth < 8.0, "reading a response of 1 GiB took {growth:.1} MiB");
}

#[test]
fn a_shadow_that_dies_and_returns_is_mirrored_to_again() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let port = copies.port();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let mut kept = client.client(primary.address());
    kept.get("/before");
    copies.eventually_received(1);

    drop(copies);
    for _ in 0..20 {
        assert_eq!(kept.get("/between").status, 200);
    }
    agent.accounting_is_exact();
    let copies = upstream(&shadow).replies("ok").port(port).start();
    assert_eq!(kept.get("/after").status, 200);

    assert_eq!(copies.eventually_received(1)[0].target, "/after");
    agent.accounting_is_exact();
    assert!(kept.get("/last").took < Duration::from_secs(5));
}

#[test]
fn an_upload_its_client_breaks_off_cancels_its_copy() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    let mut uploading = client.netns().run(|| TcpStream::connect(primary.address())).unwrap();
    uploading.write_all(b"POST / HTTP/1.1\r\nHost: app\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    agent.eventually("umbra_shadow_in_flight", 1);
    drop(uploading);

    agent.eventually("umbra_shadow_outcomes_total{outcome=\"dropped\",reason=\"cancelled\"}", 1);
    agent.accounting_is_exact();
    assert_eq!(copies.count(), 0);
}
