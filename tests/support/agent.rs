//! The real agent, `umbra run`, as a program of its own.

use std::{
    env, fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    thread,
};

use http::Method;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{ApiServer, Config, Metrics, Netns, Node, Upstream, client::Client, eventually, in_time};

/// An agent on this node.
pub fn agent(node: &Node) -> AgentBuilder<'_> {
    AgentBuilder::new(node.netns())
}

#[derive(Debug)]
#[must_use = "not running before `start`"]
pub struct AgentBuilder<'a> {
    netns: &'a Netns,
    admin: SocketAddr,
    configuration: String,
    log_filter: String,
    prelude: String,
    arguments: Vec<String>,
    binary: Option<PathBuf>,
    unprivileged: bool,
    kubeconfig: Option<PathBuf>,
}

impl<'a> AgentBuilder<'a> {
    /// An agent in a namespace, with a free port there for its admin window.
    pub fn new(netns: &'a Netns) -> Self {
        let free = netns.listen((Ipv4Addr::LOCALHOST, 0).into());
        let admin = free.local_addr().unwrap();
        Self {
            netns,
            admin,
            configuration: String::new(),
            log_filter: "info".to_owned(),
            prelude: String::new(),
            arguments: Vec::new(),
            binary: None,
            unprivileged: false,
            kubeconfig: None,
        }
    }

    /// It takes its rules from this API server, as the agent of this node.
    pub fn kubernetes(self, server: &ApiServer, node: &str) -> Self {
        self.cluster(server.kubeconfig(), node)
    }

    /// The same of the API server that a kubeconfig names.
    pub fn cluster(mut self, kubeconfig: PathBuf, node: &str) -> Self {
        self.arguments = ["--kubernetes", "--node-name", node].map(str::to_owned).into();
        self.kubeconfig = Some(kubeconfig);
        self
    }

    /// The address to name in a configuration of one's own.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The next agent of the same configuration: at the admin address of this one.
    pub fn follows(mut self, agent: &Agent) -> Self {
        self.admin = agent.admin;
        self
    }

    /// Mirrors every request of one server to the other.
    pub fn mirror_all(self, primary: &Upstream, shadow: &Upstream) -> Self {
        let config =
            Config::capture(&primary.netns().path(), primary.address()).mirror(shadow.address(), 100.0);
        self.config(&config)
    }

    pub fn config(mut self, config: &Config) -> Self {
        self.configuration = config.to_yaml(self.admin);
        self
    }

    /// Configuration as it stands in a file; it must name [`AgentBuilder::admin`].
    pub fn yaml(mut self, yaml: &str) -> Self {
        yaml.clone_into(&mut self.configuration);
        self
    }

    /// What it logs, as `RUST_LOG` says it.
    pub fn logs(mut self, filter: &str) -> Self {
        filter.clone_into(&mut self.log_filter);
        self
    }

    /// Shell commands run before it, in a mount namespace that it keeps to itself: what they mount is gone with it.
    pub fn after(mut self, prelude: &str) -> Self {
        prelude.clone_into(&mut self.prelude);
        self
    }

    /// More arguments of `umbra run`.
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// Another build than [`binary`].
    pub fn binary(mut self, path: &std::path::Path) -> Self {
        self.binary = Some(path.to_owned());
        self
    }

    /// Runs it as `nobody`, without a capability: as somebody who tries it.
    pub fn unprivileged(mut self) -> Self {
        self.unprivileged = true;
        self
    }

    /// Starts it and waits until it is ready.
    pub fn start(self) -> Agent {
        let mut agent = self.spawn();
        eventually("the agent to be ready", || {
            assert!(agent.exit_status().is_none(), "the agent ended before it was ready:\n{}", agent.log());
            agent.is_ready().then_some(())
        });
        agent
    }

    /// Starts it and does not wait: for configurations it must refuse.
    pub fn spawn(self) -> Agent {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("umbra.yaml");
        fs::write(&config, &self.configuration).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let binary = self.binary.unwrap_or_else(binary);
        let mut command = if self.unprivileged {
            let binary = open_to_nobody(&dir, &binary);
            as_nobody(self.netns, &binary)
        } else if self.prelude.is_empty() {
            self.netns.command(&binary)
        } else {
            let mut command = self.netns.command("unshare");
            let script = format!("set -e\n{}\nexec \"$@\"", self.prelude);
            // Slave: namespaces that are deleted meanwhile are deleted there too.
            command.args(["--mount", "--propagation", "slave", "sh", "-c", &script, "sh"]).arg(&binary);
            command
        };
        if let Some(path) = &self.kubeconfig {
            command.env("KUBECONFIG", path);
        }
        let child = command
            .args(["run", "--config"])
            .arg(&config)
            .args(&self.arguments)
            .env("RUST_LOG", &self.log_filter)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            // Ctrl-C is for the test or the demo, which then stops it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot start {}: {error}; run by `cargo xtask test`", binary.display())
            });
        Agent { netns: self.netns.clone(), admin: self.admin, child, dir, ended: None }
    }
}

/// Of the user and the group `nobody`.
const NOBODY: u32 = 65534;

/// A folder for `nobody`, with a program that may lie where only its builder looks. The program's new place.
fn open_to_nobody(dir: &TempDir, binary: &Path) -> PathBuf {
    let placed = dir.path().join("umbra");
    // By a program of its own: a file that another thread's child still has open for writing cannot be executed.
    let copied = std::process::Command::new("cp").arg(binary).arg(&placed).status().unwrap();
    assert!(copied.success(), "cp {binary:?} {placed:?}: {copied}");
    chown(dir.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    placed
}

/// A program that will run as `nobody` in a namespace, without a capability and without a way to get one.
fn as_nobody(netns: &Netns, program: &Path) -> Command {
    let mut command = netns.command("setpriv");
    let nobody = NOBODY.to_string();
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    // A change of user takes back the signal that the program's end was bound to.
    command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--pdeathsig", "KILL"]);
    command.arg(program);
    command
}

/// One of umbra's commands, run as `nobody` in a namespace.
pub fn umbra_as_nobody(netns: &Netns, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let binary = open_to_nobody(&dir, &binary());
    as_nobody(netns, &binary).args(arguments).stdin(Stdio::null()).output().unwrap()
}

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    netns: Netns,
    admin: SocketAddr,
    child: Child,
    dir: TempDir,
    ended: Option<ExitStatus>,
}

impl Agent {
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it wrote.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Its configuration file, to be edited by the test.
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("umbra.yaml")
    }

    pub fn is_ready(&self) -> bool {
        self.ask("/readyz").is_ok_and(|reply| reply.status == 200)
    }

    /// One of umbra's commands, run beside the agent and pointed at its admin address.
    pub fn umbra(&self, arguments: &[&str]) -> Output {
        let mut command = self.netns.command(binary());
        command.args(arguments).env("UMBRA_ADMIN", self.admin.to_string()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// GET at the admin window.
    pub fn ask(&self, path: &str) -> anyhow::Result<crate::Reply> {
        Client::new(&self.netns, self.admin).send(Method::GET, path, b"")
    }

    pub fn metrics(&self) -> Metrics {
        let reply =
            self.ask("/metrics").unwrap_or_else(|error| panic!("no metrics: {error:#}\n{}", self.log()));
        Metrics::parse(&reply.text())
    }

    /// Waits until the series the selector fits add up to this.
    pub fn eventually(&self, selector: &str, value: u32) {
        let mut last = Metrics::default();
        let found = in_time(|| {
            last = self.metrics();
            ((last.sum(selector) - f64::from(value)).abs() < 0.5).then_some(())
        });
        let evidence = || format!("{}\n{}", last.shadow_lines(), self.log());
        assert!(found.is_some(), "{selector} is {}, not {value}\n{}", last.sum(selector), evidence());
    }

    pub(crate) fn netns(&self) -> &Netns {
        &self.netns
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).unwrap();
        kill(Pid::from_raw(pid), signal).unwrap();
    }

    /// Asks it to drain (SIGTERM) and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        eventually("the agent to end after SIGTERM", || self.exit_status())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        self.ended = self.child.wait().ok();
    }

    /// How it ended, if it did.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
        }
        self.ended
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let running = self.exit_status().is_none();
        if !thread::panicking() {
            self.books_add_up(running);
        }
        if running {
            self.kill();
        }
    }
}

/// `umbra` of the same build as this program: `target/PROFILE/umbra`, beside us or one folder up from a test.
pub fn binary() -> PathBuf {
    if let Some(path) = env::var_os("UMBRA_BINARY") {
        return path.into();
    }
    let exe = env::current_exe().unwrap();
    let dirs = exe.ancestors().skip(1).take(2);
    let found = dirs.map(|dir| dir.join("umbra")).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("there is no `umbra` near {}: run by `cargo xtask test`, which builds it", exe.display())
    })
}
