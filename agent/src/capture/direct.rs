//! Capture without the kernel: a plain listener in front of one app. It needs no privileges, and the app sees
//! the agent's address.

use std::{
    io,
    net::SocketAddr,
    os::fd::OwnedFd,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::net::TcpStream;

use super::{
    listener::{self, WorkerListeners},
    sockdiag::SockDiag,
    upstream::ConnectError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener and the app behind it.
#[derive(Debug)]
pub struct Direct {
    name: String,
    listen: SocketAddr,
    upstream: SocketAddr,
    workers: usize,
    /// One of the listeners, to tell the kernel something about all of them; None once that is done.
    group: Mutex<Option<OwnedFd>>,
}

impl Direct {
    /// Listens, once per worker. With port 0 the kernel picks one port for all of them. Another agent of the same user may
    /// listen there too: then both are given connections.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn listen(
        listen: SocketAddr,
        upstream: SocketAddr,
        workers: usize,
    ) -> io::Result<(Arc<Self>, Vec<WorkerListeners>)> {
        let group = listener::group(listen, workers)?;
        let listen = group.first().map_or(Ok(listen), std::net::TcpListener::local_addr)?;
        let one = group.first().map(listener::again).transpose()?;
        let name = format!("direct {listen}");
        let direct = Self { name, listen, upstream, workers, group: Mutex::new(one) };
        Ok((Arc::new(direct), listener::deal([group], workers)))
    }

    /// `direct` and the listener's address.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The app.
    pub fn upstream(&self) -> SocketAddr {
        self.upstream
    }

    /// The first step of stopping: new connections go to the agent that follows, where one listens here too. The listeners
    /// keep accepting what is half open; give them 1.5 s before they are closed. Without another agent nothing changes.
    ///
    /// # Errors
    /// When the kernel does not tell who listens, or does not take what is told (before Linux 4.5): then both agents go on
    /// being given connections, and those that have not been accepted when the listeners close are reset.
    pub fn hand_back(&self) -> io::Result<()> {
        let one = self.group.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(one) = one else { return Ok(()) };
        let here = |other: &super::sockdiag::Listener| other.address == self.listen.ip().to_canonical();
        let listening = SockDiag::open()?.listeners(self.listen.port())?.into_iter().filter(here).count();
        match listening.saturating_sub(self.workers) {
            0 => Ok(()),
            others => listener::lead_past(&one, self.workers, others),
        }
    }

    /// Connects to the app. Waits for it at most ten seconds.
    pub async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(self.upstream)).await;
        let stream = connected
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map_err(ConnectError::from_io)?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    /// Connections that wait at each listener.
    fn waiting(groups: &[WorkerListeners]) -> Vec<usize> {
        let count = |listener: &TcpListener| std::iter::from_fn(|| listener.accept().ok()).count();
        groups.iter().flat_map(|group| &group.listeners).map(count).collect()
    }

    fn connect(to: SocketAddr) -> Vec<TcpStream> {
        (0..100).map(|_| TcpStream::connect(to).unwrap()).collect()
    }

    #[test]
    fn what_is_handed_back_goes_to_the_listeners_that_follow_and_is_shared_out_again() {
        let (any, app) = ("127.0.0.1:0".parse().unwrap(), "127.0.0.1:1".parse().unwrap());
        for (own, others) in [(1, 1), (2, 2), (1, 3), (3, 1)] {
            let (old, of_old) = Direct::listen(any, app, own).unwrap();
            let (new, of_new) = Direct::listen(old.address(), app, others).unwrap();
            let _both = connect(old.address());
            assert!(waiting(&of_old).iter().all(|count| *count > 0), "{own}, {others}");
            waiting(&of_new);

            old.hand_back().unwrap();
            let _led = connect(old.address());
            assert_eq!(waiting(&of_old), vec![0; own], "{own}, {others}");
            assert_eq!(waiting(&of_new).iter().sum::<usize>(), 100);

            drop((old, of_old));
            let _shared = connect(new.address());
            let waiting = waiting(&of_new);
            assert!(
                waiting.iter().sum::<usize>() == 100 && !waiting.contains(&0),
                "{own}, {others}: {waiting:?}"
            );
        }
    }

    #[test]
    fn handed_back_to_nobody_it_still_accepts() {
        let (alone, listeners) =
            Direct::listen("[::1]:0".parse().unwrap(), "127.0.0.1:1".parse().unwrap(), 2).unwrap();
        alone.hand_back().unwrap();
        let _open = connect(alone.address());
        assert_eq!(waiting(&listeners).iter().sum::<usize>(), 100);
    }
}
