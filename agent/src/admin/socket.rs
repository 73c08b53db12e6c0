//! The window's unix socket: for programs of the same user only, in every network namespace. Replaces one that a dead
//! agent left, never one that answers.

use std::{
    fs::{self, TryLockError},
    io,
    os::unix::{
        fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use axum::serve::Listener;
use nix::sys::stat::{Mode, fchmod};
use socket2::{Domain, SockAddr, Socket as RawSocket, Type};

/// Handshakes that wait to be accepted.
const BACKLOG: i32 = 128;

/// Its file is removed when it is dropped.
#[derive(Debug)]
pub struct Socket {
    // Removed before the listener ends: at no moment there is a name at which nobody answers.
    name: Name,
    listener: UnixListener,
}

/// Removed when dropped, unless somebody else has put another one in its place.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    /// Device and inode of the file.
    identity: (u64, u64),
}

/// A socket at which connections are accepted.
pub(super) struct Listening {
    _name: Name,
    listener: tokio::net::UnixListener,
}

impl Socket {
    /// Listens at `path`, which only this user may open. Its folder is made where it is missing, for this user alone.
    ///
    /// # Errors
    /// `AddrInUse` when an agent answers at it, or opens its own at this moment. When the system refuses, or something
    /// else than a socket is there.
    pub fn open(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Or two agents find the same dead one, and the second removes what the first has put in its place.
        let alone = fs::File::open(folder)?;
        alone.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => io::Error::new(io::ErrorKind::AddrInUse, "another agent is at it"),
            TryLockError::Error(error) => error,
        })?;
        let listener = match listen(path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_if_dead(path)?;
                listen(path)?
            }
            listening => listening?,
        };
        let name = Name { path: path.to_owned(), identity: identity(path)? };
        Ok(Self { name, listener })
    }

    /// To be called within a runtime.
    pub(super) fn listen(self) -> io::Result<Listening> {
        Ok(Listening { _name: self.name, listener: tokio::net::UnixListener::from_std(self.listener)? })
    }
}

impl Listener for Listening {
    type Io = tokio::net::UnixStream;
    type Addr = tokio::net::unix::SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        Listener::accept(&mut self.listener).await
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name: bind(2) gives the file the mode of the socket (af_unix.c, unix_bind_bsd), so that at no
    // moment anybody else can connect.
    fchmod(&socket, Mode::S_IRUSR | Mode::S_IWUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn remove_if_dead(path: &Path) -> io::Result<()> {
    if !fs::symlink_metadata(path)?.file_type().is_socket() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "a file that is no socket is in its place"));
    }
    let socket = RawSocket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full backlog is an answer too, and not to be waited for.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        _ => Err(io::Error::new(io::ErrorKind::AddrInUse, "another agent answers there")),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

impl Drop for Name {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixStream};

    use super::*;

    #[test]
    fn it_is_for_this_user_alone_and_gone_when_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("umbra/admin.sock");
        let socket = Socket::open(&path).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        UnixStream::connect(&path).unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn one_left_by_a_dead_agent_is_replaced_and_one_that_answers_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        let socket = Socket::open(&path).unwrap();

        assert_eq!(Socket::open(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).unwrap();

        // Another one in its place is not ours to remove.
        fs::remove_file(&path).unwrap();
        let _other = UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
    }

    #[test]
    fn a_file_of_somebody_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notes");
        fs::write(&path, "dear").unwrap();
        assert_eq!(Socket::open(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).unwrap(), "dear");
    }
}
