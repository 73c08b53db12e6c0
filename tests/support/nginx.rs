//! A real nginx in a namespace, as a person would configure it.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Stdio},
};

use tempfile::TempDir;

use crate::{Netns, eventually};

/// A running nginx; killed when dropped.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Nginx {
    /// Starts nginx with this text inside its `http` block, and waits until `address` answers. Relative paths in the
    /// text lie in a folder of its own.
    pub fn start(netns: &Netns, address: SocketAddr, http: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|kind| format!("  {kind}_temp_path {kind}_temp;\n"))
            .concat();
        // One process: it dies with its parent's signal, and its log lines are never torn.
        let text = format!(
            "daemon off; master_process off; pid nginx.pid; error_log stderr;\nevents {{ worker_connections 4096; }}\n\
             http {{\n{temporary}{http}\n}}\n"
        );
        fs::write(dir.path().join("nginx.conf"), text).unwrap();
        let child = netns
            .command("nginx")
            .arg("-p")
            .arg(dir.path())
            .args(["-c", "nginx.conf", "-e", "stderr"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start nginx: {error}; run by `cargo xtask test`"));
        let mut nginx = Self { child, dir, address };
        eventually("nginx to listen", || {
            assert!(nginx.child.try_wait().unwrap().is_none(), "nginx ended; its complaint is above");
            netns.connect(address).ok()
        });
        nginx
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A file it wrote, such as an access log; empty before it did.
    pub fn file(&self, name: &str) -> String {
        fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
