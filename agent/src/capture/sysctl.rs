//! Kernel settings of the namespace the calling thread is in. Who switched them on, and so may switch them off again, is
//! known to [`passage`](super::passage).

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nix::sys::statvfs::{FsFlags, statvfs};

use crate::process::mounts;

/// A setting under /proc/sys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sysctl(pub(super) &'static str);

/// An app's accepted socket carries the mark of the connection it came from (Linux 3.16), so its answers find
/// back to the agent. Holds for IPv6 too.
pub(super) const FWMARK_ACCEPT: Sysctl = Sysctl("net/ipv4/tcp_fwmark_accept");

/// A refusal carries the mark of what it refuses. Without it a refused connection to the app hangs: its RST
/// leaves for the real client.
pub(super) const FWMARK_REFLECT_V4: Sysctl = Sysctl("net/ipv4/fwmark_reflect");
pub(super) const FWMARK_REFLECT_V6: Sysctl = Sysctl("net/ipv6/fwmark_reflect");

impl Sysctl {
    pub(super) fn read(self) -> io::Result<String> {
        let value = fs::read_to_string(self.path()).map_err(|error| self.explain(&error))?;
        Ok(value.trim().to_owned())
    }

    /// Whether [`Self::switch_on`] would work; changes nothing.
    pub(super) fn may_switch_on(self) -> io::Result<()> {
        if self.is_on()? {
            return Ok(());
        }
        fs::OpenOptions::new().write(true).open(self.path()).map(drop).map_err(|error| self.explain(&error))
    }

    pub(super) fn is_on(self) -> io::Result<bool> {
        Ok(self.read()? != "0")
    }

    pub(super) fn switch_on(self) -> io::Result<()> {
        if self.is_on()? { Ok(()) } else { self.write("1") }
    }

    pub(super) fn switch_off(self) -> io::Result<()> {
        if self.is_on()? { self.write("0") } else { Ok(()) }
    }

    pub(super) fn write(self, value: &str) -> io::Result<()> {
        fs::write(self.path(), value).map_err(|error| self.explain(&error))
    }

    fn path(self) -> PathBuf {
        root().join(self.0)
    }

    fn explain(self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path().display()))
    }
}

/// Where settings can be written. In a container that is not privileged /proc/sys is read-only; then another mount of proc
/// counts, or of its `sys/net`, such as the node's that `deploy/helm` mounts: whichever it is, `net` in it is that of the
/// thread's network namespace (net/sysctl_net.c, `net_ctl_header_lookup`).
fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let usual = PathBuf::from("/proc/sys");
        if !is_read_only(&usual.join("net")) {
            return usual;
        }
        let mounts = mounts::read().unwrap_or_default();
        let others = mounts.into_iter().filter(|mount| mount.kind == "proc");
        let roots = others.filter_map(|mount| match mount.root.as_str() {
            "/" => Some(mount.at.join("sys")),
            "/sys/net" if mount.at.ends_with("net") => mount.at.parent().map(Path::to_owned),
            _ => None,
        });
        let found = roots.into_iter().find(|root| !is_read_only(&root.join("net")));
        found.unwrap_or(usual)
    })
}

/// One that cannot be asked is no better.
fn is_read_only(path: &Path) -> bool {
    statvfs(path).is_ok_and(|of| of.flags().contains(FsFlags::ST_RDONLY))
}
