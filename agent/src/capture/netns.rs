//! Network namespaces: naming one, and doing something inside it. Everything that stays inside longer than a
//! system call or two does so on a thread of its own, which never comes back out.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _},
        unix::fs::MetadataExt as _,
    },
    path::{Path, PathBuf},
    thread,
};

use nix::{
    sched::{CloneFlags, setns},
    sys::statfs::{NSFS_MAGIC, fstatfs},
};

use super::find::{self, Found, Pods};
use crate::config::umbra::NetnsRef;

/// The namespace of the thread that looks.
pub(super) const OWN: &str = "/proc/thread-self/ns/net";

thread_local! {
    /// The namespace this thread lives in, opened on first use.
    static HOME: io::Result<Netns> = Netns::open(&NetnsRef::Host);
}

/// Which namespace a reference leads to, and through which file. Does not keep it alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    identity: Identity,
    note: Option<String>,
}

/// Device and inode: two references to one namespace agree in them. Given to another namespace only after this one has
/// ended, which it does not while it is open.
pub type Identity = (u64, u64);

impl Place {
    /// Where this reference leads at this moment; `pods` knows that of pods.
    pub fn of(reference: &NetnsRef, pods: &mut Pods) -> io::Result<Self> {
        let Found { path, note } = match reference {
            NetnsRef::Host => Found::at(PathBuf::from(OWN)),
            NetnsRef::Path(path) => Found::at(path.clone()),
            NetnsRef::Pid(pid) => Found::at(find::of_process(*pid)),
            NetnsRef::Pod(uid) => pods.netns_of(uid)?,
        };
        let identity = identity(&open(&path)?.metadata()?);
        Ok(Self { path, identity, note })
    }

    /// Why it was not found by the first way, for a person.
    pub(super) fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Whether the file still leads there. One system call, whatever the reference was.
    pub fn holds(&self) -> bool {
        self.path.metadata().is_ok_and(|metadata| identity(&metadata) == self.identity)
    }
}

pub(super) fn identity(metadata: &std::fs::Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    // What `ip netns del` has unmounted is an empty file for a moment.
    if fstatfs(&file)?.filesystem_type() != NSFS_MAGIC {
        return Err(io::Error::other(format!("{} is no network namespace", path.display())));
    }
    Ok(file)
}

/// An open network namespace. It lives as long as this does, also when its last process is gone.
#[derive(Debug)]
pub(super) struct Netns {
    name: String,
    file: File,
    place: Place,
}

impl Netns {
    /// Opens a namespace. [`NetnsRef::Host`] is the one the calling thread lives in.
    pub(super) fn open(reference: &NetnsRef) -> io::Result<Self> {
        Self::open_of(reference, &mut Pods::default())
    }

    /// The same, where `pods` knows pods.
    pub(super) fn open_of(reference: &NetnsRef, pods: &mut Pods) -> io::Result<Self> {
        Self::at(reference, Place::of(reference, pods)?)
    }

    /// Opens the namespace that this reference was found to lead to.
    pub(super) fn at(reference: &NetnsRef, place: Place) -> io::Result<Self> {
        let file = open(&place.path)?;
        if identity(&file.metadata()?) != place.identity {
            return Err(io::Error::other("another namespace has just taken its place"));
        }
        Ok(Self { name: reference.to_string(), file, place })
    }

    /// `host`, the path, `pid:1234` or `pod:UID`: as configured.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
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
            if home.place.identity == self.place.identity {
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
