//! umbra for whoever may do nothing: `nobody`, without a capability, tries it with plain listeners in front of the apps. All
//! of the agent but the kernel's part is there, and what cannot work says so and what to do.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a suite fails where it stands and says what it found"
)]

use std::{
    net::{Ipv4Addr, SocketAddr},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::Output,
};

use nix::sys::signal::Signal;
use serde_json::Value;
use support::{
    Agent, Asking, Config, Load, Nginx, Node, Pod, Upstream, agent, eventually, umbra_as_nobody, upstream,
};
use tempfile::TempDir;

const APP: u16 = 8081;

/// A node on which somebody tries umbra: an app in front of which it is to stand, clients elsewhere.
struct World {
    node: Node,
    client: Pod,
    _shadow: Pod,
    app: Nginx,
    copies: Upstream,
    dir: TempDir,
}

impl World {
    fn new() -> Self {
        let node = Node::new();
        let (client, shadow) = (node.pod("client"), node.pod("shadow"));
        let http = format!(
            "  access_log off;\n  keepalive_requests 1000000000;\n  server {{ listen 127.0.0.1:{APP} backlog=4096; location / {{ return 200 ok; }} }}"
        );
        let app = Nginx::start(node.netns(), (Ipv4Addr::LOCALHOST, APP).into(), &http);
        let copies = upstream(&shadow).replies("ok").start();
        let dir = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(dir.path(), Some(65534), Some(65534)).unwrap();
        Self { node, client, _shadow: shadow, app, copies, dir }
    }

    /// Where clients find it: the node's address on their side.
    fn front(&self) -> SocketAddr {
        (support::Subnet(1).v4(1), 8080).into()
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    fn config(&self) -> Config {
        Config::direct((Ipv4Addr::UNSPECIFIED, 8080).into(), self.app.address())
            .mirror(self.copies.address(), 100.0)
            .socket(&self.socket())
    }

    fn agent(&self) -> Agent {
        agent(&self.node).config(&self.config()).unprivileged().start()
    }

    /// An agent that cannot start: how it ended, and what it said.
    fn refused(&self, config: &Config) -> (Option<i32>, String) {
        let mut agent = agent(&self.node).config(config).unprivileged().spawn();
        let status = eventually("the agent to give up", || agent.exit_status());
        (status.code(), agent.log())
    }
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn nobody_mirrors_without_a_privilege() {
    let world = World::new();
    let agent = world.agent();
    let status = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    for nothing in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "Uid:\t65534"] {
        assert!(status.contains(nothing), "{status}");
    }

    assert_eq!(world.client.get(world.front(), "/first").text(), "ok");
    assert_eq!(world.copies.eventually_received(1)[0].target, "/first");

    let status: Value = serde_json::from_str(&said(&agent.umbra(&["status", "-o", "json"]))).unwrap();
    let listener = &status["namespaces"][0];
    assert_eq!(
        (&listener["netns"], &listener["state"]),
        (&"direct 0.0.0.0:8080".into(), &"listening".into())
    );
    assert!(listener["why"].as_str().unwrap().contains("127.0.0.1:8081"), "{status:#}");
    assert!(said(&agent.umbra(&["mirrors"])).contains("shadow-0.test"));
    UnixStream::connect(world.socket()).unwrap();

    said(&agent.umbra(&["pause", "--all"]));
    assert_eq!(world.client.get(world.front(), "/paused").text(), "ok");
    said(&agent.umbra(&["resume", "--all"]));
    assert_eq!(world.client.get(world.front(), "/resumed").text(), "ok");
    let copied = world.copies.eventually_received(2);
    assert_eq!(copied[1].target, "/resumed", "{copied:?}");
    agent.accounting_is_exact();

    let mut kept = world.client.connect(world.front());
    kept.send("GET /kept HTTP/1.1\r\nHost: app\r\n\r\n");
    kept.reply();
    agent.signal(Signal::SIGTERM);
    eventually("it to drain", || (!agent.is_ready()).then_some(()));
    kept.send("GET /last HTTP/1.1\r\nHost: app\r\n\r\n");
    let last = kept.reply();
    assert_eq!((last.text().as_str(), last.headers["connection"].as_bytes()), ("ok", &b"close"[..]));
    let log = agent.log();
    assert!(agent.stop().success(), "{log}");
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
}

#[test]
fn an_upgrade_under_load_loses_nothing() {
    let world = World::new();
    let mut running = world.agent();
    let clients = [Asking::Fresh, Asking::Fresh, Asking::Fresh, Asking::Renewed, Asking::Renewed];
    let load = Load::of(world.client.netns(), world.front(), &clients);
    let rounds = 3;
    for _ in 0..rounds {
        load.eventually_answers(200);
        let config = world.config();
        let mut successor = agent(&world.node).follows(&running).config(&config).unprivileged().spawn();
        eventually("the successor to be ready", || {
            assert!(successor.exit_status().is_none(), "{}", successor.log());
            successor.log().contains("umbra is ready").then_some(())
        });
        load.eventually_answers(200);
        assert!(running.stop().success());
        running = successor;
        eventually("the successor's window", || running.is_ready().then_some(()));
        load.eventually_answers(200);
    }
    let report = load.stop();
    println!("{rounds} upgrades of plain listeners: {} requests answered, none failed", report.answered);
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    assert!(!running.log().contains("cannot be left"), "{}", running.log());
}

#[test]
fn the_doctor_says_that_plain_listeners_work() {
    let world = World::new();
    let output = umbra_as_nobody(world.node.netns(), &["doctor"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    let mode = text.lines().last().unwrap();
    assert!(mode.starts_with("Mode: direct.") && mode.contains("spec.capture.direct"), "{text}");

    let output = umbra_as_nobody(world.node.netns(), &["doctor", "-o", "json"]);
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["mode"], "direct");
}

#[test]
fn what_cannot_work_says_what_to_do() {
    let world = World::new();
    let mirroring = |config: Config| config.mirror(world.copies.address(), 100.0);
    let direct = |listen: SocketAddr| mirroring(Config::direct(listen, world.app.address()));
    for (config, what, advice) in [
        (
            mirroring(Config::capture("host", world.app.address())),
            "network namespace host",
            "spec.capture.direct",
        ),
        (direct(([0, 0, 0, 0], 80).into()), "listen on 0.0.0.0:80", "CAP_NET_BIND_SERVICE"),
        (direct(world.app.address()), "leads back to the listener", "at which the app itself listens"),
        (direct(([0, 0, 0, 0], APP).into()), "leads back to the listener", "at which the app itself listens"),
        (direct(([192, 0, 2, 1], 8080).into()), "listen on 192.0.2.1:8080", "no interface"),
    ] {
        let (code, log) = world.refused(&config);
        assert_eq!(code, Some(1), "{log}");
        assert!(log.contains(what) && log.contains(advice), "{what}, {advice}:\n{log}");
    }
    let taken = world.node.netns().listen(([127, 0, 0, 1], 0).into());
    let (_, log) = world.refused(&direct(taken.local_addr().unwrap()));
    assert!(log.contains("somebody listens there already"), "{log}");
}
