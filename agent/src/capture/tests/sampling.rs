//! A share of connections: each goes where its draw says, however often its packets are looked up. The seed is fixed,
//! and so are all endpoints in namespaces of their own: these hold or they do not.

use std::{
    io::Read as _,
    net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream},
    ops::Range,
    thread,
};

use socket2::{Domain, Socket, Type};

use super::{
    agent::{Agent, options},
    pod::{APP_V4, APP_V6, CLIENT_V4, CLIENT_V6, Pod, eventually},
};
use crate::{
    capture::{Endpoints, Verdict},
    route::Share,
};

const PORT: u16 = 8080;
const HALF: Share = Share(500_000);

fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn is_drawn(share: Share, client: SocketAddr, app: SocketAddr) -> bool {
    share.admits(options().seed.draw(&client.into(), &app.into()))
}

fn capture(agent: &Agent, share: Share) {
    agent.enrolment.capture(&Endpoints::from_iter([((None, PORT), share)])).unwrap();
}

/// Connects from each of these ports; how many of the connections met the agent.
fn call_from_each(node: &Pod, ports: Range<u16>, (client, app): (&str, &str), share: Share) -> u64 {
    let mut handed_over = 0;
    for port in ports {
        let (client, app) = (at(client, port), at(app, PORT));
        let seen = node.client.call_from(client, app).unwrap_or_else(|error| panic!("{client}: {error}"));
        assert_eq!(seen.is_direct(), !is_drawn(share, client, app), "{seen:?}");
        handed_over += u64::from(!seen.is_direct());
        seen.reset();
    }
    handed_over
}

#[test]
fn each_connection_goes_where_its_draw_says() {
    const COUNT: u16 = 300;
    let node = Pod::new();
    let _app = node.pod.app_on(at("::", PORT));
    let agent = Agent::on(&node.pod, PORT);
    for (share, within) in
        [(0, 0..=0), (10_000, 1..=11), (500_000, 107..=193), (1_000_000, u64::from(COUNT)..=u64::from(COUNT))]
    {
        capture(&agent, Share(share));
        for way in [(CLIENT_V4, APP_V4), (CLIENT_V6, APP_V6)] {
            let (unsampled, (assigned, handed_over)) = agent.counting(Verdict::Unsampled, || {
                let ports = 40_000..40_000 + COUNT;
                agent.counting(Verdict::Assigned, || call_from_each(&node, ports, way, Share(share)))
            });
            assert_eq!((assigned, unsampled), (handed_over, u64::from(COUNT) - handed_over), "at {share}");
            // Five standard deviations of the binomial distribution.
            assert!(within.contains(&handed_over), "{handed_over} of {COUNT} at {share} by {way:?}");
        }
    }
}

/// With a cookie for each SYN, the last packet of every handshake is looked up too. Were it drawn for anew, half of the
/// connections would end at a listener that sent no cookie, and be reset: `bpf_get_prandom_u32` fails this test.
#[test]
fn a_handshake_by_cookie_ends_where_it_began() {
    const COUNT: u16 = 100;
    let node = Pod::new();
    node.pod.sysctl("net/ipv4/tcp_syncookies", "2");
    let _app = node.pod.app_on(at("::", PORT));
    let agent = Agent::on(&node.pod, PORT);
    capture(&agent, HALF);
    for way in [(CLIENT_V4, APP_V4), (CLIENT_V6, APP_V6)] {
        let (unsampled, (assigned, handed_over)) = agent.counting(Verdict::Unsampled, || {
            let ports = 40_000..40_000 + COUNT;
            agent.counting(Verdict::Assigned, || call_from_each(&node, ports, way, HALF))
        });
        let twice = (2 * handed_over, 2 * (u64::from(COUNT) - handed_over));
        assert_eq!((assigned, unsampled), twice, "each is looked up twice, and judged alike");
    }
}

#[test]
fn a_syn_sent_again_is_judged_as_the_first() {
    let node = Pod::new();
    let agent = Agent::on(&node.pod, PORT);
    capture(&agent, HALF);
    let app = at(APP_V4, PORT);
    let ports = 40_000..41_000;
    let mut left_out = ports.map(|port| at(CLIENT_V4, port)).filter(|client| !is_drawn(HALF, *client, app));
    // Holds one connection that nobody has accepted; further SYNs are not answered.
    let full: TcpListener = node.pod.inside(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&at("0.0.0.0", PORT).into()).unwrap();
        socket.listen(0).unwrap();
        socket.into()
    });
    let connect = |client: SocketAddr| -> TcpStream {
        node.client.inside(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            socket.bind(&client.into()).unwrap();
            socket.connect(&app.into()).unwrap();
            socket.into()
        })
    };
    let _first = connect(left_out.next().unwrap());
    let second = left_out.next().unwrap();
    thread::scope(|scope| {
        let connected = scope.spawn(|| connect(second));
        eventually("a SYN sent again", || agent.count(Verdict::Unsampled) >= 3);
        drop(full.accept().unwrap());
        let (_accepted, peer) = full.accept().unwrap();
        assert_eq!(peer, second, "the app has met its client itself");
        drop(connected.join().unwrap());
    });
    assert_eq!(agent.count(Verdict::Assigned), 0);
}

#[test]
fn a_new_share_is_for_new_connections() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    let captured =
        |share| agent.enrolment.capture(&Endpoints::from_iter([((None, app.port()), share)])).unwrap();
    let relayed = node.client.call(app.at(APP_V4)).unwrap();
    assert!(!relayed.is_direct());

    captured(Share::NONE);
    let direct = node.client.call(app.at(APP_V4)).unwrap();
    assert!(direct.is_direct());
    captured(Share::ALL);
    assert!(!node.client.call(app.at(APP_V4)).unwrap().is_direct());

    // Those that were open go on as they were.
    for seen in [relayed, direct] {
        seen.stream.shutdown(Shutdown::Write).unwrap();
        let mut rest = Vec::new();
        (&seen.stream).read_to_end(&mut rest).expect("the app's own end");
        assert!(rest.is_empty());
    }
}

#[test]
fn an_address_has_its_own_share() {
    let node = Pod::new();
    let app = node.pod.app("::");
    let agent = Agent::on(&node.pod, app.port());
    let v4: IpAddr = APP_V4.parse().unwrap();
    let shares = [((Some(v4), app.port()), Share::NONE), ((None, app.port()), Share::ALL)];
    agent.enrolment.capture(&Endpoints::from_iter(shares)).unwrap();

    assert!(node.client.call(app.at(APP_V4)).unwrap().is_direct());
    assert!(!node.client.call(app.at(APP_V6)).unwrap().is_direct());
    assert_eq!((agent.count(Verdict::Unsampled), agent.count(Verdict::Assigned)), (1, 1));
}
