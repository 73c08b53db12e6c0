//! Promise 2, when the agent is hung, full or allowed little: nobody fails, and it says so.

#![allow(clippy::panic, clippy::unwrap_used, reason = "a suite fails where it stands")]

mod group;
mod hung;
mod privileges;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use group::Group;
use hung::Hung;
use support::{Agent, Config, Netns, Node, agent, eventually, upstream};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn one_hung_worker_costs_less_than_a_second_and_is_used_again() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  workers: 2\n");
    let agent = agent(&node).config(&config).start();
    ask(client.netns(), primary.address()).unwrap();

    let hung = Hung::thread(agent.pid(), "umbra-data-1");
    let began = Instant::now();
    let probes = thread::scope(|scope| {
        let mut running = Vec::new();
        while began.elapsed() < Duration::from_millis(2500) {
            let begun = began.elapsed();
            let probe = || ask_within(client.netns(), primary.address(), Duration::from_secs(2));
            running.push((begun, scope.spawn(probe)));
            thread::sleep(Duration::from_millis(10));
        }
        let ended = running.into_iter().map(|(begun, probe)| (begun, probe.join().unwrap().is_ok()));
        ended.collect::<Vec<_>>()
    });
    let log = agent.log();
    hung.wake();

    let failed: Vec<_> = probes.iter().filter(|(_, answered)| !answered).map(|(begun, _)| *begun).collect();
    println!(
        "one of two workers hung: {} of {} new connections failed, the last begun after {:?}",
        failed.len(),
        probes.len(),
        failed.last()
    );
    assert!(!failed.is_empty(), "the hung worker was never in the path");
    assert!(failed.iter().all(|begun| *begun < Duration::from_secs(1)), "{failed:?}");
    assert_eq!(log.matches("a data thread does not answer").count(), 1, "{log}");
    comes_back(&agent, client.netns(), primary.address());
}

#[test]
fn when_descriptors_run_out_new_connections_meet_the_app() {
    const FILES: usize = 450;
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let agent = agent(&node).mirror_all(&primary, &copies).after(&format!("ulimit -n {FILES}")).start();
    ask(client.netns(), primary.address()).unwrap();

    // All at once, and all of them kept.
    let kept = thread::scope(|scope| {
        let connect = || (0..100).map(|_| Kept::open(client.netns(), primary.address())).collect::<Vec<_>>();
        let clients: Vec<_> = (0..6).map(|_| scope.spawn(connect)).collect();
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    let mut kept: Vec<_> = kept.into_iter().collect::<Result<_, _>>().unwrap();
    kept.iter_mut().for_each(|connection| connection.ask().unwrap());

    let (shed, assigned) = (verdict(&agent, "shed"), verdict(&agent, "assigned"));
    println!(
        "{} connections with {FILES} descriptors: {assigned} captured, {shed} left to the app",
        kept.len()
    );
    assert!(shed >= 300.0 && assigned >= 50.0, "{shed} {assigned}");
    assert!((agent.metrics().sum("umbra_capture_shed{reason=\"descriptors\"}") - 1.0).abs() < 0.5);
    let told = "file descriptors run out";
    assert_eq!(agent.log().matches(told).count(), 1, "{}", agent.log());

    drop(kept);
    agent.eventually("umbra_capture_shed", 0);
    comes_back(&agent, client.netns(), primary.address());
    eventually("the end of it in the log", || (agent.log().matches(told).count() == 2).then_some(()));

    // None at all: nothing can be accepted, not even a question for metrics.
    limit_files(&agent, 8);
    eventually("the heart to notice", || (agent.log().matches(told).count() == 3).then_some(()));
    let received = copies.count();
    for _ in 0..50 {
        ask(client.netns(), primary.address()).unwrap();
    }
    assert_eq!(copies.count(), received, "nothing was captured");
    limit_files(&agent, FILES);
    comes_back(&agent, client.netns(), primary.address());
}

#[test]
fn when_memory_runs_out_copies_go_first_then_capture_and_both_come_back() {
    // Large beside what the agent itself takes.
    const LIMIT: u64 = 1 << 30;
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let group = Group::new(LIMIT);
    let agent = agent(&node).mirror_all(&primary, &copies).after(&group.enter()).start();
    ask(client.netns(), primary.address()).unwrap();
    copies.eventually_received(1);
    let pressed = "umbra_shadow_outcomes_total{reason=\"pressure\"}";
    let in_memory = "umbra_capture_shed{reason=\"memory\"}";

    let most = group.fill(LIMIT * 82 / 100);
    eventually("copies to be dropped", || {
        ask(client.netns(), primary.address()).unwrap();
        (agent.metrics().sum(pressed) >= 1.0).then_some(())
    });
    let assigned = verdict(&agent, "assigned");
    ask(client.netns(), primary.address()).unwrap();
    assert!(verdict(&agent, "assigned") > assigned, "primaries are still relayed");
    assert!(agent.metrics().sum(in_memory) < 0.5);

    let more = group.fill(LIMIT * 10 / 100);
    agent.eventually(in_memory, 1);
    let assigned = verdict(&agent, "assigned");
    for _ in 0..20 {
        ask(client.netns(), primary.address()).unwrap();
    }
    assert!((verdict(&agent, "assigned") - assigned).abs() < 0.5);
    assert!(verdict(&agent, "shed") >= 20.0);
    assert_eq!(agent.log().matches("memory comes near the limit").count(), 1, "{}", agent.log());

    drop((most, more));
    agent.eventually(in_memory, 0);
    comes_back(&agent, client.netns(), primary.address());
    let received = copies.count();
    ask(client.netns(), primary.address()).unwrap();
    copies.eventually_received(received + 1);
    agent.accounting_is_exact();
}

#[test]
fn when_ports_run_out_the_next_connections_meet_the_app() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let few = || std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "40000 40009");
    app.netns().run(few).unwrap();
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("    clientAddress: local\n");
    let agent = agent(&node).config(&config).start();

    let kept: Vec<_> = (0..60).map(|_| Kept::open(client.netns(), primary.address())).collect();

    let mut kept: Vec<_> = kept.into_iter().collect::<Result<_, _>>().unwrap();
    kept.iter_mut().for_each(|connection| connection.ask().unwrap());
    let (assigned, released) = (verdict(&agent, "assigned"), verdict(&agent, "released"));
    println!("60 connections with 10 ports: {assigned} captured, {released} left to the app");
    // Two of them are those of the agent's own listeners.
    assert!(assigned >= 8.0 && released >= 40.0, "{assigned} {released}");
    agent.eventually("umbra_capture_shed{reason=\"ports\"}", 1);
    assert_eq!(agent.log().matches("ip_local_port_range").count(), 1, "{}", agent.log());

    drop(kept);
    agent.eventually("umbra_capture_shed{reason=\"ports\"}", 0);
    comes_back(&agent, client.netns(), primary.address());
}

/// New connections are captured again.
pub(crate) fn comes_back(agent: &Agent, client: &Netns, server: SocketAddr) {
    let before = verdict(agent, "assigned");
    eventually("the agent to be used again", || {
        ask(client, server).unwrap();
        (verdict(agent, "assigned") > before).then_some(())
    });
}

fn verdict(agent: &Agent, verdict: &str) -> f64 {
    agent.metrics().sum(&format!("umbra_capture_verdicts_total{{verdict=\"{verdict}\"}}"))
}

fn limit_files(agent: &Agent, files: usize) {
    let limited = Command::new("prlimit")
        .args(["--pid", &agent.pid().to_string(), &format!("--nofile={files}:")])
        .status();
    assert!(limited.unwrap().success());
}

/// One request on a connection of its own.
pub(crate) fn ask(netns: &Netns, server: SocketAddr) -> std::io::Result<()> {
    ask_within(netns, server, PATIENCE)
}

fn ask_within(netns: &Netns, server: SocketAddr, limit: Duration) -> std::io::Result<()> {
    Kept::within(netns, server, limit)?.ask()
}

/// A connection that stays open.
struct Kept(TcpStream);

impl Kept {
    /// Opens it and asks once.
    fn open(netns: &Netns, server: SocketAddr) -> std::io::Result<Self> {
        let mut kept = Self::within(netns, server, PATIENCE)?;
        kept.ask().map(|()| kept)
    }

    fn within(netns: &Netns, server: SocketAddr, limit: Duration) -> std::io::Result<Self> {
        let stream = netns.run(|| TcpStream::connect_timeout(&server, limit))?;
        stream.set_read_timeout(Some(limit))?;
        Ok(Self(stream))
    }

    fn ask(&mut self) -> std::io::Result<()> {
        self.0.write_all(b"GET /probe HTTP/1.1\r\nHost: app\r\n\r\n")?;
        let (mut answer, mut piece) = (Vec::new(), [0; 1024]);
        while !answer.ends_with(b"\r\n\r\nok") {
            match self.0.read(&mut piece)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => answer.extend_from_slice(&piece[..read]),
            }
        }
        Ok(())
    }
}
