//! What the admin window listens on. An agent that follows another one finds address and socket taken: it does without
//! them until that one leaves, and takes neither from an agent that stays.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    path::PathBuf,
    time::Duration,
};

use socket2::SockRef;
use tokio::{net::TcpListener, time::sleep};

use crate::admin::Socket;

/// How often what another agent has is asked for again.
const AGAIN: Duration = Duration::from_millis(200);

const SEND_BUFFER: usize = 256 << 10;

/// The listener, now or later.
///
/// # Errors
/// At once when the address cannot be bound for another reason than that it is in use; later as the system says.
pub(super) fn at_address(
    address: SocketAddr,
) -> io::Result<impl Future<Output = io::Result<TcpListener>> + Send + use<>> {
    let first = if_free(|| listen(address))?;
    if first.is_none() {
        tracing::warn!(
            "admin address {address} (spec.admin.address) is in use, likely by the agent that this one follows: the \
             window opens there as soon as it is free"
        );
    }
    Ok(async move {
        let listener = match first {
            Some(listener) => listener,
            None => once_free(|| listen(address)).await?,
        };
        TcpListener::from_std(listener)
    })
}

/// The socket at this path, now or later. What cannot be had is said, and done without: the address answers all the same.
pub(super) fn at_socket(
    path: Option<PathBuf>,
    address: SocketAddr,
) -> impl Future<Output = Option<Socket>> + Send + use<> {
    let first = path.as_deref().map(|path| if_free(|| Socket::open(path)));
    if let (Some(path), Some(Ok(None))) = (&path, &first) {
        let path = path.display();
        tracing::warn!(
            "another agent answers there: the admin socket {path} (spec.admin.socket) is made when that one has left"
        );
    }
    async move {
        let path = path?;
        let opened = match first?.transpose() {
            Some(opened) => opened,
            None => once_free(|| Socket::open(&path)).await,
        };
        let refused = |error: &io::Error| {
            let path = path.display();
            tracing::warn!(%error, "no admin socket at {path} (spec.admin.socket): the admin API answers at {address} alone");
        };
        opened.inspect_err(refused).ok()
    }
}

fn listen(address: SocketAddr) -> io::Result<StdListener> {
    let listener = StdListener::bind(address)?;
    // Of each connection: what nobody reads must not pile up in the kernel either, which would let it grow to megabytes.
    SockRef::from(&listener).set_send_buffer_size(SEND_BUFFER)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// None while somebody else has it.
fn if_free<T>(open: impl FnOnce() -> io::Result<T>) -> io::Result<Option<T>> {
    match open() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(None),
        opened => opened.map(Some),
    }
}

async fn once_free<T>(mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        sleep(AGAIN).await;
        if let Some(opened) = if_free(&mut open)? {
            return Ok(opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_another_agent_has_is_taken_over_when_it_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (address, socket) = (StdListener::bind("127.0.0.1:0").unwrap(), Socket::open(&path).unwrap());
        let here = address.local_addr().unwrap();

        let mut later = std::pin::pin!(async {
            tokio::join!(at_address(here).unwrap(), at_socket(Some(path.clone()), here))
        });
        let soon = tokio::time::timeout(2 * AGAIN, &mut later).await;
        assert!(soon.is_err(), "somebody else has both");
        std::os::unix::net::UnixStream::connect(&path).unwrap();

        drop((address, socket));
        let (address, socket) = later.await;
        assert_eq!(address.unwrap().local_addr().unwrap(), here);
        assert!(socket.is_some() && path.exists());
    }

    #[tokio::test]
    async fn an_address_that_is_not_of_this_machine_is_refused_at_once() {
        let nowhere = "192.0.2.1:1".parse().unwrap();
        assert_eq!(at_address(nowhere).err().unwrap().kind(), io::ErrorKind::AddrNotAvailable);
    }
}
