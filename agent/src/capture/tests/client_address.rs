//! What the app sees of the client, and which way the connection to it goes.

use std::{
    io,
    net::{IpAddr, SocketAddr, SocketAddrV6, TcpStream},
    sync::atomic::Ordering,
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use umbra_common::{RESERVED_V4, RESERVED_V6};

use super::{
    agent::{Agent, options},
    pod::{APP_V4, APP_V6, CLIENT_V4, CLIENT_V6, Pod, Seen, eventually},
};
use crate::{
    capture::{Options, Verdict},
    config::umbra::ClientAddress,
};

fn local() -> Options {
    Options { client_address: ClientAddress::Local, ..options() }
}

/// The path from a client on the network to an app, and what must be seen on the way.
#[track_caller]
fn keeps_the_client(listen: &str, dial: &str, met_at: IpAddr, own: Verdict) {
    let node = Pod::new();
    let app = node.pod.app(listen);
    let agent = Agent::on(&node.pod, app.port());

    let seen = node.client.call(app.at(dial)).unwrap();

    assert_eq!(seen.app_peer.ip(), seen.client.ip());
    assert_eq!(seen.app_local.ip(), met_at);
    if own == Verdict::Reserved {
        assert_eq!(seen.app_peer.port(), seen.client.port());
    }
    assert_eq!(agent.count(Verdict::Assigned), 1);
    assert_eq!(agent.count(own), 1);
}

#[test]
fn an_app_on_every_address_sees_its_client() {
    keeps_the_client("0.0.0.0", APP_V4, RESERVED_V4.into(), Verdict::Reserved);
    keeps_the_client("::", APP_V6, RESERVED_V6.into(), Verdict::Reserved);
}

#[test]
fn an_app_on_a_dual_socket_sees_its_ipv4_client() {
    keeps_the_client("::", APP_V4, RESERVED_V4.into(), Verdict::Reserved);
}

#[test]
fn an_app_on_one_address_sees_its_client() {
    keeps_the_client(APP_V4, APP_V4, APP_V4.parse().unwrap(), Verdict::Bypass);
    keeps_the_client(APP_V6, APP_V6, APP_V6.parse().unwrap(), Verdict::Bypass);
}

#[test]
fn an_app_sees_a_client_port_of_any_range() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let _agent = Agent::on(&node.pod, app.port());

    for (client, dial) in [(CLIENT_V4, APP_V4), (CLIENT_V6, APP_V6)] {
        for port in [1023, 40_001, 62_000] {
            let source = SocketAddr::new(client.parse().unwrap(), port);
            let seen = node.client.call_from(source, app.at(dial)).unwrap();
            assert_eq!(seen.app_peer, source);
        }
    }
}

#[test]
fn the_apps_own_connections_keep_their_ports() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let _agent = Agent::on(&node.pod, app.port());
    let seen = node.client.call(app.at(APP_V4)).unwrap();
    assert_eq!(seen.app_peer, seen.client);

    // The app may leave from no port but the one a captured client holds.
    let port = seen.client.port();
    node.pod.sysctl("net/ipv4/ip_local_port_range", &format!("{port} {port}"));
    let elsewhere = node.client.app("0.0.0.0");
    let called = node.pod.call(elsewhere.at(CLIENT_V4)).unwrap();

    assert_eq!(called.client.port(), port);
}

#[test]
fn a_client_in_the_namespace_itself_is_relayed() {
    for listen in ["0.0.0.0", "127.0.0.1"] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        let agent = Agent::on(&node.pod, app.port());

        let seen = node.pod.call(app.at("127.0.0.1")).unwrap();

        assert_eq!(seen.app_peer.ip(), seen.client.ip(), "{listen}");
        assert_eq!(agent.count(Verdict::Assigned), 1);
    }
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    for dial in ["127.0.0.1", "::1", APP_V4, APP_V6] {
        let (assigned, seen) = agent.counting(Verdict::Assigned, || node.pod.call(app.at(dial)));
        assert_eq!(seen.unwrap().app_peer.ip(), dial.parse::<IpAddr>().unwrap());
        assert_eq!(assigned, 1);
    }
}

#[test]
fn with_a_local_address_an_app_is_reached_all_the_same() {
    for listen in ["0.0.0.0", APP_V4] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        let agent = Agent::with(&node.pod, &local(), &[(None, app.port())]);
        let seen = node.client.call(app.at(APP_V4)).unwrap();
        assert_eq!(seen.app_peer.ip(), RESERVED_V4);
        assert_eq!((agent.count(Verdict::Assigned), agent.count(Verdict::Reserved)), (1, 1));
    }
    for listen in ["::", APP_V6] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        let agent = Agent::with(&node.pod, &local(), &[(None, app.port())]);
        let seen = node.client.call(app.at(APP_V6)).unwrap();
        assert_eq!(seen.app_peer.ip(), RESERVED_V6);
        assert_eq!((agent.count(Verdict::Assigned), agent.count(Verdict::Reserved)), (1, 1));
    }
    let node = Pod::new();
    let app = node.pod.app("127.0.0.1");
    let agent = Agent::with(&node.pod, &local(), &[(None, app.port())]);
    assert_eq!(node.pod.call(app.at("127.0.0.1")).unwrap().app_peer.ip(), RESERVED_V4);
    assert_eq!(agent.count(Verdict::Assigned), 1);
}

#[test]
fn a_link_local_client_is_served_from_a_local_address() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    let link_local = |address: &&IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
    // It appears by itself, some time after its device.
    eventually("a link-local address", || {
        agent.enrolment.has_new_addresses().unwrap();
        agent.enrolment.local_addresses().iter().any(|address| link_local(&address))
    });
    let addresses = agent.enrolment.local_addresses();
    let Some(IpAddr::V6(pod)) = addresses.iter().find(link_local) else { panic!("{addresses:?}") };
    let scope = node.client.inside(|| nix::net::if_::if_nametoindex("eth0")).unwrap();

    let seen = node.client.call(SocketAddrV6::new(*pod, app.port(), 0, scope)).unwrap();

    assert_eq!(seen.app_peer.ip(), RESERVED_V6);
    assert_eq!(agent.count(Verdict::Assigned), 1);
}

#[test]
fn an_app_on_loopback_is_not_exposed() {
    for options in [options(), local()] {
        let node = Pod::new();
        let app = node.pod.app("127.0.0.1");
        let agent = Agent::with(&node.pod, &options, &[(None, app.port())]);

        // The first is refused by the agent, the next by the kernel itself.
        node.client.call(app.at(APP_V4)).unwrap_err();
        agent.eventually_counts(Verdict::Assigned, 0);
        let refused = node.client.call(app.at(APP_V4)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    }
}

#[test]
fn an_ipv6_only_app_refuses_ipv4() {
    let node = Pod::new();
    let app = node.pod.app_v6_only();
    let _agent = Agent::on(&node.pod, app.port());

    node.client.call(app.at(APP_V4)).unwrap_err();
    let seen = node.client.call(app.at(APP_V6)).unwrap();

    assert_eq!(seen.app_peer, seen.client);
}

#[test]
fn an_app_that_moves_to_another_address_is_found_again() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let _agent = Agent::on(&node.pod, app.port());
    let address = app.at(APP_V4);
    drop(node.client.call(address).unwrap());

    drop(app);
    let _moved = node.pod.app_on(address);
    let seen = node.client.call(address).unwrap();

    assert_eq!(seen.app_local, address);
}

#[test]
fn an_app_can_restart_while_a_captured_connection_is_open() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let _agent = Agent::on(&node.pod, app.port());
    let address = app.at(APP_V4);
    let open = node.client.call(address).unwrap();

    drop(app);
    // With SO_REUSEADDR, which std's listener sets as servers do.
    let _restarted = node.pod.app_on(SocketAddr::new("0.0.0.0".parse().unwrap(), address.port()));

    let seen = node.client.call(address).unwrap();
    assert_ne!(seen.client, open.client);
    assert_eq!(seen.app_peer, seen.client);
}

#[test]
fn one_client_may_come_from_the_same_port_again() {
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let _agent = Agent::on(&node.pod, app.port());
    let source = SocketAddr::new(CLIENT_V4.parse().unwrap(), 40_000);
    let call = || node.client.call_from(source, app.at(APP_V4)).unwrap();

    // The agent's end of a connection lingers. Meanwhile another port serves, and soon the same one again.
    call().reset();
    let seen = call();
    assert_eq!(seen.app_peer.ip(), source.ip());
    seen.reset();
    eventually("the same port", || {
        let seen = call();
        let same = seen.app_peer == source;
        seen.reset();
        same
    });
}

#[test]
fn a_handshake_by_cookie_is_looked_up_twice_and_lands_once() {
    for listen in ["0.0.0.0", APP_V4] {
        let node = Pod::new();
        // As if every queue were full.
        node.pod.sysctl("net/ipv4/tcp_syncookies", "2");
        let app = node.pod.app(listen);
        let agent = Agent::on(&node.pod, app.port());
        for _ in 0..20 {
            let seen = node.client.call(app.at(APP_V4)).unwrap();
            assert_eq!(seen.app_peer.ip(), seen.client.ip());
        }
        assert_eq!(agent.accepted[0].load(Ordering::SeqCst), 20);
    }
}

#[test]
fn many_short_connections_of_one_client_all_arrive() {
    for listen in ["0.0.0.0", APP_V4] {
        let node = Pod::new();
        let app = node.pod.app(listen);
        let agent = Agent::on(&node.pod, app.port());
        let address = app.at(APP_V4);
        node.client.inside(|| {
            for _ in 0..500 {
                let seen = Seen::through(TcpStream::connect(address).unwrap()).unwrap();
                assert_eq!(seen.app_peer.ip(), seen.client.ip());
            }
        });
        assert_eq!(agent.accepted[0].load(Ordering::SeqCst), 500);
    }
}

#[test]
fn a_client_whose_announced_ports_are_used_up_is_served_from_a_local_address() {
    let node = Pod::new();
    let app = node.pod.app(APP_V4);
    let options = Options { client_address: ClientAddress::Auto, ..options() };
    let agent = Agent::with(&node.pod, &options, &[(None, app.port())]);
    // Somebody else in the namespace holds them all.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, most, most).unwrap();
    let holders: Vec<_> = node.pod.inside(|| {
        (61_000..=u16::MAX)
            .map(|port| {
                let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_ip_transparent_v4(true).unwrap();
                socket.bind(&SocketAddr::new(CLIENT_V4.parse().unwrap(), port).into()).unwrap();
                socket
            })
            .collect()
    });

    assert_eq!(node.client.call(app.at(APP_V4)).unwrap().app_peer.ip(), RESERVED_V4);
    drop(holders);
    // For a while nobody else is made to share what is left.
    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());
    assert_eq!(agent.count(Verdict::Released), 1);
    assert!(agent.enrolment.lacks_ports());
}

#[test]
fn when_ports_run_out_nobody_is_turned_away_and_the_next_ones_meet_the_app() {
    for listen in ["0.0.0.0", APP_V4] {
        let node = Pod::new();
        node.pod.sysctl("net/ipv4/ip_local_port_range", "40000 40009");
        let app = node.pod.app(listen);
        let agent = Agent::with(&node.pod, &local(), &[(None, app.port())]);

        let open: Vec<_> = (0..20).map(|_| node.client.call(app.at(APP_V4)).unwrap()).collect();

        let direct = open.iter().filter(|seen| seen.is_direct()).count();
        // Ten ports but for those of the agent's own listeners, and one more connection from a spare one.
        assert!((9..=13).contains(&direct), "{direct}");
        assert_eq!(agent.count(Verdict::Released), direct as u64);
        assert_eq!(agent.count(Verdict::Assigned), (open.len() - direct) as u64);
        assert!(agent.enrolment.lacks_ports());
    }
}

#[test]
fn a_client_on_a_low_port_is_served_without_the_right_to_bind_one() {
    use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};
    let node = Pod::new();
    let app = node.pod.app("0.0.0.0");
    let source = SocketAddr::new(CLIENT_V4.parse().unwrap(), 1023);
    // On a thread of its own, whose children, the agent's, inherit what it may.
    std::thread::scope(|scope| {
        let without = scope.spawn(|| {
            let mine = capabilities(None).unwrap();
            let effective = mine.effective - CapabilitySet::NET_BIND_SERVICE;
            let permitted = mine.permitted - CapabilitySet::NET_BIND_SERVICE;
            set_capabilities(None, CapabilitySets { effective, permitted, ..mine }).unwrap();
            Agent::on(&node.pod, app.port())
        });
        let agent = without.join().unwrap();

        let seen = node.client.call_from(source, app.at(APP_V4)).unwrap();

        assert_eq!(seen.app_peer.ip(), source.ip());
        assert_ne!(seen.app_peer.port(), source.port());
        assert_eq!(agent.count(Verdict::Assigned), 1);
    });
}
