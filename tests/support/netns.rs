//! Network namespaces and the veth pairs between them, made with `ip` and gone when dropped.

#![allow(unsafe_code, reason = "a child enters its namespace between fork and exec")]

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream},
    os::unix::process::CommandExt as _,
    panic::resume_unwind,
    process::{self, Command},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::{prctl, signal::Signal},
};

use crate::patience;

/// Numbers what this process makes, so that parallel tests never share a name.
fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A network namespace: one of our own, which ends with its last handle, or the one this process was started in.
#[derive(Clone, Debug)]
pub struct Netns {
    own: Option<Arc<Own>>,
}

#[derive(Debug)]
struct Own {
    name: String,
    file: File,
}

impl Netns {
    /// A new namespace with its loopback up.
    pub fn new(label: &str) -> Self {
        let name = format!("umbra-{label}-{}-{}", process::id(), next());
        ip(&format!("netns add {name}"));
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        let netns = Self { own: Some(Arc::new(Own { name, file })) };
        netns.ip("link set lo up");
        netns
    }

    /// That of a process which somebody else has started. Its network ends with its own.
    pub fn of_process(label: &str, pid: u32) -> Self {
        let name = format!("umbra-{label}-{}-{}", process::id(), next());
        ip(&format!("netns attach {name} {pid}"));
        let file = File::open(format!("/run/netns/{name}")).unwrap();
        Self { own: Some(Arc::new(Own { name, file })) }
    }

    /// The namespace of this process, which is left as it is.
    pub fn host() -> Self {
        Self { own: None }
    }

    /// What `ip netns` calls it; None for the host's.
    pub fn name(&self) -> Option<&str> {
        self.own.as_ref().map(|own| own.name.as_str())
    }

    /// What an AgentConfig calls it.
    pub fn path(&self) -> String {
        self.name().map_or_else(|| "host".to_owned(), |name| format!("/run/netns/{name}"))
    }

    /// Runs `ip` with these arguments inside.
    pub fn ip(&self, arguments: &str) {
        // Not `ip -n`, which mounts a /sys of its own and so fails in a bare chroot.
        run_ip(self.command("ip"), arguments);
    }

    /// Runs on a thread inside. Sockets made there stay inside, whichever thread uses them afterwards.
    pub fn run<T: Send>(&self, inside: impl FnOnce() -> T + Send) -> T {
        let Some(own) = &self.own else { return inside() };
        let enter_and_run = || {
            setns(&own.file, CloneFlags::CLONE_NEWNET).unwrap();
            inside()
        };
        thread::scope(|scope| scope.spawn(enter_and_run).join().unwrap_or_else(|panic| resume_unwind(panic)))
    }

    pub fn listen(&self, address: SocketAddr) -> TcpListener {
        self.run(|| TcpListener::bind(address))
            .unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"))
    }

    /// Connects from inside; as a test's client must, it gives up after [`patience`].
    pub fn connect(&self, address: SocketAddr) -> std::io::Result<TcpStream> {
        self.run(|| TcpStream::connect_timeout(&address, patience()))
    }

    /// A program that will run inside, and dies with the thread that starts it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let file = self.own.as_ref().map(|own| own.file.try_clone().unwrap());
        let enter = move || {
            if let Some(file) = &file {
                setns(file, CloneFlags::CLONE_NEWNET)?;
            }
            prctl::set_pdeathsig(Signal::SIGKILL)?;
            Ok(())
        };
        // SAFETY: between fork and exec only two system calls are made; nothing allocates or takes a lock.
        unsafe { command.pre_exec(enter) };
        command
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // Not a panic: this runs while a failed test unwinds.
        let _ = Command::new("ip").args(["netns", "del", &self.name]).status();
    }
}

/// One of the networks of the test range: `10.98.N.0/24` and `fd98:0:0:N::/64`.
#[derive(Clone, Copy, Debug)]
pub struct Subnet(pub u8);

impl Subnet {
    /// One to which this machine has no route yet.
    pub fn free_on_host() -> Self {
        let unrouted = |subnet: &Self| {
            let network = format!("{}/24", subnet.v4(0));
            let routes = Command::new("ip").args(["route", "show", "to", "root", &network]).output();
            routes.is_ok_and(|routes| routes.stdout.is_empty())
        };
        (3..=250)
            .map(Self)
            .find(unrouted)
            .expect("a test range wholly in use would be somebody's own network")
    }

    pub fn v4(self, host: u8) -> IpAddr {
        Ipv4Addr::new(10, 98, self.0, host).into()
    }

    pub fn v6(self, host: u8) -> IpAddr {
        Ipv6Addr::new(0xfd98, 0, 0, self.0.into(), 0, 0, 0, host.into()).into()
    }
}

/// A veth pair: `.1` of its subnet at the near end, `.2` at the far end.
#[derive(Debug)]
pub struct Link {
    /// Set when the near end is the host's, and must be removed by name.
    on_host: Option<String>,
}

impl Link {
    /// Connects two namespaces; `far` sees it as `far_device`.
    pub fn new(near: &Netns, far: &Netns, far_device: &str, subnet: Subnet) -> Self {
        // Interface names hold 15 characters.
        let near_device = format!("um{}-{}", process::id(), next());
        let place = |netns: &Netns| netns.name().map(|name| format!(" netns {name}")).unwrap_or_default();
        let (at_near, at_far) = (place(near), place(far));
        ip(&format!("link add {near_device}{at_near} type veth peer name {far_device}{at_far}"));
        let link = Self { on_host: near.name().is_none().then(|| near_device.clone()) };
        for (netns, device, host) in [(near, near_device.as_str(), 1), (far, far_device, 2)] {
            netns.ip(&format!("address add {}/24 dev {device}", subnet.v4(host)));
            // Without duplicate address detection it can be used at once.
            netns.ip(&format!("address add {}/64 dev {device} nodad", subnet.v6(host)));
            netns.ip(&format!("link set {device} up"));
        }
        link
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if let Some(device) = &self.on_host {
            let _ = Command::new("ip").args(["link", "del", device]).stderr(process::Stdio::null()).status();
        }
    }
}

fn ip(arguments: &str) {
    run_ip(Command::new("ip"), arguments);
}

fn run_ip(mut ip: Command, arguments: &str) {
    let output = ip.args(arguments.split_whitespace()).output().unwrap_or_else(|error| {
        panic!("cannot run ip: {error}; run this by `cargo xtask test`, which installs it")
    });
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`ip {arguments}` failed: {}; root is needed", complaint.trim());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_ends_with_its_handle_even_when_the_test_panics() {
        let netns = Netns::new("gone");
        let path = netns.path();
        assert!(std::fs::exists(&path).unwrap());
        let panicked = thread::spawn(move || {
            let _held = netns;
            panic!("on purpose");
        });
        assert!(panicked.join().is_err());
        assert!(!std::fs::exists(&path).unwrap());
    }

    #[test]
    fn a_socket_made_inside_stays_inside() {
        let netns = Netns::new("inside");
        let listener = netns.listen("127.0.0.1:0".parse().unwrap());
        let address = listener.local_addr().unwrap();
        netns.connect(address).unwrap();
        assert!(TcpStream::connect(address).is_err(), "the host's loopback reached {address} inside");
    }

    #[test]
    fn a_program_runs_inside() {
        let netns = Netns::new("exec");
        let links = netns.command("ip").args(["-o", "link"]).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&links.stdout).lines().count(), 1, "{links:?}");
    }

    #[test]
    fn both_families_cross_a_link() {
        let (near, far) = (Netns::new("near"), Netns::new("far"));
        let _link = Link::new(&near, &far, "eth0", Subnet(1));
        for address in [Subnet(1).v4(2), Subnet(1).v6(2)] {
            let listener = far.listen((address, 0).into());
            near.connect(listener.local_addr().unwrap()).unwrap();
        }
    }
}
