//! Each verdict given, and read from its own counter; and what it means to the client.

use std::{
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    agent::{Agent, options, whole},
    pod::{APP_V4, APP_V6, CLIENT_V4, OTHER_CLIENT, Pod},
};
use crate::capture::{Options, RELEASE, Verdict};

#[test]
fn only_the_captured_endpoint_is_assigned() {
    let node = Pod::new();
    let (app, other) = (node.pod.app("::"), node.pod.app("::"));
    let captured = (Some(APP_V4.parse().unwrap()), app.port());
    let agent = Agent::with(&node.pod, &options(), &[captured]);

    let through = |address| {
        let (assigned, seen) = agent.counting(Verdict::Assigned, || node.client.call(address).unwrap());
        assert_eq!(seen.is_direct(), assigned == 0, "{seen:?}");
        assigned
    };

    assert_eq!(through(app.at(APP_V4)), 1);
    let (passed, ()) = agent.counting(Verdict::NotCaptured, || {
        assert_eq!(through(app.at(APP_V6)), 0);
        assert_eq!(through(other.at(APP_V4)), 0);
    });
    assert_eq!(passed, 2);
}

#[test]
fn the_captured_set_becomes_what_it_is_told() {
    let node = Pod::new();
    let (app, other) = (node.pod.app("::"), node.pod.app("::"));
    let agent = Agent::on(&node.pod, app.port());

    agent.enrolment.capture(&whole(&[(Some(APP_V6.parse().unwrap()), other.port())])).unwrap();
    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());
    assert!(!node.client.call(other.at(APP_V6)).unwrap().is_direct());

    agent.enrolment.capture(&whole(&[])).unwrap();
    assert!(node.client.call(other.at(APP_V6)).unwrap().is_direct());
}

#[test]
fn an_exempt_source_is_not_captured() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let exempt = vec![format!("{CLIENT_V4}/32").parse().unwrap(), "fd01::/64".parse().unwrap()];
    let agent = Agent::with(&node.pod, &Options { exempt, ..options() }, &[(None, app.port())]);

    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());
    assert!(node.client.call(app.at(APP_V6)).unwrap().is_direct());
    assert_eq!((agent.count(Verdict::Exempt), agent.count(Verdict::Assigned)), (2, 0));

    let other = SocketAddr::new(OTHER_CLIENT.parse().unwrap(), 0);
    assert!(!node.client.call_from(other, app.at(APP_V4)).unwrap().is_direct());
    assert_eq!((agent.count(Verdict::Exempt), agent.count(Verdict::Assigned)), (2, 1));
}

#[test]
fn datagrams_are_none_of_its_business() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let agent = Agent::on(&node.pod, app.port());
    let receiver = node.pod.inside(|| UdpSocket::bind((APP_V4, app.port()))).unwrap();
    receiver.set_read_timeout(Some(Duration::from_secs(5))).unwrap();

    let sender = node.client.inside(|| UdpSocket::bind((CLIENT_V4, 0))).unwrap();
    sender.send_to(b"hello", app.at(APP_V4)).unwrap();

    assert_eq!(receiver.recv(&mut [0; 16]).unwrap(), 5);
    assert_eq!(agent.count(Verdict::NotTcp), 1);
}

#[test]
fn an_app_that_is_gone_is_refused_natively_until_it_is_back() {
    for (listen, dial) in [("::", APP_V4), ("::", APP_V6), (APP_V4, APP_V4)] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        let address = app.at(dial);
        let agent = Agent::on(&node.pod, address.port());
        drop(node.client.call(address).unwrap());
        drop(app);

        // The agent resets the first; at once, so nothing hangs on the way back.
        let start = Instant::now();
        let reset = node.client.call(address).unwrap_err();
        assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(agent.count(Verdict::Assigned), 2);

        let refused = node.client.call(address).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert_eq!(agent.count(Verdict::Released), 1);

        // Back within the second, it is met directly; after it, through the agent.
        let _back = node.pod.app_on(SocketAddr::new(listen.parse().unwrap(), address.port()));
        let (released, seen) = agent.counting(Verdict::Released, || node.client.call(address).unwrap());
        assert!(start.elapsed() > RELEASE || (seen.is_direct() && released == 1));
        super::pod::eventually("captured again", || !node.client.call(address).unwrap().is_direct());
    }
}

#[test]
fn a_listener_the_kernel_will_not_assign_leaves_the_app_reachable() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    let v4 = [node.pod.inside(|| TcpListener::bind(("127.0.0.1", 0))).unwrap()];
    // In the place of the IPv6 listener.
    agent.enrolment.maps.offer(&[], &v4).unwrap();

    let (failed, seen) = agent.counting(Verdict::Error, || node.client.call(app.at(APP_V6)).unwrap());

    assert!(seen.is_direct());
    assert_eq!(failed, 1, "{:?}", agent.enrolment.verdicts().unwrap());
}

#[test]
fn workers_share_the_connections() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let workers = Options { workers: 3, ..options() };
    let agent = Agent::with(&node.pod, &workers, &[(None, app.port())]);

    for dial in [APP_V4, APP_V6] {
        for _ in 0..40 {
            drop(node.client.call(app.at(dial)).unwrap());
        }
    }

    let shares: Vec<_> = agent.accepted.iter().map(|accepted| accepted.load(Ordering::SeqCst)).collect();
    assert_eq!(shares.iter().sum::<usize>(), 80);
    assert!(shares.iter().all(|&share| share > 5), "{shares:?}");
}
