//! Network namespaces: naming one, and doing something inside it. Everything that stays inside longer than a
//! system call or two does so on a thread of its own, which never comes back out.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    thread,
};

use nix::sched::{CloneFlags, setns};

use crate::config::umbra::NetnsRef;

thread_local! {
    /// The namespace this thread lives in, opened on first use.
    static HOME: io::Result<Netns> = Netns::open(&NetnsRef::Host);
}

/// An open network namespace. It lives as long as this does, also when its last process is gone.
#[derive(Debug)]
pub(super) struct Netns {
    name: String,
    file: File,
    /// Device and inode: two references to one namespace agree in them.
    identity: (u64, u64),
}

impl Netns {
    /// Opens a namespace. [`NetnsRef::Host`] is the one the calling thread lives in.
    pub(super) fn open(reference: &NetnsRef) -> io::Result<Self> {
        let file = match reference {
            NetnsRef::Host => File::open("/proc/thread-self/ns/net"),
            NetnsRef::Path(path) => File::open(path),
            NetnsRef::Pid(pid) => File::open(format!("/proc/{pid}/ns/net")),
        }?;
        let metadata = file.metadata()?;
        Ok(Self { name: reference.to_string(), file, identity: (metadata.dev(), metadata.ino()) })
    }

    /// `host`, the path or `pid:1234`: as configured.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The same namespace through a file of its own, to lock it.
    pub(super) fn reopen(&self) -> io::Result<File> {
        File::open(format!("/proc/self/fd/{}", self.file.as_raw_fd()))
    }

    /// Runs `work` inside, on the calling thread: for a system call or two. Free when the thread lives there
    /// anyway.
    ///
    /// Aborts the process when the thread cannot be brought back: it would go on making sockets in a
    /// namespace that is not its own. Traffic is safe then, as with any other death of the agent: capturing
    /// ends with the process.
    pub(super) fn enter<T>(&self, work: impl FnOnce() -> T) -> io::Result<T> {
        HOME.with(|home| {
            let home =
                home.as_ref().map_err(|error| io::Error::new(error.kind(), format!("own netns: {error}")))?;
            if home.identity == self.identity {
                return Ok(work());
            }
            setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
            let _return = Return(home);
            Ok(work())
        })
    }

    /// Runs `work` inside, on a thread of its own, and waits for it.
    pub(super) fn on_thread<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        thread::scope(|scope| {
            let inside = thread::Builder::new().name("umbra-netns".into()).spawn_scoped(scope, || {
                setns(self.file.as_fd(), CloneFlags::CLONE_NEWNET)?;
                Ok(work())
            })?;
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Brings the thread home, also when the work inside panics.
struct Return<'a>(&'a Netns);

impl Drop for Return<'_> {
    fn drop(&mut self) {
        if let Err(error) = setns(self.0.file.as_fd(), CloneFlags::CLONE_NEWNET) {
            tracing::error!(%error, "a thread cannot leave a network namespace: stopping");
            std::process::abort();
        }
    }
}
