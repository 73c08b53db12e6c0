//! What the kernel tells of a connection, and what an app's own settings of its sockets do.

use std::{fs, net::SocketAddr, os::fd::AsRawFd as _, time::Duration};

use nix::sys::socket::{MsgFlags, recv};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use support::{Pod, eventually};

use crate::{
    scene::{PORTS, Scene, Way, accepted},
    side::{Side, is_multipath},
};

const PATH: &str = "The path, as an app sees it (`TCP_INFO`: MSS, MTU, round trip)";
const SETTINGS: &str = "What an app sets for its sockets (`TCP_MAXSEG`, buffers, DSCP, `TCP_FASTOPEN`, …)";
const ARRIVED: &str = "What counts as arrived (`SIOCOUTQ`, `SO_LINGER`, `TCP_INFO`)";
const VANISHED: &str = "A client that vanishes without a word";
const URGENT: &str = "Urgent data (`MSG_OOB`)";
const MPTCP: &str = "Multipath TCP";

#[test]
fn a_client_is_told_the_same_of_its_connection() {
    let scene = Scene::new();
    scene.same("TCP_INFO of the client", |way| {
        let (mut client, mut app) = way.pair();
        client.says("question");
        app.hears(8);
        app.says("answer");
        client.hears(6);
        let it = client.info();
        let congestion = SockRef::from(&client.stream).tcp_congestion().unwrap();
        (
            it.tcpi_state,
            // Time stamps, selective acknowledgements, scaled windows, congestion notification.
            it.tcpi_options,
            it.tcpi_snd_rcv_wscale,
            [it.tcpi_snd_mss, it.tcpi_advmss, it.tcpi_pmtu],
            congestion,
        )
    });
    scene.differs(PATH, &["the client's", "a device of its own"], |way| {
        let (_client, app) = way.pair();
        let it = app.info();
        match (it.tcpi_pmtu, it.tcpi_advmss) {
            (1500, 1420..1460) => "the client's",
            (60_000.., 60_000..) => "a device of its own",
            _ => "another",
        }
    });
}

#[test]
fn an_apps_settings_hold_for_its_own_end() {
    let scene = Scene::new();
    scene.differs(SETTINGS, &["500 bytes", "as wide as the path"], |way| {
        let at = (way.anywhere(), PORTS.start).into();
        let app = way.app.netns().run(|| {
            let socket = Socket::new(Domain::for_address(at), Type::STREAM, None).unwrap();
            socket.set_reuse_address(true).unwrap();
            socket.set_tcp_mss(500).unwrap();
            socket.bind(&at.into()).unwrap();
            socket.listen(128).unwrap();
            socket.into()
        });
        match way.meet(&app).0.info().tcpi_snd_mss {
            // Less the twelve bytes of a time stamp.
            488 => "500 bytes",
            1400.. => "as wide as the path",
            _ => "another",
        }
    });
}

#[test]
fn urgent_data_is_not_carried() {
    let scene = Scene::new();
    scene.differs(URGENT, &["!", "none"], |way| {
        let (mut client, mut app) = way.pair();
        client.says("abc");
        SockRef::from(&client.stream).send_out_of_band(b"!").unwrap();
        client.says("def");
        assert_eq!(app.hears(3), b"abc");
        // The agent may have stopped reading at the mark, until something more comes.
        client.says("ghi");
        app.could_hear(6);
        let mut urgent = [0];
        let heard = recv(app.stream.as_raw_fd(), &mut urgent, MsgFlags::MSG_OOB);
        assert_eq!(app.hears(6), b"defghi", "the rest is as it was");
        if heard == Ok(1) && urgent == *b"!" { "!" } else { "none" }
    });
}

#[test]
fn multipath_tcp_falls_back_to_tcp() {
    let scene = Scene::new();
    let multipath = |way: Way<'_>| {
        let at = way.at(PORTS.start);
        Socket::new(Domain::for_address(at), Type::STREAM, Some(Protocol::MPTCP)).unwrap()
    };
    scene.differs(MPTCP, &["MPTCP", "TCP"], |way| {
        let app = way.app.netns().run(|| {
            let socket = multipath(way);
            socket.set_reuse_address(true).unwrap();
            socket.bind(&SocketAddr::new(way.anywhere(), PORTS.start).into()).unwrap();
            socket.listen(128).unwrap();
            socket.into()
        });
        let client = way.client.netns().run(|| {
            let socket = multipath(way);
            socket.connect(&way.at(PORTS.start).into()).unwrap();
            socket
        });
        let speaks = is_multipath(&client);
        let (mut client, mut app) = (Side::of(client.into()), accepted(&app));
        client.says("question");
        assert_eq!(app.hears(8), b"question");
        if speaks { "MPTCP" } else { "TCP" }
    });
}

/// Makes the client drop whatever it would send to this app.
struct Vanished<'p>(&'p Pod, String);

impl<'p> Vanished<'p> {
    fn from(way: &Way<'p>) -> Self {
        let family = if way.v6 { "-6 " } else { "" };
        way.client.netns().ip(&format!("{family}route add blackhole {}", way.ip()));
        Self(way.client, format!("{family}route del blackhole {}", way.ip()))
    }
}

impl Drop for Vanished<'_> {
    fn drop(&mut self) {
        self.0.netns().ip(&self.1);
    }
}

#[test]
fn a_client_that_vanishes_is_found_out() {
    let scene = Scene::new();
    // Seconds, for both apps: the agent asks with what holds in the namespace.
    let settings = [("time", 1), ("intvl", 1), ("probes", 2)];
    scene.differs(VANISHED, &["ETIMEDOUT", "ECONNRESET"].map(str::to_owned), |way| {
        way.app.netns().run(|| {
            for (name, value) in settings {
                fs::write(format!("/proc/sys/net/ipv4/tcp_keepalive_{name}"), format!("{value}")).unwrap();
            }
        });
        let (client, app) = way.pair();
        let second = Duration::from_secs(1);
        let asking = TcpKeepalive::new().with_time(second).with_interval(second).with_retries(2);
        SockRef::from(&app.stream).set_tcp_keepalive(&asking).unwrap();
        let _vanished = Vanished::from(&way);
        let error = { app }.hears_out().1;
        drop(client);
        error
    });
}

#[test]
fn what_has_arrived_has_arrived_at_the_agent() {
    let scene = Scene::new();
    scene.differs(ARRIVED, &["with the client", "with the agent"], |way| {
        let (client, mut app) = way.pair();
        let _vanished = Vanished::from(&way);
        app.says("answer");
        let found = eventually("the answer to have arrived, or to be sent again", || {
            let it = app.info();
            if it.tcpi_unacked == 0 {
                return Some("with the agent");
            }
            (it.tcpi_retransmits > 0).then_some("with the client")
        });
        drop(client);
        found
    });
}
