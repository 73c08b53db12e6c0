//! A client's and an app's network namespace, joined by a veth pair, and what runs in them.

use std::{
    fmt::Debug,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    process::{self, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use socket2::{Domain, SockRef, Socket, Type};

use crate::{capture::netns::Netns, config::umbra::NetnsRef};

/// The client's addresses: the app's end of the pair sees these.
pub(super) const CLIENT_V4: &str = "10.77.0.1";
pub(super) const CLIENT_V6: &str = "fd01::1";
/// A second address of the client.
pub(super) const OTHER_CLIENT: &str = "10.77.0.9";
/// The app's addresses.
pub(super) const APP_V4: &str = "10.77.0.2";
pub(super) const APP_V6: &str = "fd01::2";

/// Long enough for everything that should happen at all.
const PATIENCE: Duration = Duration::from_secs(5);

/// A named network namespace, removed when dropped.
pub(in crate::capture) struct Namespace {
    name: String,
    netns: Netns,
}

impl Namespace {
    fn new(role: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("umbra-{}-{}-{role}", process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        ip(&["netns", "add", &name]);
        let path = format!("/run/netns/{name}").into();
        let netns = Netns::open(&NetnsRef::Path(path)).expect("just made");
        let namespace = Self { name, netns };
        // Or each address is on probation for a second.
        namespace.sysctl("net/ipv6/conf/default/accept_dad", "0");
        namespace.ip(&["link", "set", "lo", "up"]);
        namespace
    }

    pub(in crate::capture) fn reference(&self) -> NetnsRef {
        NetnsRef::Path(format!("/run/netns/{}", self.name).into())
    }

    pub(in crate::capture) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.netns.on_thread(work).expect("tests of capture run as root")
    }

    pub(super) fn sysctl(&self, name: &str, value: &str) {
        self.inside(|| std::fs::write(format!("/proc/sys/{name}"), value))
            .expect("a setting of the namespace");
    }

    /// The output of `ip` inside.
    pub(in crate::capture) fn ip(&self, arguments: &[&str]) -> String {
        ip(&[&["-n", &self.name], arguments].concat())
    }

    /// Runs an app that tells each client which addresses it sees, until it is dropped.
    pub(super) fn app(&self, listen: &str) -> App {
        let listen: IpAddr = listen.parse().unwrap();
        self.app_on((listen, 0).into())
    }

    pub(super) fn app_on(&self, listen: SocketAddr) -> App {
        let listener = self.inside(|| TcpListener::bind(listen)).unwrap_or_else(|e| panic!("{listen}: {e}"));
        App::run(listener)
    }

    /// As [`Self::app`], IPv6 without IPv4.
    pub(super) fn app_v6_only(&self) -> App {
        let listener = self.inside(|| {
            let socket = Socket::new(Domain::IPV6, Type::STREAM, None).unwrap();
            socket.set_only_v6(true).unwrap();
            socket.bind(&"[::]:0".parse::<SocketAddr>().unwrap().into()).unwrap();
            socket.listen(128).unwrap();
            TcpListener::from(socket)
        });
        App::run(listener)
    }

    /// A connection from here, and what the app says about it.
    pub(super) fn call(&self, app: impl Into<SocketAddr> + Send) -> io::Result<Seen> {
        let app = app.into();
        self.inside(|| Seen::through(TcpStream::connect_timeout(&app, PATIENCE)?))
    }

    /// As [`Self::call`], from a given address.
    pub(super) fn call_from(&self, source: SocketAddr, app: SocketAddr) -> io::Result<Seen> {
        self.inside(|| {
            let socket = Socket::new(Domain::for_address(app), Type::STREAM, None)?;
            socket.set_reuse_address(true)?;
            socket.bind(&source.into())?;
            socket.connect_timeout(&app.into(), PATIENCE)?;
            Seen::through(socket.into())
        })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = closing(|| Command::new("ip").args(["netns", "del", &self.name]).status());
    }
}

/// A client's and an app's namespace.
pub(in crate::capture) struct Pod {
    pub(in crate::capture) client: Namespace,
    pub(in crate::capture) pod: Namespace,
}

impl Pod {
    pub(in crate::capture) fn new() -> Self {
        let (client, pod) = (Namespace::new("client"), Namespace::new("app"));
        client.ip(&["link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", &pod.name]);
        for (namespace, addresses) in
            [(&client, [CLIENT_V4, OTHER_CLIENT, CLIENT_V6].as_slice()), (&pod, [APP_V4, APP_V6].as_slice())]
        {
            for address in addresses {
                let (address, duplicates) = match address.parse().unwrap() {
                    IpAddr::V4(v4) => (format!("{v4}/24"), None),
                    IpAddr::V6(v6) => (format!("{v6}/64"), Some("nodad")),
                };
                let mut arguments = vec!["address", "add", &address, "dev", "eth0"];
                arguments.extend(duplicates);
                namespace.ip(&arguments);
            }
            namespace.ip(&["link", "set", "eth0", "up"]);
        }
        for namespace in [&client, &pod] {
            let up = || namespace.ip(&["link", "show", "eth0"]).contains("state UP");
            eventually("the veth pair is up", up);
        }
        Self { client, pod }
    }
}

/// What the app saw of a connection.
#[derive(Debug)]
pub(super) struct Seen {
    /// The client's own end.
    pub(super) client: SocketAddr,
    /// The address the client dialled.
    pub(super) dialled: SocketAddr,
    /// Both ends, as the app sees them.
    pub(super) app_peer: SocketAddr,
    pub(super) app_local: SocketAddr,
    /// Still open.
    pub(super) stream: TcpStream,
}

impl Seen {
    pub(super) fn through(stream: TcpStream) -> io::Result<Self> {
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        let mut addresses = line.split_whitespace().map(str::parse::<SocketAddr>);
        match (addresses.next(), addresses.next()) {
            (Some(Ok(app_peer)), Some(Ok(app_local))) => Ok(Self {
                client: stream.local_addr()?,
                dialled: stream.peer_addr()?,
                app_peer,
                app_local,
                stream,
            }),
            _ => Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the app said {line:?}"))),
        }
    }

    /// Ends the connection by a reset, which leaves nothing behind at the client.
    pub(super) fn reset(self) {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// The app met the client itself: nobody was in between.
    pub(super) fn is_direct(&self) -> bool {
        self.app_peer == self.client && self.app_local == self.dialled
    }
}

/// An app, until it is dropped.
pub(super) struct App {
    listener: TcpListener,
    thread: Option<thread::JoinHandle<()>>,
}

impl App {
    fn run(listener: TcpListener) -> Self {
        let accepting = listener.try_clone().unwrap();
        let thread = thread::spawn(move || {
            while let Ok((stream, peer)) = accepting.accept() {
                thread::spawn(move || serve(stream, peer));
            }
        });
        Self { listener, thread: Some(thread) }
    }

    pub(super) fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    /// The app as a client dials it.
    pub(super) fn at(&self, address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), self.port())
    }
}

impl Drop for App {
    fn drop(&mut self) {
        // Wakes the accepting thread and stops listening at once.
        let _ = SockRef::from(&self.listener).shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(mut stream: TcpStream, peer: SocketAddr) {
    let Ok(local) = stream.local_addr() else { return };
    let (peer, local) = (crate::capture::canonical(peer), crate::capture::canonical(local));
    let _ = writeln!(stream, "{peer} {local}");
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Waits for a condition.
pub(super) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "never came true: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Held while a child process starts: until then it holds a copy of every file of this one.
static STARTING: Mutex<()> = Mutex::new(());

/// Closes files for good, as a process does that has no children.
pub(super) fn closing<T>(work: impl FnOnce() -> T) -> T {
    let _nobody_starts = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    work()
}

fn ip(arguments: &[&str]) -> String {
    let mut command = Command::new("ip");
    command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = closing(|| command.spawn()).expect("iproute2 is installed");
    let output = child.wait_with_output().expect("it ends by itself");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ip {} (as root?): {error}", arguments.join(" "));
    String::from_utf8(output.stdout).unwrap()
}
