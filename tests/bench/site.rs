//! The scene: one client, one shadow, and for each case an app in a namespace of its own with the proxy beside it, so
//! that all have the same way to the app and to the shadow, and none has another's copies on its hands.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result};
use support::{Agent, Client, Link, Netns, Subnet};
use tempfile::TempDir;

use crate::{
    case::{Case, Setting, Way},
    client::own_program,
    load::Load,
    process::{self, Processors},
    ways::{APP, PROXY, Ports, Program, Shadow, envoy, nginx, umbra},
};

pub(crate) struct World {
    pub(crate) client: Netns,
    pub(crate) processors: Processors,
    shadow: Netns,
    files: TempDir,
    also: Option<PathBuf>,
    _shadow_servers: [Program; 3],
}

/// Where the shadow reads uploads, where it takes its time for everything, and where it accepts and never reads.
const SHADOW_UPLOADS: u16 = 8090;
const SLOW: u16 = 8050;
const SILENT: u16 = 8060;
const SLOWLY: Duration = Duration::from_millis(100);

impl World {
    pub(crate) fn new(processors: Processors, also: Option<PathBuf>) -> Result<Self> {
        let (client, shadow) = (Netns::new("client"), Netns::new("shadow"));
        let files = tempfile::tempdir()?;
        fs::write(files.path().join("big"), vec![b'b'; 10 << 20])?;
        fs::write(files.path().join("medium"), vec![b'm'; 64 << 10])?;
        for netns in [&client, &shadow] {
            plenty_of_ports(netns)?;
        }
        let servers = [
            nginx::shadow(&shadow, files.path())?,
            sink(&shadow, SHADOW_UPLOADS, Duration::ZERO)?,
            sink(&shadow, SLOW, SLOWLY)?,
        ];
        never_read(shadow.listen((Ipv4Addr::UNSPECIFIED, SILENT).into()));
        Ok(Self { client, processors, shadow, files, also, _shadow_servers: servers })
    }

    /// Requests that the shadow has received, by its own count. Each time it is asked is one more.
    pub(crate) fn arrived(&self) -> Result<u64> {
        let shadow = SocketAddr::from((Ipv4Addr::LOCALHOST, nginx::EMPTY));
        let reply = Client::new(&self.shadow, shadow).get("/arrived").text();
        // `server accepts handled requests`, and their values below.
        let requests = reply.lines().nth(2).and_then(|values| values.split_whitespace().nth(2)?.parse().ok());
        requests.with_context(|| format!("the shadow's nginx did not count:\n{reply}"))
    }
}

/// A case, set up.
pub(crate) struct Site {
    pub(crate) case: Case,
    ip: IpAddr,
    netns: Netns,
    /// Those that clients dial.
    ports: Ports,
    proxy: Proxy,
    processors: Vec<usize>,
    _app: [Program; 2],
    _links: [Link; 2],
}

enum Proxy {
    Nobody,
    Umbra(Agent),
    Other(Program),
}

impl Site {
    /// The number is its own among all sites.
    pub(crate) fn new(case: Case, number: u8, world: &World) -> Result<Self> {
        let Case(way, setting) = case;
        let app = Netns::new("app");
        let (to_client, to_shadow) = (Subnet(2 * number + 1), Subnet(2 * number + 2));
        let links = [
            Link::new(&world.client, &app, "eth0", to_client),
            Link::new(&app, &world.shadow, &format!("eth{number}"), to_shadow),
        ];
        plenty_of_ports(&app)?;
        // The shadow's namespace does not forward: what is sent through it to an address it lacks vanishes.
        let nowhere = to_shadow.v4(66);
        app.ip(&format!("route add {nowhere}/32 via {}", to_shadow.v4(2)));
        let servers = [nginx::app(&app, world.files.path())?, sink(&app, APP.uploads, Duration::ZERO)?];

        let (ip, living) = (to_client.v4(2), to_shadow.v4(2));
        let ordinary = Ports { uploads: SHADOW_UPLOADS, ..nginx::ORDINARY };
        let shadow = match setting {
            Setting::MirrorEmpty => Shadow { ip: living, ports: Ports { small: nginx::EMPTY, ..ordinary } },
            Setting::BlackHole => Shadow { ip: nowhere, ports: ordinary },
            Setting::Silent => {
                Shadow { ip: living, ports: Ports { small: SILENT, uploads: SILENT, http2: SILENT } }
            }
            Setting::Slow => Shadow { ip: living, ports: Ports { small: SLOW, uploads: SLOW, http2: SLOW } },
            _ => Shadow { ip: living, ports: ordinary },
        };
        let mirrored = case.mirrors().then_some(shadow);
        let other = if way == Way::Also { world.also.as_deref() } else { None };
        let proxy = match way {
            Way::Direct => Proxy::Nobody,
            Way::Umbra | Way::Also => {
                let audit = world.files.path().join(format!("audit-{number}.log"));
                let audit = (setting == Setting::Watched).then_some(audit);
                Proxy::Umbra(umbra::agent(&app, ip, (setting, shadow), other, audit.as_deref()))
            }
            Way::Nginx => Proxy::Other(nginx::proxy(&app, mirrored)?),
            Way::Redirected => Proxy::Other(nginx::redirected(&app)?),
            Way::Envoy => Proxy::Other(envoy::proxy(&app, mirrored)?),
        };
        let ports = if matches!(way, Way::Nginx | Way::Envoy) { PROXY } else { APP };
        let processors = (0..world.processors.count).collect();
        let site = Self { case, ip, netns: app, ports, proxy, processors, _app: servers, _links: links };
        if let Some(pid) = site.pid() {
            process::pin(pid, &world.processors.of_proxies())?;
        }
        Ok(site)
    }

    /// Where the client finds small answers and large ones.
    pub(crate) fn small(&self) -> SocketAddr {
        (self.ip, self.ports.small).into()
    }

    /// Where it sends uploads.
    pub(crate) fn uploads(&self) -> SocketAddr {
        (self.ip, self.ports.uploads).into()
    }

    /// Where it finds small answers over HTTP/2.
    pub(crate) fn http2(&self) -> SocketAddr {
        (self.ip, self.ports.http2).into()
    }

    /// Of the proxy; None where there is none.
    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.proxy {
            Proxy::Nobody => None,
            Proxy::Umbra(agent) => Some(agent.pid()),
            Proxy::Other(program) => Some(program.pid()),
        }
    }

    /// Whether this load can be profiled there: somebody is in the way, and speaks it.
    pub(crate) fn serves(&self, load: Load) -> bool {
        match self.case.0 {
            Way::Direct => false,
            Way::Nginx | Way::Redirected => load == Load::Tenth,
            Way::Umbra | Way::Also | Way::Envoy => true,
        }
    }

    /// Where its proxy and its app are.
    pub(crate) fn netns(&self) -> &Netns {
        &self.netns
    }

    pub(crate) fn agent(&self) -> Option<&Agent> {
        if let Proxy::Umbra(agent) = &self.proxy { Some(agent) } else { None }
    }

    /// All of the machine.
    pub(crate) fn processors(&self) -> Vec<usize> {
        self.processors.clone()
    }
}

/// Takes so long for each answer.
fn sink(netns: &Netns, port: u16, takes: Duration) -> Result<Program> {
    let program = own_program()?;
    let arguments = |command: &mut std::process::Command, _: &TempDir| {
        command.args(["sink", &format!("0.0.0.0:{port}"), &takes.as_millis().to_string()]);
        Ok(())
    };
    Program::start(netns, &program.to_string_lossy(), arguments, port)
}

/// Connections are accepted and held for as long as this program runs.
fn never_read(listener: TcpListener) {
    thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
}

/// A connection for each request must not end for want of ports: closed ones wait a minute for stragglers.
fn plenty_of_ports(netns: &Netns) -> Result<()> {
    netns.run(|| {
        fs::write("/proc/sys/net/ipv4/ip_local_port_range", "10000 65000")?;
        fs::write("/proc/sys/net/ipv4/tcp_tw_reuse", "1")
    })?;
    Ok(())
}
