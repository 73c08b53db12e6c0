//! What every ending happens in: an nginx with sixteen clients, and one agent after the other in front of it.

use std::{env, net::SocketAddr, path::PathBuf};

use nix::sys::signal::Signal;
use support::{Agent, Asking, Config, Load, LoadReport, Nginx, Node, Pod, agent, eventually};
use tempfile::TempDir;

/// Half of the clients keep their connections, half open one for each request.
pub(crate) const HTTP1: [Asking; 16] = {
    let mut clients = [Asking::Renewed; 16];
    let mut fresh = 0;
    while fresh < 8 {
        clients[fresh] = Asking::Fresh;
        fresh += 1;
    }
    clients
};
/// Sixteen requests under way, on four connections.
pub(crate) const HTTP2: [Asking; 4] = [Asking::Streams; 4];

/// Rounds of one ending, and how many requests are answered in each at least.
pub(crate) struct Rounds {
    pub(crate) count: u32,
    pub(crate) requests: u64,
}

impl Rounds {
    pub(crate) fn wanted() -> Self {
        match env::var("UMBRA_ENDINGS_ROUNDS") {
            Ok(count) => Self { count: count.parse().unwrap(), requests: 10_000 },
            Err(_) => Self { count: 3, requests: 500 },
        }
    }
}

pub(crate) struct World {
    node: Node,
    _app: Pod,
    client: Pod,
    primary: Nginx,
    _copies: Nginx,
    config: Config,
    dir: TempDir,
}

impl World {
    pub(crate) fn new(clients: &[Asking]) -> Self {
        let node = Node::new();
        let (app, shadow, client) = (node.pod("app"), node.pod("shadow"), node.pod("client"));
        let version = if clients.contains(&Asking::Streams) { " http2" } else { "" };
        let server = |version: &str| {
            format!(
                "  access_log off;\n  keepalive_requests 1000000000;\n  server {{ listen 8080{version} backlog=4096; \
                 location / {{ return 200 ok; }} }}"
            )
        };
        let start =
            |pod: &Pod, version| Nginx::start(pod.netns(), SocketAddr::new(pod.ip(), 8080), &server(version));
        let (primary, copies) = (start(&app, version), start(&shadow, ""));
        let dir = tempfile::tempdir().unwrap();
        let config = Config::capture(&app.netns().path(), primary.address())
            .mirror(copies.address(), 100.0)
            .socket(&dir.path().join("admin.sock"));
        Self { node, _app: app, client, primary, _copies: copies, config, dir }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    pub(crate) fn load(&self, clients: &[Asking]) -> Load {
        Load::of(self.client.netns(), self.primary.address(), clients)
    }

    pub(crate) fn agent(&self) -> Agent {
        agent(&self.node).config(&self.config).start()
    }

    /// Another agent with the very configuration of the one that runs, ready to follow it.
    pub(crate) fn successor(&self, running: &Agent) -> Agent {
        let mut successor = agent(&self.node).follows(running).config(&self.config).spawn();
        eventually("the successor to be ready", || {
            assert!(successor.exit_status().is_none(), "the successor ended:\n{}", successor.log());
            successor.log().contains("umbra is ready").then_some(())
        });
        successor
    }
}

/// SIGTERM, and the end of all connections before the deadline.
pub(crate) fn stop(mut agent: Agent) {
    agent.signal(Signal::SIGTERM);
    let status = eventually("the agent to end after SIGTERM", || agent.exit_status());
    assert!(status.success() && agent.log().contains("connections_cut=0"), "{status}: {}", agent.log());
}

/// Waits until the agent has been given connections: it is really in the path.
pub(crate) fn is_in_the_path(agent: &Agent) {
    eventually("the agent to be given connections", || {
        let given = agent.ask("/metrics").ok()?.text();
        given.lines().find(|line| {
            line.starts_with("umbra_capture_verdicts_total{verdict=\"assigned\"}") && !line.ends_with(" 0")
        })?;
        Some(())
    });
}

pub(crate) fn print(ending: &str, rounds: u32, report: &LoadReport) {
    println!(
        "{rounds} x {ending}: {} requests answered, {} failed, {} were sent on another connection before anything of \
         them was sent",
        report.answered,
        report.failures.len(),
        report.sent_elsewhere
    );
}
