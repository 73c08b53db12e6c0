//! Promises 3 and 5 on real traffic: the app cannot tell, copies equal their primaries, and everything is accounted
//! for; in every way an app may listen.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    io::{Read as _, Write as _},
    process::{Child, Stdio},
};

use support::{
    AgentBuilder, Body, Client, Config, Node, Pod, Received, Upstream, UpstreamBuilder, agent, binary,
    chunked, eventually, upstream,
};

/// What a copy has that its primary has not, or the other way round.
const DOCUMENTED: [&str; 2] = ["x-umbra-shadow", "connection"];

fn assert_same(primary: &Received, copy: &Received) {
    assert_eq!((&primary.method, &primary.target, &primary.body), (&copy.method, &copy.target, &copy.body));
    let headers = |received: &Received| {
        let mut headers = received.headers.clone();
        for name in DOCUMENTED {
            headers.remove(name);
        }
        headers
    };
    assert_eq!(headers(primary), headers(copy));
    assert_eq!(copy.header("x-umbra-shadow"), "1", "a copy is marked");
}

fn by_target(upstream: &Upstream, count: usize) -> Vec<Received> {
    let mut received = upstream.eventually_received(count);
    received.sort_by(|a, b| a.target.cmp(&b.target));
    received
}

#[test]
fn copies_equal_their_primaries_over_both_families() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    for (app_ip, client_ip) in [(app.ip(), client.ip()), (app.ip6(), client.ip6())] {
        let primary = UpstreamBuilder::new(app.netns(), app_ip).start();
        let copies = upstream(&shadow).start();
        let agent = agent(&node).mirror_all(&primary, &copies).start();

        let mut wire = client.connect(primary.address());
        wire.send(
            "GET /1?q=%20x HTTP/1.1\r\nHost: shop.example:8080\r\nCookie: a=b\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n",
        );
        wire.reply();
        wire.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
        wire.reply();
        let chunks = chunked([&b"abc"[..], &[b'x'; 70_000], b"defg"]);
        wire.send("PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").send(chunks);
        wire.reply();
        wire.send("DELETE /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        wire.reply();

        let (primaries, copied) = (by_target(&primary, 4), by_target(&copies, 4));
        for (primary, copy) in primaries.iter().zip(&copied) {
            assert_same(primary, copy);
            assert_eq!(primary.peer.ip(), client_ip, "the app sees its client");
            assert_eq!(primary.peer.port(), wire.local_address().port(), "and the client's port");
        }
        assert_eq!(copied[0].header("host"), "shop.example:8080");
        assert_eq!(copied[2].body, Body::of(&[b"abc", &[b'x'; 70_000][..], b"defg"].concat()));
        agent.eventually("umbra_shadow_outcomes_total{outcome=\"completed\"}", 4);
        agent.accounting_is_exact();
        drop(wire);
        assert!(agent.stop().success());
    }
}

#[test]
fn pipelined_requests_in_small_pieces_are_each_copied_once() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    let mut requests = Vec::new();
    for number in 10..60 {
        requests.extend(
            format!("POST /{number} HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\nbody-{number}").bytes(),
        );
    }

    let mut wire = client.connect(primary.address());
    wire.send_in_pieces(&requests, 23, 1);
    for _ in 10..60 {
        assert_eq!(wire.reply().status, 200);
    }

    for (primary, copy) in by_target(&primary, 50).iter().zip(&by_target(&copies, 50)) {
        assert_same(primary, copy);
    }
    agent.accounting_is_exact();
}

#[test]
fn an_app_bound_to_one_address_is_mirrored_too() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).only_on(app.ip()).start(), upstream(&shadow).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    assert_eq!(client.get(primary.address(), "/").status, 200);

    assert_same(&primary.eventually_received(1)[0], &copies.eventually_received(1)[0]);
    assert_eq!(primary.received()[0].peer.ip(), client.ip());
    agent.accounting_is_exact();
}

#[test]
fn an_app_on_loopback_alone_is_mirrored_for_its_own_pod_and_exposed_to_nobody() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let localhost = [127, 0, 0, 1].into();
    let primary = UpstreamBuilder::new(app.netns(), localhost).only_on(localhost).start();
    let copies = upstream(&shadow).start();
    // Every address of the pod: the capture that could expose it.
    let everywhere = (std::net::Ipv4Addr::UNSPECIFIED, primary.port()).into();
    let config = Config::capture(&app.netns().path(), everywhere).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config).start();

    assert_eq!(app.get(primary.address(), "/inside").status, 200);
    assert_same(&primary.eventually_received(1)[0], &copies.eventually_received(1)[0]);
    let from_outside = Client::new(client.netns(), (app.ip(), primary.port()).into());
    let outside = { from_outside }.send(http::Method::GET, "/outside", b"");
    assert!(outside.is_err(), "an app bound to loopback answered a remote client");
    assert_eq!(primary.count(), 1);
    agent.accounting_is_exact();
}

#[test]
fn an_app_in_the_host_namespace_is_mirrored() {
    let node = Node::new();
    let (shadow, client) = (node.pod("shadow"), node.pod("client"));
    let gateway = support::Subnet(2).v4(1);
    let primary = UpstreamBuilder::new(node.netns(), gateway).start();
    let copies = upstream(&shadow).start();
    let config = Config::capture("host", primary.address()).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config).start();

    assert_eq!(client.get(primary.address(), "/").status, 200);

    assert_same(&primary.eventually_received(1)[0], &copies.eventually_received(1)[0]);
    assert_eq!(primary.received()[0].peer.ip(), client.ip());
    agent.accounting_is_exact();
}

#[test]
fn only_ports_that_a_rule_mirrors_are_captured() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies, other) =
        (upstream(&app).start(), upstream(&shadow).start(), upstream(&app).start());
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    assert_eq!(client.get(other.address(), "/").status, 200);
    let metrics = agent.metrics();
    assert!(metrics.sum("umbra_capture_verdicts_total{verdict=\"assigned\"}") < 0.5);
    assert!(metrics.sum("umbra_capture_verdicts_total{verdict=\"not_captured\"}") > 0.5);

    assert_eq!(client.get(primary.address(), "/").status, 200);
    agent.eventually("umbra_capture_verdicts_total{verdict=\"assigned\"}", 1);
}

#[test]
fn an_exempt_source_goes_to_the_app_directly() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent(&format!("    exempt: [{}]", client.ip()));
    let agent = agent(&node).config(&config).start();

    assert_eq!(client.get(primary.address(), "/").status, 200);

    agent.eventually("umbra_capture_verdicts_total{verdict=\"exempt\"}", 1);
    assert!(agent.metrics().sum("umbra_shadow_offered_total") < 0.5);
}

#[test]
fn a_server_that_speaks_first_is_heard_at_once() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app)
        .speaks(|mut connection| {
            connection.write_all(b"220 hello\r\n").unwrap();
            connection.read_until(b"QUIT\r\n");
            connection.write_all(b"221 bye\r\n").unwrap();
        })
        .start();
    let copies = upstream(&shadow).start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    let mut wire = client.connect(primary.address());
    assert_eq!(wire.read(11), b"220 hello\r\n");
    wire.send("QUIT\r\n");
    assert_eq!(wire.read_to_end().unwrap(), b"221 bye\r\n");

    agent.eventually("umbra_unread_connections_total", 1);
    agent.eventually("umbra_connections_total{protocol=\"opaque\"}", 1);
    assert_eq!(copies.count(), 0);
}

#[test]
fn what_is_ambiguous_reaches_the_app_untouched_and_the_shadow_not_at_all() {
    let smuggled = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app)
        .speaks(|mut connection| {
            let mut rest = Vec::new();
            connection.read_to_end(&mut rest).unwrap();
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        })
        .start();
    let copies = upstream(&shadow).start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();

    let mut wire = client.connect(primary.address());
    wire.send(smuggled).finish();
    let answer = wire.read_to_end().unwrap();

    assert_eq!(answer, b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(primary.transcripts(), [smuggled.to_vec()]);
    agent.eventually("umbra_unread_connections_total", 1);
    assert!(agent.metrics().sum("umbra_shadow_offered_total") < 0.5);
    assert_eq!(copies.count(), 0);
}

#[test]
fn an_app_that_does_not_listen_refuses_as_it_would_without_us() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let absent = app.refusing();
    let copies = upstream(&shadow).start();
    let config = Config::capture(&app.netns().path(), absent.address()).mirror(copies.address(), 100.0);
    let agent = agent(&node).config(&config).start();

    // The first connection finds out, by a reset; for the moment after it the kernel itself refuses.
    let first = client.netns().connect(absent.address()).map(|mut stream| stream.read(&mut [0; 1]));
    assert!(first.is_err() || first.is_ok_and(|read| read.is_err()));
    eventually("a native refusal", || {
        let refused = client.netns().connect(absent.address()).err()?;
        (refused.kind() == std::io::ErrorKind::ConnectionRefused).then_some(())
    });
    assert!(agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"released\"}") > 0.5);
}

#[test]
fn half_of_the_requests_are_copied_when_half_are_asked_for() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 50.0);
    let agent = agent(&node).config(&config).start();

    let mut kept = client.client(primary.address());
    for _ in 0..2_000 {
        kept.get("/");
    }

    agent.eventually("umbra_shadow_offered_total", 2_000);
    agent.accounting_is_exact();
    // Seven standard deviations of the binomial on each side: fails once in 10^11 runs.
    assert!((843..=1157).contains(&copies.count()), "{} of 2000", copies.count());
}

#[test]
fn the_quick_form_mirrors_a_port_without_any_file() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let (primary, copies) = (upstream(&app).start(), upstream(&shadow).start());
    let admin = AgentBuilder::new(app.netns()).admin();
    let mut running = Killed(
        app.netns()
            .command(binary())
            .args(["run", "--port", &primary.port().to_string(), "--percent", "100"])
            .args(["--mirror", &format!("http://{}", copies.address()), "--admin", &admin.to_string()])
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    eventually("the agent to be ready", || ready(&app, admin).then_some(()));

    assert_eq!(client.get(primary.address(), "/quick").status, 200);

    assert_same(&primary.eventually_received(1)[0], &copies.eventually_received(1)[0]);
    assert_eq!(primary.received()[0].peer.ip(), client.ip());
    assert!(running.0.try_wait().unwrap().is_none());
}

fn ready(pod: &Pod, admin: std::net::SocketAddr) -> bool {
    pod.client(admin).send(http::Method::GET, "/readyz", b"").is_ok_and(|reply| reply.status == 200)
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
