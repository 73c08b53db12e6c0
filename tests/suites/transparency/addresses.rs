//! Whom each side sees, and at which address, for every way in which an app may listen; and apps that are not there for
//! the client.

use std::{
    net::{IpAddr, SocketAddr, TcpListener},
    thread,
};

use socket2::{Domain, Protocol, Socket, Type};
use support::eventually;

use crate::{
    scene::{PORTS, Scene, Way, accepted, is_known},
    side::{Side, info, named, state_of},
};

const OWN_ADDRESS: &str = "The app's own address (`getsockname`)";
const CLIENT_PORT: &str = "The client's port, as an app sees it that listens on one address or device";
const NOBODY: &str = "A captured port on which nobody listens";
const FULL: &str = "An app whose queue of connections is full";

/// What differs from what a client and an app expect to see of each other.
#[derive(Debug, PartialEq)]
struct Seen {
    client_sees_the_address_it_dialled: bool,
    app_sees_the_client: bool,
    app_sees_the_clients_port: bool,
    app_sees_the_address_that_was_dialled: bool,
}

fn seen(way: Way<'_>, client: &Side, app: &Side, port: u16) -> Seen {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let peer = canonical(app.stream.peer_addr().unwrap());
    let own = canonical(app.stream.local_addr().unwrap());
    let reserved: [IpAddr; 2] = [[169, 254, 77, 1].into(), "fd00:77:77::1".parse().unwrap()];
    let dialled = own == way.at(port);
    assert!(dialled || reserved.contains(&own.ip()) && own.port() == port, "the app is at {own}");
    Seen {
        client_sees_the_address_it_dialled: client.stream.peer_addr().unwrap() == way.at(port),
        app_sees_the_client: peer.ip() == way.client_ip(),
        app_sees_the_clients_port: peer.port() == client.stream.local_addr().unwrap().port(),
        app_sees_the_address_that_was_dialled: dialled,
    }
}

const DIRECT: Seen = Seen {
    client_sees_the_address_it_dialled: true,
    app_sees_the_client: true,
    app_sees_the_clients_port: true,
    app_sees_the_address_that_was_dialled: true,
};
const EVERYWHERE: Seen = Seen { app_sees_the_address_that_was_dialled: false, ..DIRECT };
const THERE: Seen = Seen { app_sees_the_clients_port: false, ..DIRECT };

/// An app that binds in its own manner.
fn listener(way: Way<'_>, domain: Domain, at: SocketAddr, own: impl Fn(&Socket) + Sync) -> TcpListener {
    way.app.netns().run(|| {
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP)).unwrap();
        socket.set_reuse_address(true).unwrap();
        own(&socket);
        socket.bind(&at.into()).unwrap();
        socket.listen(128).unwrap();
        socket.into()
    })
}

#[test]
fn in_whatever_way_an_app_listens_it_sees_its_client() {
    let scene = Scene::new();
    let v6_only = |socket: &Socket| socket.set_only_v6(true).unwrap();
    let mut ports = PORTS;
    let mut check = |row: &str, expected: Seen, app: &dyn Fn(Way<'_>, u16) -> TcpListener| {
        let port = ports.next().unwrap();
        scene.differs(row, &[DIRECT, expected], |way| {
            let app = app(way, port);
            let (client, app) = way.meet(&app);
            seen(way, &client, &app, port)
        });
    };
    let unspecified: IpAddr = "::".parse().unwrap();
    let mapped = |way: Way<'_>| match way.ip() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
        v6 => v6,
    };
    let mapped_anywhere = |way: Way<'_>| if way.v6 { unspecified } else { "::ffff:0.0.0.0".parse().unwrap() };

    check(OWN_ADDRESS, EVERYWHERE, &|way, port| way.listen(port));
    check(OWN_ADDRESS, EVERYWHERE, &|way, port| {
        listener(way, Domain::IPV6, (unspecified, port).into(), |socket| {
            socket.set_only_v6(false).unwrap();
        })
    });
    check(OWN_ADDRESS, EVERYWHERE, &|way, port| {
        listener(way, Domain::IPV6, (mapped_anywhere(way), port).into(), |_| ())
    });
    check(OWN_ADDRESS, EVERYWHERE, &|way, port| match way.v6 {
        true => listener(way, Domain::IPV6, (unspecified, port).into(), v6_only),
        false => way.listen(port),
    });
    check(CLIENT_PORT, THERE, &|way, port| {
        listener(way, Domain::for_address(way.at(port)), way.at(port), |_| ())
    });
    check(CLIENT_PORT, THERE, &|way, port| listener(way, Domain::IPV6, (mapped(way), port).into(), |_| ()));
    check(CLIENT_PORT, THERE, &|way, port| {
        let anywhere = SocketAddr::new(way.anywhere(), port);
        listener(way, Domain::for_address(anywhere), anywhere, |socket| {
            socket.bind_device(Some(b"eth0")).unwrap();
        })
    });
    scene.leaves_it_as_it_was();
}

#[test]
fn processes_that_share_a_port_go_on_sharing_the_work() {
    let scene = Scene::new();
    for (port, everywhere) in PORTS.zip([true, false]) {
        scene.same("two processes with SO_REUSEPORT", |way| {
            let at = if everywhere { (way.anywhere(), port).into() } else { way.at(port) };
            let reuse_port = |socket: &Socket| socket.set_reuse_port(true).unwrap();
            let share = [(); 2].map(|()| listener(way, Domain::for_address(at), at, reuse_port));
            share.iter().for_each(|process| process.set_nonblocking(true).unwrap());
            let mut served = [0; 2];
            for _ in 0..64 {
                let client = way.dial(port).unwrap();
                let (process, app) = eventually("one of the two to accept", || {
                    share.iter().enumerate().find_map(|(at, it)| Some((at, it.accept().ok()?.0)))
                });
                served[process] += 1;
                drop((client, app));
            }
            // Of one alone: once in 2^63 runs.
            served.map(|served| served > 0)
        });
    }
}

/// What a client meets that dials twice.
fn dial_twice(way: Way<'_>, port: u16) -> [String; 2] {
    [(); 2].map(|()| match way.dial(port) {
        Ok(stream) => Side::of(stream).hears_all(),
        // The reset may be there before the client has looked.
        Err(error) if named(&error) == "ECONNRESET" => ", then ECONNRESET".to_owned(),
        Err(error) => named(&error),
    })
}

#[test]
fn an_app_that_is_not_there_for_the_client_is_not_there() {
    let scene = Scene::new();
    let refused = || "ECONNREFUSED".to_owned();
    let expected = [[refused(), refused()], [", then ECONNRESET".to_owned(), refused()]];
    let port = PORTS.start;
    scene.differs(NOBODY, &expected, |way| dial_twice(way, port));
    scene.differs(NOBODY, &expected, |way| {
        let inside = way.app.netns().listen((way.loopback(), port + 1).into());
        inside.set_nonblocking(true).unwrap();
        let dialled = dial_twice(way, port + 1);
        assert!(inside.accept().is_err(), "an app on loopback alone was reached from outside");
        dialled
    });
}

#[test]
fn a_client_of_an_app_with_a_full_queue_is_served_once_there_is_room() {
    is_known(FULL);
    let scene = Scene::new();
    let probe = |way: Way<'_>| {
        let port = PORTS.start + u16::from(way.v6);
        let app = way.app.netns().run(|| {
            let at = SocketAddr::new(way.anywhere(), port);
            let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.bind(&at.into()).unwrap();
            // Holds one.
            socket.listen(0).unwrap();
            TcpListener::from(socket)
        });
        let mut first = Side::of(way.dial(port).unwrap());
        eventually("a full queue", || (info(&app).tcpi_unacked == 1).then_some(()));
        let second = way.client.netns().run(|| {
            let socket = Socket::new(Domain::for_address(way.at(port)), Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            let _ = socket.connect(&way.at(port).into());
            socket
        });
        let state = eventually("the second to be connected, or to have asked again", || {
            let (state, asked) = (state_of(&second), info(&second).tcpi_retransmits > 0);
            (state == "ESTABLISHED" || asked).then_some(state)
        });
        let accept = || {
            let mut app = accepted(&app);
            app.says("welcome");
            app
        };
        let apps = [accept(), accept()];
        drop(apps);
        let heard = first.hears_all();
        second.set_nonblocking(false).unwrap();
        eventually("the second to be connected", || (state_of(&second) != "SYN_SENT").then_some(()));
        (state, heard, Side::of(second.into()).hears_all())
    };
    // Both families at once: the second one asks again after a second.
    thread::scope(|scope| {
        for v6 in [false, true] {
            let (scene, probe) = (&scene, &probe);
            scope.spawn(move || {
                let seen = scene.run(FULL, v6, probe);
                let welcome = || "welcome, then end".to_owned();
                let expected = ["SYN_SENT", "ESTABLISHED"].map(|state| (state, welcome(), welcome()));
                assert_eq!(seen, expected, "IPv6: {v6}");
            });
        }
    });
}
