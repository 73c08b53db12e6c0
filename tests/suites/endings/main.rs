//! Promise 2, many times over: agents that are killed, stopped, replaced and started again under sixteen clients with new
//! and with kept connections. A request counts as failed as soon as a byte of it was sent and no whole answer came,
//! whatever its client could do about it; one of which nothing was sent goes to another connection, as with any server.
//!
//! Three rounds of each as a rule. `UMBRA_ENDINGS_ROUNDS=20 cargo test -p umbra-tests --test endings -- --nocapture`
//! makes it twenty, with at least 10,000 requests in each: a quarter of an hour.

#![allow(clippy::unwrap_used, reason = "a suite fails where it stands")]

mod world;

use std::{
    os::unix::net::UnixStream,
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use support::{Asking, Failure, eventually};
use world::{HTTP1, HTTP2, Rounds, World, is_in_the_path, print, stop};

#[test]
fn killed_only_requests_in_flight_fail() {
    let (world, rounds) = (World::new(&HTTP1), Rounds::wanted());
    let load = world.load(&HTTP1);
    let (mut worst, mut gone) = (0, Vec::new());
    for _ in 0..rounds.count {
        let mut agent = world.agent();
        is_in_the_path(&agent);
        load.eventually_answers(rounds.requests / 2);
        let before = load.failed();
        agent.kill();
        let killed = Instant::now();
        load.eventually_answers(rounds.requests / 2);
        eventually("the second after the kill", || (killed.elapsed() > Duration::from_secs(1)).then_some(()));
        worst = worst.max(load.failed() - before);
        gone.push(killed..Instant::now());
    }
    let report = load.stop();
    print("kill -9", rounds.count, &report);
    println!("at most {worst} in one round, of {} clients", HTTP1.len());
    let begun_when_gone = |failure: &&Failure| gone.iter().any(|gone| gone.contains(&failure.started));
    let beyond: Vec<_> = report.failures.iter().filter(begun_when_gone).collect();
    // A client may meet it twice: with the request in flight, and while the kernel takes it down.
    assert!(worst <= 2 * HTTP1.len(), "{:#?}", report.failures);
    assert!(beyond.is_empty(), "begun when it was gone: {beyond:#?}");
}

#[test]
fn stopped_for_a_while_no_connection_after_the_first_second_notices() {
    let (world, rounds) = (World::new(&HTTP1), Rounds::wanted());
    let agent = world.agent();
    let load = world.load(&HTTP1);
    let mut stops = Vec::new();
    for _ in 0..rounds.count {
        is_in_the_path(&agent);
        load.eventually_answers(rounds.requests / 2);
        agent.signal(Signal::SIGSTOP);
        let stopped = Instant::now();
        thread::sleep(Duration::from_millis(2500));
        agent.signal(Signal::SIGCONT);
        stops.push((stopped, Instant::now()));
        load.eventually_answers(rounds.requests / 2);
    }
    let report = load.stop();
    // A connection that the agent has hangs with it, as with any server that hangs: requests on it are late, not lost.
    let late = |failure: &&Failure| {
        let after = |(stopped, woken): &(Instant, Instant)| {
            failure.started > *stopped + Duration::from_millis(1100) && failure.started < *woken
        };
        !failure.kept && stops.iter().any(after)
    };
    let troubled: Vec<_> = report.failures.iter().chain(&report.slow).collect();
    let [kept, fresh] = [true, false].map(|kept| troubled.iter().filter(|it| it.kept == kept).count());
    print("SIGSTOP", rounds.count, &report);
    println!("late or failed: {kept} on connections that were open before, {fresh} on new ones");
    assert!(fresh > 0, "the stopped agent was never in the path");
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    let beyond: Vec<_> = troubled.into_iter().filter(late).collect();
    assert!(beyond.is_empty(), "begun after the first second: {beyond:#?}");
}

#[test]
fn started_again_no_request_is_lost() {
    restarted(&HTTP1, "restart under HTTP/1");
    restarted(&HTTP2, "restart under HTTP/2");
}

fn restarted(clients: &[Asking], ending: &str) {
    let (world, rounds) = (World::new(clients), Rounds::wanted());
    let load = world.load(clients);
    for _ in 0..rounds.count {
        let agent = world.agent();
        is_in_the_path(&agent);
        load.eventually_answers(rounds.requests / 2);
        stop(agent);
        load.eventually_answers(rounds.requests / 2);
    }
    let report = load.stop();
    print(ending, rounds.count, &report);
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
}

#[test]
fn replaced_by_its_successor_no_request_is_lost() {
    replaced(&HTTP1, "upgrade under HTTP/1");
    replaced(&HTTP2, "upgrade under HTTP/2");
}

/// The successor has the admin address and the socket of the agent that leaves, and the kept connections end: their
/// clients come to the successor.
fn replaced(clients: &[Asking], ending: &str) {
    let (world, rounds) = (World::new(clients), Rounds::wanted());
    let mut running = world.agent();
    let load = world.load(clients);
    let mut longest = Duration::ZERO;
    for _ in 0..rounds.count {
        is_in_the_path(&running);
        load.eventually_answers(rounds.requests / 2);
        let successor = world.successor(&running);
        assert!(running.is_ready(), "the successor took nothing from an agent that stays");
        UnixStream::connect(world.socket()).unwrap();
        let told = Instant::now();
        stop(running);
        longest = longest.max(told.elapsed());
        running = successor;
        eventually("the successor's window", || running.is_ready().then_some(()));
        eventually("the successor's socket", || UnixStream::connect(world.socket()).ok());
        load.eventually_answers(rounds.requests / 2);
    }
    let report = load.stop();
    print(ending, rounds.count, &report);
    println!("the longest end took {longest:?}");
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    stop(running);
}
