//! Capture without the kernel: a plain listener in front of one app. It needs no privileges, and the app sees
//! the agent's address.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::net::TcpStream;

use super::{
    listener::{self, WorkerListeners},
    upstream::ConnectError,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A listener and the app behind it.
#[derive(Debug)]
pub struct Direct {
    name: String,
    listen: SocketAddr,
    upstream: SocketAddr,
}

impl Direct {
    /// Listens, once per worker. With port 0 the kernel picks one port for all of them.
    pub fn listen(
        listen: SocketAddr,
        upstream: SocketAddr,
        workers: usize,
    ) -> io::Result<(Arc<Self>, Vec<WorkerListeners>)> {
        let group = listener::group(listen, workers)?;
        let listen = group.first().map_or(Ok(listen), std::net::TcpListener::local_addr)?;
        let direct = Self { name: format!("direct {listen}"), listen, upstream };
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
