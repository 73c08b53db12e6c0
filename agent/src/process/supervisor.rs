//! What a service manager is told, in systemd's words (sd_notify(3)): to systemd, and to whoever else sets `NOTIFY_SOCKET`.
//! Without one nothing is said. A sign of life never waits, for the heart gives it; the rest waits a moment at most.
//!
//! The crate `sd-notify` opens a socket for each message, which an agent that has no descriptor left cannot: it would
//! be taken for hung just then. This one has its socket from the start.

use std::{
    env,
    ffi::OsStr,
    io,
    os::{
        fd::AsRawFd as _,
        linux::net::SocketAddrExt as _,
        unix::{
            ffi::OsStrExt as _,
            net::{SocketAddr, UnixDatagram},
        },
    },
    process,
    time::Duration,
};

use nix::sys::socket::{MsgFlags, send};

/// How long one that does not read may hold who is ready or stops: only few messages wait to be read (`net.unix.max_dgram_qlen`).
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Who started this process, if it wants to know how it is.
#[derive(Debug, Default)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
    patience: Option<Duration>,
}

impl Supervisor {
    /// As this process was started.
    pub fn of_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let socket = connected(&name);
        if let Err(error) = &socket {
            tracing::warn!(%error, "the service manager cannot be told anything at {} (NOTIFY_SOCKET)", name.display());
        }
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let meant = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let patience = number("WATCHDOG_USEC").filter(|usec| meant && *usec > 0).map(Duration::from_micros);
        Self { socket: socket.ok(), patience }
    }

    /// How long it waits for a sign of life before it ends this process; None when it does not.
    pub fn patience(&self) -> Option<Duration> {
        self.socket.as_ref().and(self.patience)
    }

    /// Everything runs.
    pub fn ready(&self) {
        self.tell("READY=1\n", MsgFlags::empty());
    }

    /// A sign of life.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n", MsgFlags::MSG_DONTWAIT);
    }

    /// This process ends, and may take that long.
    pub fn stopping(&self, time: Duration) {
        let words = format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={}\n", time.as_micros());
        self.tell(&words, MsgFlags::empty());
    }

    fn tell(&self, what: &str, how: MsgFlags) {
        if let Some(socket) = &self.socket
            && let Err(error) = send(socket.as_raw_fd(), what.as_bytes(), how)
        {
            tracing::debug!(%error, "the service manager was not told {}", what.trim_end());
        }
    }
}

/// `/path`, or `@name` of an abstract socket.
fn connected(name: &OsStr) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        path => SocketAddr::from_pathname(OsStr::from_bytes(path))?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address)?;
    socket.set_write_timeout(Some(LONGEST_WAIT))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_at_a_path_and_at_an_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let name = format!("umbra-test-{}", process::id());
        let by_name = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        let listening = [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (by_name, format!("@{name}").into()),
        ];
        for (listener, name) in listening {
            let supervisor = Supervisor { socket: connected(&name).ok(), patience: None };
            supervisor.ready();
            supervisor.stopping(Duration::from_secs(15));
            let mut told = [0; 100];
            for expected in ["READY=1\n", "STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000\n"] {
                let length = listener.recv(&mut told).unwrap();
                assert_eq!(String::from_utf8_lossy(&told[..length]), expected);
            }
        }
    }

    #[test]
    fn one_that_does_not_read_holds_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _unread = UnixDatagram::bind(&path).unwrap();
        let patience = Some(Duration::from_secs(1));
        let supervisor = Supervisor { socket: connected(path.as_os_str()).ok(), patience };
        assert_eq!(supervisor.patience(), patience);
        (0..10_000).for_each(|_| supervisor.alive());
        assert_eq!(Supervisor { socket: None, patience }.patience(), None, "nobody would hear it");
    }
}
