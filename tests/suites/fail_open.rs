//! Promise 2: if the agent dies or hangs, traffic flows on without it.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use support::{Config, Load, Netns, Node, agent, eventually, upstream};

const CLIENTS: usize = 16;

#[test]
fn killing_the_agent_fails_only_requests_in_flight() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let mut agent = agent(&node).mirror_all(&primary, &copies).start();
    let load = Load::start(client.netns(), primary.address(), CLIENTS);
    load.eventually_answers(2_000);
    assert!(agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}") >= 16.0);

    agent.kill();
    let killed = Instant::now();
    load.eventually_answers(5_000);
    eventually("the second after the kill", || (killed.elapsed() > Duration::from_secs(2)).then_some(()));
    let report = load.stop();

    println!(
        "kill -9: {} answered, {} failed: {:?}",
        report.answered,
        report.failures.len(),
        report.failures
    );
    // Each client had one connection, and on it at most one request.
    assert!(report.failures.len() <= CLIENTS, "{report:?}");
    assert!(report.failures_begun_after(killed, Duration::from_secs(1)).is_empty(), "{report:?}");
}

#[test]
fn a_new_connection_finds_the_app_at_once_after_a_kill() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let mut agent = agent(&node).mirror_all(&primary, &copies).start();
    ask(client.netns(), primary.address(), Duration::from_secs(5)).unwrap();
    copies.eventually_received(1);

    agent.kill();

    for _ in 0..200 {
        ask(client.netns(), primary.address(), Duration::from_secs(5)).unwrap();
    }
    assert_eq!(copies.count(), 1, "only the request before the kill was copied");
}

#[test]
fn a_stopped_agent_costs_at_most_one_second_and_is_used_again_when_it_wakes() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    ask(client.netns(), primary.address(), Duration::from_secs(5)).unwrap();

    agent.signal(Signal::SIGSTOP);
    let stopped = Instant::now();
    let mut probes = Vec::new();
    thread::scope(|scope| {
        let mut running = Vec::new();
        while stopped.elapsed() < Duration::from_secs(3) {
            let begun = stopped.elapsed();
            let (netns, server) = (client.netns(), primary.address());
            running.push(scope.spawn(move || (begun, ask(netns, server, Duration::from_secs(2)).is_ok())));
            thread::sleep(Duration::from_millis(20));
        }
        probes = running.into_iter().map(|probe| probe.join().unwrap()).collect();
    });
    agent.signal(Signal::SIGCONT);

    let failed: Vec<_> = probes.iter().filter(|(_, ok)| !ok).map(|(begun, _)| *begun).collect();
    println!(
        "SIGSTOP: {} of {} probes failed, the last begun after {:?}",
        failed.len(),
        probes.len(),
        failed.last()
    );
    assert!(!failed.is_empty(), "the stopped agent was never in the path");
    assert!(failed.iter().all(|begun| *begun < Duration::from_millis(1100)), "{failed:?}");
    let assigned = agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}");
    eventually("the agent to be used again", || {
        ask(client.netns(), primary.address(), Duration::from_secs(5)).unwrap();
        (agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}") > assigned).then_some(())
    });
}

#[test]
fn stopping_in_order_loses_nothing_and_leaves_nothing_behind() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let before = app.netns().traces();
    let agent = agent(&node).mirror_all(&primary, &copies).start();
    assert_ne!(app.netns().traces(), before, "an enrolled namespace has a rule, routes and settings");

    let asking = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let begun = Instant::now();
            let mut asked = 0;
            while begun.elapsed() < Duration::from_secs(4) {
                ask(client.netns(), primary.address(), Duration::from_secs(5)).unwrap();
                asked += 1;
            }
            asked
        });
        thread::sleep(Duration::from_millis(500));
        assert!(agent.stop().success());
        asking.join().unwrap()
    });

    println!(
        "SIGTERM: {asking} requests on connections of their own, none failed; {} copied",
        copies.count()
    );
    assert!(copies.count() > 0 && copies.count() < asking);
    assert_eq!(app.netns().traces(), before);
}

#[test]
fn told_to_stop_twice_it_stops_at_once_and_still_leaves_nothing_behind() {
    let node = Node::new();
    let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    let before = app.netns().traces();
    let config = Config::capture(&app.netns().path(), primary.address())
        .mirror(copies.address(), 100.0)
        .agent("  drainTimeout: 10m\n");
    let agent = agent(&node).config(&config).start();
    let mut kept = client.client(primary.address());
    kept.get("/");

    agent.signal(Signal::SIGTERM);
    eventually("the agent to drain", || (!agent.is_ready()).then_some(()));
    assert!(agent.stop().success());

    assert_eq!(app.netns().traces(), before);
}

#[test]
fn an_agent_uses_all_the_descriptors_it_may_have() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let primary = upstream(&app).replies("ok").start();
    let copies = upstream(&shadow).replies("ok").start();
    // The soft limit of most shells and services, which the agent inherits from this program.
    let this = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &this, "--nofile=1024:"]).status();
    assert!(limited.unwrap().success());

    let agent = agent(&node).mirror_all(&primary, &copies).start();

    let limits = std::fs::read_to_string(format!("/proc/{}/limits", agent.pid())).unwrap();
    let files = limits.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap();
    let (soft, hard) = files.trim().split_once(' ').unwrap();
    assert!(hard.trim().starts_with(&format!("{soft} ")) && soft != "1024", "{files}");
}

#[test]
fn a_start_that_fails_leaves_nothing_behind() {
    let node = Node::new();
    let (app, shadow) = (node.pod("app"), node.pod("shadow"));
    let primary = upstream(&app).replies("ok").start();
    let before = app.netns().traces();
    let busy = node.netns().listen(([127, 0, 0, 1], 0).into());
    let taken = busy.local_addr().unwrap();
    let config = Config::capture(&app.netns().path(), primary.address())
        .agent(&format!("    direct: [{{listen: '{taken}', upstream: '127.0.0.1:1'}}]"))
        .mirror((shadow.ip(), 80).into(), 100.0);
    let mut agent = agent(&node).config(&config).spawn();

    let status = eventually("the agent to give up", || agent.exit_status());

    assert_eq!(status.code(), Some(1), "{}", agent.log());
    assert!(agent.log().contains(&format!("listen on {taken}")), "{}", agent.log());
    assert_eq!(app.netns().traces(), before);
}

/// One request on a connection of its own.
fn ask(netns: &Netns, server: SocketAddr, limit: Duration) -> std::io::Result<()> {
    let mut stream = netns.run(|| TcpStream::connect_timeout(&server, limit))?;
    stream.set_read_timeout(Some(limit))?;
    stream.write_all(b"GET /probe HTTP/1.1\r\nHost: app\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(()),
        false => Err(std::io::Error::other("no answer")),
    }
}
