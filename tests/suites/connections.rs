//! Many connections through one agent: held idle, and opened and closed as fast as it goes. None fails, and when they are
//! gone the agent has the descriptors and, but for a little, the memory it had before.
//!
//! `UMBRA_CONNECTIONS=20000` holds so many instead of 2,000 where a process may have the files: two for each, and a tenth of
//! the limit more.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a suite fails where it stands and says what it found"
)]

use std::{
    fs,
    net::SocketAddr,
    time::{Duration, Instant},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use support::{Agent, Asking, Config, Connection, Load, Node, Pod, Upstream, agent, eventually, upstream};

const CHURNED: u64 = 5000;

struct World {
    _node: Node,
    _app: Pod,
    _shadow: Pod,
    client: Pod,
    primary: Upstream,
    _copies: Upstream,
    agent: Agent,
}

/// An agent in the path; nothing is copied, so that all it holds is for connections.
fn world() -> World {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    for pod in [&app, &client] {
        pod.netns().run(|| fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000").unwrap());
    }
    let (primary, copies) = (upstream(&app).replies("ok").start(), upstream(&shadow).replies("ok").start());
    let config = Config::capture(&app.netns().path(), primary.address()).mirror(copies.address(), 0.0001);
    let agent = agent(&node).config(&config).start();
    // What is only made for the first of all.
    client.get(primary.address(), "/");
    World { _node: node, _app: app, _shadow: shadow, client, primary, _copies: copies, agent }
}

impl World {
    fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.agent.pid())).unwrap().count()
    }

    fn verdicts(&self, verdict: &str) -> f64 {
        self.agent.metrics().sum(&format!("umbra_capture_verdicts_total{{verdict=\"{verdict}\"}}"))
    }

    /// Connections that the agent was offered. On a machine that stands still for a second, its dead-man switch leaves
    /// some to the app.
    fn offered(&self) -> f64 {
        self.verdicts("assigned") + self.verdicts("stale")
    }

    /// Waits until the agent has as many as before. One more may be a connection to its window.
    fn eventually_has(&self, descriptors: usize) {
        eventually(&format!("{descriptors} descriptors again"), || {
            (self.descriptors() <= descriptors + 1).then_some(())
        });
    }
}

fn open(client: &Pod, server: SocketAddr) -> Connection {
    let mut wire = client.connect(server);
    ask(&mut wire);
    wire
}

fn ask(wire: &mut Connection) {
    wire.send("GET /held HTTP/1.1\r\nHost: app\r\n\r\n");
    assert_eq!(wire.reply().text(), "ok");
}

#[test]
fn idle_connections_are_held_by_the_thousand() {
    let wanted: u32 = std::env::var("UMBRA_CONNECTIONS").map_or(2000, |count| count.parse().unwrap());
    let world = world();
    let (descriptors, memory) = (world.descriptors(), world.agent.memory());

    let begun = Instant::now();
    let mut held: Vec<_> = (0..wanted).map(|_| open(&world.client, world.primary.address())).collect();
    let opened = begun.elapsed();

    assert!(world.offered() >= f64::from(wanted), "{} of {wanted} were offered", world.offered());
    let (of_each, resident) = (world.descriptors() - descriptors, world.agent.memory());
    println!(
        "{wanted} idle connections: opened within {opened:.1?}; {} KiB and {:.2} descriptors for each, {:.1} MiB in all",
        resident.saturating_sub(memory) / 1024 / u64::from(wanted),
        of_each as f64 / f64::from(wanted),
        resident as f64 / 1048576.0,
    );
    held.iter_mut().for_each(ask);
    drop(held);
    world.eventually_has(descriptors);
    eventually("the agent to give memory back", || {
        let kept = world.agent.memory().saturating_sub(memory);
        (kept < 1024 * u64::from(wanted)).then_some(())
    });
}

#[test]
fn connections_come_and_go_by_the_thousand() {
    let world = world();
    let (descriptors, offered) = (world.descriptors(), world.offered());

    let begun = Instant::now();
    let load = Load::of(world.client.netns(), world.primary.address(), &[Asking::Fresh; 8]);
    load.eventually_answers(CHURNED);
    let (report, took) = (load.stop(), begun.elapsed());

    assert!(report.failures.is_empty(), "{report:?}");
    assert!(world.offered() - offered >= report.answered as f64);
    assert!(world.verdicts("assigned") > world.verdicts("stale"));
    println!(
        "{} connections, one request on each: {:.0} per second, none failed, {} left to the app",
        report.answered,
        report.answered as f64 / took.max(Duration::from_millis(1)).as_secs_f64(),
        world.verdicts("stale"),
    );
    world.eventually_has(descriptors);
}
