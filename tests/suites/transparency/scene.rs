//! A client and two apps: one that nobody stands in front of, and one that an agent captures.

use std::{
    fmt::Debug,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
};

use support::{Agent, Config, Node, Pod, agent, eventually};

use crate::side::Side;

/// What apps listen on and the agent captures, at every address; a port for each kind of app, for the agent remembers
/// for some seconds how an app listens.
pub(crate) const PORTS: std::ops::Range<u16> = 8080..8092;
const PORT: u16 = PORTS.start;

/// What the manual says of the differences there are.
const PAGE: &str = include_str!("../../../config/manual/differences.md");

pub(crate) struct Scene {
    agent: Agent,
    pub(crate) client: Pod,
    direct: Pod,
    captured: Pod,
    /// What the namespace was like before the agent came.
    before: String,
    _shadow: Pod,
    pub(crate) node: Node,
}

/// From the client to one of the apps, over one family.
#[derive(Clone, Copy)]
pub(crate) struct Way<'s> {
    pub(crate) client: &'s Pod,
    pub(crate) app: &'s Pod,
    pub(crate) v6: bool,
}

impl Scene {
    pub(crate) fn new() -> Self {
        let node = Node::new();
        let [client, direct, captured, shadow] =
            ["client", "direct", "captured", "shadow"].map(|label| node.pod(label));
        let everywhere = |port| SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
        let config = Config::capture(&captured.netns().path(), everywhere(PORT));
        let config = PORTS.skip(1).fold(config, |config, port| config.also(everywhere(port)));
        let before = captured.netns().traces();
        let agent = agent(&node).config(&config.mirror((shadow.ip(), 8080).into(), 100.0)).start();
        Self { agent, client, direct, captured, before, _shadow: shadow, node }
    }

    /// Both sides see the same, whichever way they meet.
    pub(crate) fn same<T: PartialEq + Debug>(&self, what: &str, probe: impl Fn(Way<'_>) -> T) {
        for v6 in [false, true] {
            let [direct, captured] = self.run(what, v6, &probe);
            assert!(direct == captured, "{what} (IPv6: {v6}): {direct:#?} directly, {captured:#?} captured");
        }
    }

    /// What is seen is not the same, and just as the manual's row of this name has it.
    pub(crate) fn differs<T: PartialEq + Debug>(
        &self,
        row: &str,
        expected: &[T; 2],
        probe: impl Fn(Way<'_>) -> T,
    ) {
        is_known(row);
        for v6 in [false, true] {
            let seen = self.run(row, v6, &probe);
            assert!(seen == *expected, "{row} (IPv6: {v6}): {seen:#?}, not {expected:#?}");
        }
    }

    /// What the probe tells, directly and captured.
    pub(crate) fn run<T>(&self, what: &str, v6: bool, probe: impl Fn(Way<'_>) -> T) -> [T; 2] {
        let way = |app| Way { client: &self.client, app, v6 };
        let direct = probe(way(&self.direct));
        let before = self.assigned();
        let captured = probe(way(&self.captured));
        assert!(self.assigned() > before, "{what}: the agent was not in the path");
        [direct, captured]
    }

    /// Ends the agent, which leaves the namespace as it was.
    pub(crate) fn leaves_it_as_it_was(self) {
        assert!(self.agent.stop().success());
        assert_eq!(self.captured.netns().traces(), self.before);
    }

    fn assigned(&self) -> f64 {
        self.agent.metrics().sum("umbra_capture_verdicts_total{verdict=\"assigned\"}")
    }
}

/// There is such a row in the manual's table of known differences.
pub(crate) fn is_known(row: &str) {
    assert!(PAGE.contains(&format!("\n| {row} |")), "no row {row:?} in config/manual/differences.md");
}

impl Way<'_> {
    /// The app's address.
    pub(crate) fn ip(&self) -> IpAddr {
        if self.v6 { self.app.ip6() } else { self.app.ip() }
    }

    pub(crate) fn client_ip(&self) -> IpAddr {
        if self.v6 { self.client.ip6() } else { self.client.ip() }
    }

    pub(crate) fn anywhere(&self) -> IpAddr {
        if self.v6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() }
    }

    pub(crate) fn loopback(&self) -> IpAddr {
        if self.v6 { Ipv6Addr::LOCALHOST.into() } else { Ipv4Addr::LOCALHOST.into() }
    }

    /// What a client dials.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.ip(), port).into()
    }

    /// The app, on every address of the family.
    pub(crate) fn listen(&self, port: u16) -> TcpListener {
        self.app.netns().listen((self.anywhere(), port).into())
    }

    pub(crate) fn dial(&self, port: u16) -> io::Result<TcpStream> {
        self.client.netns().connect(self.at(port))
    }

    /// A connection: the client's end and the app's.
    pub(crate) fn pair(&self) -> (Side, Side) {
        self.meet(&self.listen(PORT))
    }

    /// The same, of an app that listens in its own manner.
    pub(crate) fn meet(&self, app: &TcpListener) -> (Side, Side) {
        let client = self.dial(app.local_addr().unwrap().port()).unwrap();
        (Side::of(client), accepted(app))
    }
}

pub(crate) fn accepted(app: &TcpListener) -> Side {
    app.set_nonblocking(true).unwrap();
    Side::of(eventually("a connection at the app", || app.accept().ok()).0)
}
