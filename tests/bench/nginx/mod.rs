//! An nginx of our own in a namespace; killed when dropped.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    os::unix::process::CommandExt as _,
    process::{Child, Stdio},
};

use support::{Netns, eventually};
use tempfile::TempDir;

pub(crate) struct Nginx {
    process: Child,
    _dir: TempDir,
}

impl Nginx {
    /// Starts it with these servers and waits until one of them listens on `port`.
    pub(crate) fn start(netns: &Netns, servers: &str, port: u16) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        fs::write(dir.path().join("nginx.conf"), include_str!("frame.conf").replace("@http@", servers))?;
        let log = dir.path().join("log");
        let process = netns
            .command("nginx")
            .arg("-p")
            .arg(dir.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .stderr(fs::File::create(&log)?)
            // Ctrl-C is for the bench, which then stops it.
            .process_group(0)
            .spawn()?;
        let mut nginx = Self { process, _dir: dir };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        eventually("nginx to listen", || {
            let ended = nginx.process.try_wait().is_ok_and(|status| status.is_some());
            assert!(!ended, "nginx ended:\n{}", fs::read_to_string(&log).unwrap_or_default());
            netns.connect(address).ok()
        });
        Ok(nginx)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
