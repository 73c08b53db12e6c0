//! A namespace that is not wanted any more is left as a whole agent is stopped: its clients are told, and come to the app;
//! those of other namespaces are not told anything.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{fs, net::SocketAddr};

use serde_json::Value;
use support::{Agent, Config, Connection, Nginx, Node, Pod, agent, eventually, upstream};

/// With nobody told, connections would be waited for this long.
const LONG: &str = "  drainTimeout: 10m";

struct World {
    _node: Node,
    left: Pod,
    kept: Pod,
    client: Pod,
    apps: [SocketAddr; 2],
    _servers: [Nginx; 2],
    copies: support::Upstream,
    agent: Agent,
    config: Config,
}

/// An agent in front of two apps, each in a namespace of its own, which speak this version.
fn world(version: &str) -> World {
    let node = Node::new();
    let (left, kept, shadow, client) =
        (node.pod("left"), node.pod("kept"), node.pod("shadow"), node.pod("client"));
    let copies = upstream(&shadow).replies("ok").start();
    let server = |pod: &Pod| {
        let http = format!(
            "  access_log off;\n  server {{ listen 8080{version}; location / {{ return 200 ok; }} }}"
        );
        Nginx::start(pod.netns(), (pod.ip(), 8080).into(), &http)
    };
    let servers = [server(&left), server(&kept)];
    let apps = [servers[0].address(), servers[1].address()];
    let config = Config::capture(&kept.netns().path(), apps[1])
        .also(apps[0])
        .mirror(copies.address(), 100.0)
        .agent(&format!("    - netns: {}\n{LONG}", left.netns().path()));
    let agent = agent(&node).config(&config).start();
    World { _node: node, left, kept, client, apps, _servers: servers, copies, agent, config }
}

impl World {
    /// The configuration no longer names the namespace.
    fn leave(&self) {
        let yaml = self.config.to_yaml(self.agent.admin());
        let line = format!("    - netns: {}\n", self.left.netns().path());
        let without = yaml.replace(&line, "");
        assert_ne!(without, yaml);
        fs::write(self.agent.config_path(), without).unwrap();
    }

    fn state(&self, pod: &Pod) -> Value {
        let output = self.agent.umbra(&["status", "-o", "json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        let namespaces = status["namespaces"].as_array().unwrap();
        let netns = pod.netns().path();
        let found = namespaces.iter().find(|namespace| namespace["netns"] == netns.as_str());
        found.map(|namespace| namespace["state"].clone()).unwrap_or_default()
    }

    fn eventually_withdrawn(&self) {
        eventually("the namespace to be as it was found, long before the deadline", || {
            self.state(&self.left).is_null().then_some(())
        });
        assert!(self.agent.log().contains("connections_cut=0"), "{}", self.agent.log());
        assert_eq!(self.state(&self.kept), "enrolled");
    }
}

#[test]
fn clients_of_http1_are_told_by_the_next_response() {
    let world = world("");
    let [mut told, mut untold] = world.apps.map(|app| world.client.connect(app));
    for wire in [&mut told, &mut untold] {
        assert_eq!(ask(wire), None);
    }
    world.copies.eventually_received(2);

    world.leave();
    eventually("it to be left", || (world.state(&world.left) == "leaving").then_some(()));

    assert_eq!(ask(&mut told).as_deref(), Some("close"));
    assert!(told.read_to_end().unwrap().is_empty());
    assert_eq!(ask(&mut untold), None, "the other namespace stays");
    world.copies.eventually_received(4);
    assert_eq!(ask(&mut world.client.connect(world.apps[0])), None, "a new connection meets the app itself");
    world.eventually_withdrawn();
    assert_eq!(ask(&mut untold), None);
    world.copies.eventually_received(5);
    assert_eq!(world.copies.count(), 5, "the app was asked once without the agent");
}

/// Asks once; what the response says of its connection, other than that it is kept.
fn ask(wire: &mut Connection) -> Option<String> {
    wire.send("GET / HTTP/1.1\r\nHost: app\r\n\r\n");
    let reply = wire.reply();
    assert_eq!(reply.text(), "ok");
    let connection = reply.headers.get("connection").map(|value| value.to_str().unwrap().to_owned());
    connection.filter(|value| value != "keep-alive")
}

#[test]
fn clients_of_http2_are_told_at_once() {
    const GOAWAY: u8 = 7;
    let world = world(" http2");
    let [mut told, mut untold] = world.apps.map(|app| world.client.connect(app));
    for wire in [&mut told, &mut untold] {
        wire.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").send([0, 0, 0, 4, 0, 0, 0, 0, 0]);
        // GET / of `a`, by the static table (RFC 7541 appendix A).
        wire.send([0, 0, 6, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84, 0x41, 0x01, b'a']);
        while frame(wire) != (0, 1) {}
    }
    world.copies.eventually_received(2);

    world.leave();

    while frame(&mut told).0 != GOAWAY {}
    drop(told);
    world.eventually_withdrawn();
    untold.send([0, 0, 8, 6, 0, 0, 0, 0, 0]).send([0; 8]);
    assert_eq!(frame(&mut untold).0, 6, "a ping is answered; nothing came before");
}

/// The next frame that says something: its type, and whether its stream is over.
fn frame(wire: &mut Connection) -> (u8, u8) {
    loop {
        let head = wire.read(9);
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        wire.read(length);
        // SETTINGS and WINDOW_UPDATE come when the server likes.
        if !matches!(head[3], 4 | 8) {
            return (head[3], head[4] & 1);
        }
    }
}
