//! Those who stand between client and app, each as its own documents say to set it up.

pub(crate) mod envoy;
pub(crate) mod nginx;
pub(crate) mod umbra;

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    process::{Child, Command, Stdio},
};

use anyhow::Context as _;
use support::{Netns, eventually};
use tempfile::TempDir;

/// Where the app listens, in a namespace of its own for each case. umbra captures these.
pub(crate) const APP: Ports = Ports { small: 8080, uploads: 8090, http2: 8100 };
/// Where nginx and Envoy listen.
pub(crate) const PROXY: Ports = Ports { small: 8081, uploads: 8091, http2: 8101 };

/// One server for small requests and large answers, one for uploads, one for small requests over HTTP/2 without TLS.
#[derive(Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) small: u16,
    pub(crate) uploads: u16,
    pub(crate) http2: u16,
}

/// Where copies go.
#[derive(Clone, Copy)]
pub(crate) struct Shadow {
    pub(crate) ip: IpAddr,
    pub(crate) ports: Ports,
}

/// A program of our own in a namespace; killed when dropped.
pub(crate) struct Program {
    process: Child,
    _dir: TempDir,
}

impl Program {
    /// Starts it in a folder that holds its configuration, and waits until it listens on this port.
    pub(crate) fn start(
        netns: &Netns,
        program: &str,
        arguments: impl FnOnce(&mut Command, &TempDir) -> anyhow::Result<()>,
        port: u16,
    ) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let log = dir.path().join("log");
        let mut command = netns.command(program);
        arguments(&mut command, &dir)?;
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            // Ctrl-C is for the bench, which then stops it.
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!("cannot start {program}: run by `cargo xtask bench`, which installs it")
            })?;
        let mut running = Self { process, _dir: dir };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually(&format!("{program} to listen on port {port}"), || {
            let ended = running.process.try_wait().is_ok_and(|status| status.is_some());
            assert!(!ended, "{program} ended:\n{}", fs::read_to_string(&log).unwrap_or_default());
            netns.connect(address).ok()
        });
        Ok(running)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
