//! Promise 1: the primary is never hurt, whatever the shadow is. Each shadow here is bad in its own way; the primary's
//! answers stay whole and the books exact.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    any::Any,
    io::Write as _,
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use support::{Agent, Body, Config, Node, Pod, Upstream, agent, upstream};

const REQUESTS: usize = 200;
const UPLOAD: usize = 4 << 20;

#[test]
fn an_absent_shadow() {
    // Nobody has this address, and the node says so.
    bad_shadow("{outcome=\"failed\",reason=\"connect\"}", |_, _| {
        ("10.98.200.1:9".parse().unwrap(), Box::new(()))
    });
}

#[test]
fn a_shadow_that_refuses() {
    bad_shadow("{outcome=\"failed\",reason=\"connect\"}", |_, shadow| {
        let refusing = shadow.refusing();
        (refusing.address(), Box::new(refusing))
    });
}

#[test]
fn a_black_holed_shadow() {
    bad_shadow("{outcome=\"failed\"}", |node, shadow| (node.black_hole(shadow), Box::new(())));
}

#[test]
fn a_shadow_that_never_answers() {
    bad_server("{outcome=\"failed\",reason=\"timeout\"}", |shadow| upstream(shadow).never_answers().start());
}

#[test]
fn a_shadow_that_resets() {
    bad_server("{outcome=\"failed\"}", |shadow| upstream(shadow).resets().start());
}

#[test]
fn a_shadow_that_answers_garbage() {
    bad_server("{outcome=\"failed\"}", |shadow| upstream(shadow).answers_garbage().start());
}

fn bad_server(ends: &str, start: impl Fn(&Pod) -> Upstream) {
    bad_shadow(ends, |_, shadow| {
        let server = start(shadow);
        (server.address(), Box::new(server))
    });
}

/// Plain requests, then uploads, through an agent whose shadow is bad.
fn bad_shadow(ends: &str, start: impl Fn(&Node, &Pod) -> (SocketAddr, Box<dyn Any>)) {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).start();
    let (shadow_address, _running) = start(&node, &shadow);
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(shadow_address, 100.0)
        .agent("  shadow: {timeout: 1s, connectTimeout: 500ms}\n");
    let agent = agent(&node).config(&config).start();

    let mut kept = client.client(primary.address());
    for number in 0..REQUESTS {
        let reply = kept.get(&format!("/plain/{number}"));
        assert_eq!(reply.status, 200);
    }
    let upload: Vec<u8> = (0..UPLOAD).map(|at| u8::try_from(at % 251).unwrap()).collect();
    for number in 0..3 {
        let reply = kept.post(&format!("/upload/{number}"), &upload);
        assert_eq!(reply.status, 200);
    }

    let received = primary.eventually_received(REQUESTS + 3);
    assert!(received[REQUESTS..].iter().all(|request| request.body == Body::of(&upload)));
    assert!(received.iter().all(|request| request.peer.ip() == client.ip()));
    settled(&agent, ends);
}

/// Every copy has ended, and in the way expected of this shadow.
fn settled(agent: &Agent, ends: &str) {
    agent.accounting_is_exact();
    let metrics = agent.metrics();
    let offered = metrics.sum("umbra_shadow_offered_total");
    let total = u32::try_from(REQUESTS + 3).unwrap();
    assert!((offered - f64::from(total)).abs() < 0.5, "{offered} offered");
    assert!(metrics.sum(&format!("umbra_shadow_outcomes_total{ends}")) > 0.0, "{:?}", metrics.samples);
    assert!(metrics.sum("umbra_shadow_outcomes_total{outcome=\"completed\"}") < 0.5);
    assert!(metrics.sum("umbra_shadow_queue_bytes") < 0.5, "bytes are held for copies that ended");
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
