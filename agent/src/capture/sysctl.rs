//! Kernel settings of the namespace the calling thread is in. Who switched them on, and so may switch them off again, is
//! known to [`passage`](super::passage).

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Where `deploy/helm` mounts the node's own settings, for those of a container are read-only. Whoever's they are, they show
/// the namespace that the asking thread is in (net/sysctl_net.c, `net_ctl_header_lookup`).
const OF_NODE: &str = "/host/proc/sys";

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
        let of_node = Path::new(OF_NODE).join(self.0);
        if of_node.exists() { of_node } else { Path::new("/proc/sys").join(self.0) }
    }

    fn explain(self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {error}", self.path().display()))
    }
}
