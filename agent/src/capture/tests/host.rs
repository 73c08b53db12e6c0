//! The namespace the agent lives in itself, and capture without the kernel.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use super::{
    agent::{Agent, accept, options},
    pod::{APP_V4, CLIENT_V4, Pod, Seen},
};
use crate::{
    capture::{Direct, Inbound, Verdict},
    config::umbra::NetnsRef,
};

#[test]
fn the_agents_own_namespace_is_enrolled_like_any_other() {
    for listen in ["0.0.0.0", "127.0.0.1", "::"] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        // Threads the agent starts here live in the pod's namespace: its host.
        let agent = node.pod.inside(|| Agent::in_netns(&NetnsRef::Host, &options(), &[(None, app.port())]));

        assert_eq!(agent.enrolment.name(), "host");
        let seen = node.pod.call(app.at("127.0.0.1")).unwrap();
        assert_eq!(seen.app_peer.ip(), seen.client.ip());
        assert_eq!(agent.count(Verdict::Assigned), 1);
        if listen != "127.0.0.1" {
            let seen = node.client.call(app.at(APP_V4)).unwrap();
            assert_eq!(seen.app_peer, seen.client);
            assert_eq!(agent.count(Verdict::Assigned), 2);
        }
    }
}

#[test]
fn connections_of_the_agent_are_made_where_they_belong_from_any_thread() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let agent = Agent::on(&node.pod, app.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let here = std::fs::read_link("/proc/thread-self/ns/net").unwrap();

    let client = SocketAddr::new(CLIENT_V4.parse().unwrap(), 40_000);
    let stream = runtime.block_on(agent.enrolment.connect(client, app.at(APP_V4))).unwrap();

    let stream = stream.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    assert_eq!(Seen::through(stream).unwrap().app_peer, client);
    assert_eq!(std::fs::read_link("/proc/thread-self/ns/net").unwrap(), here);
}

#[test]
fn a_plain_listener_needs_no_kernel() {
    let node = Pod::new();
    let app = node.pod.app("127.0.0.1");
    let upstream = app.at("127.0.0.1");
    node.pod.inside(|| {
        let (direct, sets) = Direct::listen("127.0.0.1:0".parse().unwrap(), upstream, 2).unwrap();
        let inbound = Inbound::Direct(Arc::clone(&direct));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let accepted = Arc::new((0..2).map(|_| AtomicUsize::new(0)).collect());
        let _context = runtime.enter();
        for (worker, set) in sets.into_iter().enumerate() {
            accept(&inbound, worker, set, &accepted);
        }

        let stream = std::net::TcpStream::connect(direct.address()).unwrap();
        assert_eq!(Seen::through(stream).unwrap().app_local, upstream);
        runtime.shutdown_timeout(Duration::from_secs(5));
    });
}
