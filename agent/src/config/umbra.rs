//! `umbra.dev/v1alpha1`: what Istio's API cannot say. One AgentConfig at most; every key has a default.

use std::{fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use ipnet::IpNet;

use super::{Located, Meta};

/// This agent, on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentConfig {
    /// None for the built-in defaults.
    pub meta: Option<Meta>,
    pub admin: Admin,
    pub capture: Capture,
    pub shadow: Shadow,
    /// None: no audit log.
    pub audit: Option<Audit>,
    /// Threads that carry primary traffic. 0: one per available core.
    pub workers: usize,
    /// How long stopping waits for open connections.
    pub drain_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
    /// The same window for programs of the same user, where it can be made. None: on the address alone.
    pub socket: Option<PathBuf>,
    /// Holds what whoever asks the API at the address must know. None: nothing.
    pub token_file: Option<PathBuf>,
    /// How many of the last requests are kept while nobody looks on.
    pub keep_exchanges: usize,
}

/// A line for each copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    pub to: AuditTo,
    /// Of a file, in bytes, before it is followed by another one.
    pub max_size: usize,
    /// Full files that are kept.
    pub keep: usize,
    /// Copies that were dropped have a line too.
    pub dropped: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuditTo {
    File(PathBuf),
    Stdout,
}

impl fmt::Display for AuditTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Stdout => f.write_str("on standard output"),
        }
    }
}

/// Where the admin window is when nothing else is said.
pub const ADMIN_ADDRESS: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9977);
pub const ADMIN_SOCKET: &str = "/run/umbra/admin.sock";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    pub inbound: Vec<Inbound>,
    /// Plain listeners in front of one app each: no eBPF, no privileges, the client's address is not kept.
    pub direct: Vec<Direct>,
    /// Sources whose connections are never captured.
    pub exempt: Vec<IpNet>,
    /// The addresses of the node itself too.
    pub exempt_node: bool,
    /// Of the container runtime, which is asked where pods' networks are. None: their cgroups tell.
    pub cri_socket: Option<PathBuf>,
    pub client_address: ClientAddress,
    /// Certificates of apps, with their keys: what is encrypted at these ports is read. Empty: nothing is.
    pub tls: Vec<Certificate>,
}

/// The certificate an app shows at a port, and its key. Several of one port are for apps that show several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Of the app.
    pub port: Located<u16>,
    /// PEM, the app's own first.
    pub certificate: Located<PathBuf>,
    pub private_key: Located<PathBuf>,
}

/// A network namespace to enrol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inbound {
    pub netns: Located<NetnsRef>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetnsRef {
    /// The namespace the agent was started in.
    Host,
    /// `/run/netns/NAME` or `/proc/PID/ns/net`.
    Path(std::path::PathBuf),
    /// `pid:1234`
    Pid(u32),
    /// `pod:UID`: a Kubernetes pod of this node, by its `metadata.uid`.
    Pod(String),
}

impl FromStr for NetnsRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A name of a directory, whatever the kubelet takes for a UID.
        let is_uid =
            |uid: &&str| !uid.is_empty() && uid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        match text.split_once(':') {
            _ if text.starts_with('/') => Some(Self::Path(text.into())),
            Some(("pid", pid)) => pid.parse().ok().filter(|pid| *pid > 0).map(Self::Pid),
            Some(("pod", uid)) => Some(uid).filter(is_uid).map(|uid| Self::Pod(uid.to_owned())),
            _ => (text == "host").then_some(Self::Host),
        }
        .ok_or_else(|| format!("`{text}` names no network namespace"))
    }
}

/// As configured.
impl fmt::Display for NetnsRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host"),
            Self::Path(path) => path.display().fmt(f),
            Self::Pid(pid) => write!(f, "pid:{pid}"),
            Self::Pod(uid) => write!(f, "pod:{uid}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Direct {
    pub listen: Located<SocketAddr>,
    pub upstream: SocketAddr,
}

/// Which source address the app sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAddress {
    /// The client's where the namespace allows it, else a local one.
    #[default]
    Auto,
    /// The client's; enrolment fails where that is impossible.
    Keep,
    /// A local one.
    Local,
}

/// Limits of the shadow plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Threads that send copies.
    pub workers: usize,
    /// Scheduling niceness of those threads, 0 to 19.
    pub nice: i32,
    /// From the end of the primary request to the end of the shadow's response.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// Connections to one endpoint from one shadow worker.
    pub connections_per_endpoint: usize,
    pub queue: Queue,
    /// Marks a copy, so that it is never mirrored again. Lower case.
    pub marker_header: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Copies waiting or under way.
    pub requests: usize,
    /// Bytes of heads and bodies held for shadows, all copies together.
    pub bytes: usize,
    /// Body bytes held for one copy.
    pub bytes_per_request: usize,
}

impl Default for AgentConfig {
    fn default() -> Self {
        Self {
            meta: None,
            admin: Admin::default(),
            capture: Capture::default(),
            shadow: Shadow::default(),
            audit: None,
            workers: 0,
            drain_timeout: Duration::from_secs(10),
        }
    }
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: ADMIN_ADDRESS,
            socket: Some(ADMIN_SOCKET.into()),
            token_file: None,
            keep_exchanges: 0,
        }
    }
}

impl Default for Capture {
    fn default() -> Self {
        Self {
            inbound: Vec::new(),
            direct: Vec::new(),
            exempt: Vec::new(),
            exempt_node: false,
            cri_socket: None,
            client_address: ClientAddress::Auto,
            tls: Vec::new(),
        }
    }
}

impl Default for Shadow {
    fn default() -> Self {
        Self {
            workers: 1,
            nice: 10,
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            connections_per_endpoint: 256,
            queue: Queue::default(),
            marker_header: "x-umbra-shadow".into(),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        // With all of it taken, and a thousand connections, the agent has grown by less than 64 MiB.
        Self { requests: 4096, bytes: 32 << 20, bytes_per_request: 16 << 20 }
    }
}
