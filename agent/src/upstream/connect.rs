//! Makes one connection: TCP with its keepalive, then TLS if the cluster asks for it, all within one time limit.

use std::{io, net::SocketAddr, time::Duration};

use hyper::{body::Body, client::conn::http1, rt};
use hyper_util::rt::TokioIo;
use socket2::{SockRef, TcpKeepalive};
use tokio::{net::TcpStream, task::spawn_local, time::timeout};
use tokio_util::task::AbortOnDropHandle;

use super::{UpstreamError, shared::Upstream};
use crate::route::{Keepalive, Security};

/// A connection that HTTP is spoken on, and what drives it: dropping that closes the socket, in whatever state the
/// exchange is.
pub(super) type Opened<B> = (http1::SendRequest<B>, AbortOnDropHandle<()>);

pub(super) async fn connect<B>(
    upstream: &Upstream,
    address: SocketAddr,
    within: Duration,
    http: &http1::Builder,
) -> Result<Opened<B>, UpstreamError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if let Security::Impossible(why) = upstream.settings.security {
        return Err(UpstreamError::Impossible(why));
    }
    let connected = async {
        let stream = TcpStream::connect(address).await.and_then(|stream| {
            set_up(&stream, upstream.settings.connections.keepalive.as_ref())?;
            Ok(stream)
        });
        let stream = stream.map_err(|error| UpstreamError::Connect(address, error))?;
        let Some(tls) = &upstream.tls else {
            return open(http, address, TokioIo::new(stream)).await;
        };
        let (connector, name) = tls.connector().map_err(UpstreamError::TlsSetup)?;
        let stream =
            connector.connect(name, stream).await.map_err(|error| UpstreamError::Tls(address, error))?;
        open(http, address, TokioIo::new(stream)).await
    };
    timeout(within, connected).await.map_err(|_| UpstreamError::ConnectTimeout(address, within))?
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

async fn open<B, I>(http: &http1::Builder, address: SocketAddr, io: I) -> Result<Opened<B>, UpstreamError>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: rt::Read + rt::Write + Unpin + 'static,
{
    let (sender, connection) =
        http.handshake(io).await.map_err(|error| UpstreamError::Http(address, error))?;
    let driver = spawn_local(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, %error, "an unused connection ended");
        }
    });
    Ok((sender, AbortOnDropHandle::new(driver)))
}
