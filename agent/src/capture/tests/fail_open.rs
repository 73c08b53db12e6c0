//! Whatever becomes of the agent, a client reaches the app.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, accept, options, whole},
    pod::{APP_V4, APP_V6, Pod, closing, eventually},
};
use crate::capture::{Enrolment, Inbound, Options, Verdict};

#[test]
fn before_its_first_heartbeat_nothing_is_captured() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let (enrolment, _listeners) = Enrolment::enrol(&node.pod.reference(), &options()).unwrap();
    enrolment.capture(&whole(&[(None, app.port())])).unwrap();

    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());

    let verdicts = enrolment.verdicts().unwrap();
    assert!(verdicts.contains(&(Verdict::Stale, 1)), "{verdicts:?}");
}

#[test]
fn a_hung_agent_is_passed_by_within_a_second() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    assert!(!node.client.call(app.at(APP_V4)).unwrap().is_direct());

    agent.hang();
    let start = Instant::now();
    eventually("passed by", || node.client.call(app.at(APP_V4)).unwrap().is_direct());

    let took = start.elapsed();
    assert!(took > Duration::from_millis(800) && took < Duration::from_millis(1500), "{took:?}");
    assert!(agent.count(Verdict::Stale) > 0);
    agent.recover();
    eventually("captured again", || !node.client.call(app.at(APP_V4)).unwrap().is_direct());
}

#[test]
fn an_agent_that_says_so_is_passed_by_at_once_until_its_next_beat() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    agent.hang();
    let call = |dial| node.client.call(app.at(dial)).unwrap();

    for dial in [APP_V4, APP_V6] {
        agent.enrolment.shed().unwrap();
        let (shed, seen) = agent.counting(Verdict::Shed, || call(dial));
        assert!(seen.is_direct());
        assert_eq!(shed, 1);

        agent.enrolment.silence().unwrap();
        let (stale, seen) = agent.counting(Verdict::Stale, || call(dial));
        assert!(seen.is_direct());
        assert_eq!(stale, 1);

        agent.enrolment.beat().unwrap();
        assert!(!call(dial).is_direct());
    }
    assert_eq!((agent.count(Verdict::Shed), agent.count(Verdict::Assigned)), (2, 2));
}

#[test]
fn a_dead_agent_leaves_the_app_reachable() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let mut agent = Agent::on(&node.pod, app.port());
    assert!(!node.client.call(app.at(APP_V4)).unwrap().is_direct());

    agent.close_listeners();

    for dial in [APP_V4, APP_V6] {
        let (passed, seen) = agent.counting(Verdict::NoListener, || node.client.call(app.at(dial)).unwrap());
        assert!(seen.is_direct());
        assert_eq!(passed, 1);
    }
}

#[test]
fn a_worker_that_dies_leaves_its_connections_to_the_others() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let workers = Options { workers: 3, ..options() };
    let (enrolment, mut sets) = Enrolment::enrol(&node.pod.reference(), &workers).unwrap();
    enrolment.capture(&whole(&[(None, app.port())])).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let accepted = Arc::new((0..3).map(|_| AtomicUsize::new(0)).collect());

    // The first worker, whose listeners the program finds first, and the second.
    closing(|| drop(sets.drain(..2)));
    let _context = runtime.enter();
    accept(&Inbound::Enrolled(Arc::clone(&enrolment)), 2, sets.remove(0), &accepted);
    for round in 1..=20 {
        enrolment.beat().unwrap();
        let dial = if round % 2 == 0 { APP_V4 } else { APP_V6 };
        let seen = node.client.call(app.at(dial)).unwrap();
        assert!(!seen.is_direct(), "{:?}", enrolment.verdicts().unwrap());
        assert_eq!(accepted[2].load(Ordering::SeqCst), round);
    }
    runtime.shutdown_timeout(Duration::from_secs(5));
}

#[test]
fn an_agent_that_hands_back_serves_what_it_has() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    let open = node.client.call(app.at(APP_V4)).unwrap();

    agent.enrolment.hand_back();

    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());
    assert_eq!(agent.count(Verdict::NoListener), 1);
    drop(open.stream.shutdown(std::net::Shutdown::Write));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut &open.stream, &mut rest).expect("the app's end, through the agent");
}

#[test]
fn a_newer_agent_takes_over_where_the_older_hands_back() {
    takes_over("::");
}

/// An app that the agents reach by way of their own programs: neither may take what the other connects.
#[test]
fn a_newer_agent_takes_over_where_the_app_listens_on_one_address() {
    takes_over(APP_V4);
}

fn takes_over(listen: &str) {
    let node = Pod::new();
    let app = node.pod.app(listen);
    let older = Agent::on(&node.pod, app.port());
    let newer = Agent::on(&node.pod, app.port());

    let call = || assert!(!node.client.call(app.at(APP_V4)).unwrap().is_direct());
    call();
    assert_eq!((older.count(Verdict::Assigned), newer.count(Verdict::Taken)), (1, 1));
    older.enrolment.hand_back();
    call();
    assert_eq!((older.count(Verdict::Assigned), newer.count(Verdict::Assigned)), (1, 1));
    // What the older one withdraws is not what the newer one needs.
    drop(older);
    call();
    assert_eq!(newer.count(Verdict::Assigned), 2);
}
