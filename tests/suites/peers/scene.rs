//! Where the probes run: an app with a wiretap before it, a shadow, and two clients with a wiretap each, one of which the
//! agent captures.
//!
//! ```text
//! direct   client ─▶ tap ──────────────┐
//! captured client ─▶ tap ─▶ the agent ─┴▶ tap ─▶ app
//!                               └──────────────▶ shadow
//! ```

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    process::Output,
};

use support::{Agent, Config, Node, Pod, agent};
use tempfile::TempDir;

use crate::{
    servers::{PORT, Server},
    wiretap::{Said, Wiretap},
};

/// What clients call, in their own namespace, and what the agent captures.
const TAPPED: u16 = 8080;

pub(crate) struct Scene {
    direct: Caller,
    captured: Caller,
    at_app: Wiretap,
    pub(crate) app: Box<dyn Server>,
    pub(crate) shadow: Box<dyn Server>,
    pub(crate) agent: Agent,
    files: Files,
    _pods: [Pod; 2],
    _node: Node,
}

struct Caller {
    tap: Wiretap,
    pod: Pod,
}

/// A run of one command: what came of it, and what both taps heard.
pub(crate) struct Run {
    pub(crate) output: Output,
    pub(crate) at_client: Vec<Said>,
    pub(crate) at_app: Vec<Said>,
}

/// Which way a client goes.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Direct,
    Captured,
}

impl Scene {
    /// `protocol` is that of the shadow's port, as a ServiceEntry names it.
    pub(crate) fn new<A: Server + 'static, S: Server + 'static>(
        protocol: &str,
        app: impl FnOnce(&Pod, &Files) -> A,
        shadow: impl FnOnce(&Pod, &Files) -> S,
    ) -> Self {
        let node = Node::new();
        let pods = ["app", "shadow"].map(|label| node.pod(label));
        let files = Files::new();
        let servers: (Box<dyn Server>, Box<dyn Server>) =
            (Box::new(app(&pods[0], &files)), Box::new(shadow(&pods[1], &files)));
        let at_app = (pods[0].ip(), TAPPED).into();
        // On every address: only then does the app see the client's own port.
        let everywhere = (Ipv6Addr::UNSPECIFIED, TAPPED).into();
        let tap = Wiretap::start(pods[0].netns(), everywhere, (Ipv4Addr::LOCALHOST, PORT).into());
        let caller = |label| {
            let pod = node.pod(label);
            let tap = Wiretap::start(pod.netns(), (Ipv4Addr::LOCALHOST, TAPPED).into(), at_app);
            Caller { tap, pod }
        };
        let (direct, captured) = (caller("direct"), caller("captured"));
        let config = Config::capture(&pods[0].netns().path(), at_app)
            .mirror((pods[1].ip(), PORT).into(), 100.0)
            .speaking(protocol)
            .agent(&format!(
                "    exempt: [{}]\n  shadow: {{queue: {{requests: 20000, bytes: 1Gi, bytesPerRequest: 64Mi}}}}",
                direct.pod.ip()
            ));
        let agent = agent(&node).config(&config).start();
        let (app, shadow) = servers;
        Self { direct, captured, at_app: tap, app, shadow, agent, files, _pods: pods, _node: node }
    }

    /// Runs a line of the shell in the namespace of a client, to its end and that of all its connections.
    pub(crate) fn run(&self, way: Way, line: &str) -> Run {
        let caller = match way {
            Way::Direct => &self.direct,
            Way::Captured => &self.captured,
        };
        let output = caller
            .pod
            .netns()
            .command("timeout")
            .args(["--kill-after=1", "30", "bash", "-o", "pipefail", "-c", line])
            .current_dir(self.files.path())
            .env("to", format!("127.0.0.1:{TAPPED}"))
            .env("url", format!("http://127.0.0.1:{TAPPED}"))
            .env("python", support::python())
            .env("programs", programs())
            .env("LC_ALL", "C")
            .output()
            .unwrap();
        Run { output, at_client: caller.tap.heard(), at_app: self.at_app.heard() }
    }
}

/// The folder of the programs.
pub(crate) fn programs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("suites/peers/programs")
}

/// What servers serve and clients send.
pub(crate) struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| fs::write(dir.path().join(name), bytes).unwrap();
        let mut noise = vec![0; 3_000_000];
        fastrand::Rng::with_seed(5).fill(&mut noise);
        write("noise", &noise);
        write("hello.txt", b"hello\n");
        write("empty", b"");
        write("lines.txt", "the same line over and over\n".repeat(4000).as_bytes());
        Self(dir)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn text(&self) -> String {
        self.path().display().to_string()
    }
}
