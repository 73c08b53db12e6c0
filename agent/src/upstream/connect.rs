//! Makes one connection: TCP with its keepalive, then TLS if the cluster asks for it, then HTTP, all within one time
//! limit.

use std::{cell::Cell, future::pending, io, net::SocketAddr, os::fd::AsRawFd as _, rc::Rc, time::Duration};

use bytes::Buf;
use h2::{Ping, PingPong};
use http::Version;
use hyper::{body::Body, client::conn::http1};
use hyper_util::rt::TokioIo;
use nix::libc::{EMFILE, ENFILE};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpSocket, TcpStream},
    task::spawn_local,
    time::{sleep, timeout},
};
use tokio_rustls::client::TlsStream;
use tokio_util::{either::Either, task::AbortOnDropHandle};

use super::{UpstreamError, shared::Upstream};
use crate::{
    process::descriptors,
    route::{Keepalive, Pings, Security},
};

/// HTTP spoken on a connection, and what drives it: dropping that closes the socket, in whatever state exchanges are.
pub(super) type Opened<S> = (S, AbortOnDropHandle<()>);

type Socket = Either<TcpStream, TlsStream<TcpStream>>;

pub(super) async fn http1<B>(
    upstream: &Upstream,
    address: SocketAddr,
    within: Duration,
    http: &http1::Builder,
) -> Result<Opened<http1::SendRequest<B>>, UpstreamError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let opened = async {
        let socket = dial(upstream, address, Version::HTTP_11).await?;
        let (sender, connection) = http
            .handshake(TokioIo::new(socket))
            .await
            .map_err(|error| UpstreamError::Http(address, error))?;
        let driver = spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "an unused connection ended");
            }
        });
        Ok((sender, AbortOnDropHandle::new(driver)))
    };
    timeout(within, opened).await.map_err(|_| UpstreamError::ConnectTimeout(address, within))?
}

/// `over` becomes true when the connection has ended.
pub(super) async fn http2<D: Buf + 'static>(
    upstream: &Upstream,
    address: SocketAddr,
    within: Duration,
    http: &h2::client::Builder,
    over: Rc<Cell<bool>>,
) -> Result<Opened<h2::client::SendRequest<D>>, UpstreamError> {
    let opened = async {
        let socket = dial(upstream, address, Version::HTTP_2).await?;
        let (sender, mut connection) =
            http.handshake(socket).await.map_err(|error| UpstreamError::Http2(address, error))?;
        let pings = upstream.settings.connections.pings.zip(connection.ping_pong());
        let driver = spawn_local(async move {
            let silent = async {
                match pings {
                    Some((pings, peer)) => silent(pings, peer).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%address, %error, "a connection ended");
                },
                () = silent => tracing::debug!(%address, "a connection is closed: no answer to a ping"),
            }
            over.set(true);
        });
        Ok((sender, AbortOnDropHandle::new(driver)))
    };
    timeout(within, opened).await.map_err(|_| UpstreamError::ConnectTimeout(address, within))?
}

/// Ends when a ping is not answered in time.
async fn silent(Pings { interval, timeout: within }: Pings, mut peer: PingPong) {
    loop {
        sleep(interval).await;
        if !matches!(timeout(within, peer.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}

async fn dial(upstream: &Upstream, address: SocketAddr, version: Version) -> Result<Socket, UpstreamError> {
    if let Security::Impossible(why) = upstream.settings.security {
        return Err(UpstreamError::Impossible(why));
    }
    let stream = socket(address)?.connect(address).await.and_then(|stream| {
        set_up(&stream, upstream.settings.connections.keepalive.as_ref())?;
        Ok(stream)
    });
    let stream = stream.map_err(|error| UpstreamError::Connect(address, error))?;
    let Some(tls) = &upstream.tls else { return Ok(Either::Left(stream)) };
    let (connector, name) = tls.connector(version).map_err(UpstreamError::TlsSetup)?;
    let stream = connector.connect(name, stream).await.map_err(|error| UpstreamError::Tls(address, error))?;
    Ok(Either::Right(stream))
}

/// A socket, unless primaries need it more.
fn socket(address: SocketAddr) -> Result<TcpSocket, UpstreamError> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() };
    match socket {
        Ok(socket) if !descriptors::is_for_primaries(socket.as_raw_fd()) => Ok(socket),
        Err(error) if !matches!(error.raw_os_error(), Some(EMFILE | ENFILE)) => {
            Err(UpstreamError::Connect(address, error))
        }
        Ok(_) | Err(_) => Err(UpstreamError::Descriptors),
    }
}

pub(super) fn set_up(stream: &TcpStream, keepalive: Option<&Keepalive>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Some(Keepalive { probes, time, interval }) = keepalive else { return Ok(()) };
    let mut keepalive = TcpKeepalive::new();
    if let Some(probes) = probes {
        keepalive = keepalive.with_retries(*probes);
    }
    if let Some(time) = time {
        keepalive = keepalive.with_time(*time);
    }
    if let Some(interval) = interval {
        keepalive = keepalive.with_interval(*interval);
    }
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
