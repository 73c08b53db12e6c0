//! Kept-alive HTTP/1.1 connections, per endpoint. At most `connections_per_endpoint` are open to one endpoint;
//! whoever comes later waits its turn. The most recently used connection is used first, so that the others grow
//! old and close.

use std::{
    cell::RefCell, collections::HashMap, error::Error, net::SocketAddr, rc::Rc, sync::Arc, time::Duration,
};

use http::{Request, Response};
use hyper::{
    body::{Body, Incoming},
    client::conn::http1,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_local,
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::UpstreamError;

/// What hyper may buffer of one connection in each direction; also the longest response head.
const CONNECTION_BUFFER: usize = 64 << 10;

#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_per_endpoint: usize,
    pub connect_timeout: Duration,
    /// How long to wait for one of them to become free.
    pub wait_timeout: Duration,
    /// How long an unused connection stays open.
    pub idle_timeout: Duration,
}

/// The connections of one worker. Must be used inside a `LocalSet`: each connection is a task of its own, so that
/// an endpoint closing an unused one is noticed at once.
pub struct Pool<B> {
    limits: Limits,
    http: http1::Builder,
    endpoints: RefCell<HashMap<SocketAddr, Rc<Endpoint<B>>>>,
}

struct Endpoint<B> {
    /// One permit per connection in use. Because a new connection is made only when none is unused, it bounds the
    /// unused ones too. Fair: permits are handed out in the order they were asked for.
    slots: Arc<Semaphore>,
    unused: RefCell<Vec<Unused<B>>>,
}

struct Unused<B> {
    connection: Connection<B>,
    since: Instant,
}

struct Connection<B> {
    sender: http1::SendRequest<B>,
    /// Closes the socket when dropped, in whatever state the exchange is.
    _driver: AbortOnDropHandle<()>,
}

/// The use of one connection. Dropping it closes the connection, so that an endpoint never takes a request that
/// was cut short for a whole one; `keep` gives it back.
pub struct Lease<B> {
    address: SocketAddr,
    endpoint: Rc<Endpoint<B>>,
    connection: Connection<B>,
    reused: bool,
    slot: OwnedSemaphorePermit,
}

pub enum SendError<B> {
    /// The endpoint had closed this kept connection before anything was written to it; here is the request again.
    Stale(Box<Request<B>>),
    Failed(UpstreamError),
}

impl<B> Pool<B>
where
    B: Body + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub fn new(limits: Limits) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(CONNECTION_BUFFER);
        Self { limits, http, endpoints: RefCell::default() }
    }

    /// A connection to the endpoint: a kept one if there is, else a new one.
    pub async fn lease(&self, address: SocketAddr) -> Result<Lease<B>, UpstreamError> {
        let endpoint = self.endpoint(address);
        let wait = self.limits.wait_timeout;
        let slot = timeout(wait, Arc::clone(&endpoint.slots).acquire_owned())
            .await
            .map_err(|_| UpstreamError::Busy(address, wait))?
            .expect("the semaphore is never closed");
        let (connection, reused) = match endpoint.take_unused() {
            Some(connection) => (connection, true),
            None => (self.connect(address).await?, false),
        };
        Ok(Lease { address, endpoint, connection, reused, slot })
    }

    /// Closes connections unused for too long and forgets endpoints nobody uses. To be called now and then.
    pub fn sweep(&self) {
        let idle_timeout = self.limits.idle_timeout;
        self.endpoints.borrow_mut().retain(|_, endpoint| {
            let mut unused = endpoint.unused.borrow_mut();
            unused.retain(|it| it.connection.sender.is_ready() && it.since.elapsed() < idle_timeout);
            !unused.is_empty() || Rc::strong_count(endpoint) > 1
        });
    }

    /// How many endpoints have connections.
    #[cfg(test)]
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints.borrow().len()
    }

    fn endpoint(&self, address: SocketAddr) -> Rc<Endpoint<B>> {
        let mut endpoints = self.endpoints.borrow_mut();
        let endpoint = endpoints.entry(address).or_insert_with(|| {
            let slots = self.limits.connections_per_endpoint.clamp(1, Semaphore::MAX_PERMITS);
            Rc::new(Endpoint { slots: Arc::new(Semaphore::new(slots)), unused: RefCell::default() })
        });
        Rc::clone(endpoint)
    }

    async fn connect(&self, address: SocketAddr) -> Result<Connection<B>, UpstreamError> {
        let within = self.limits.connect_timeout;
        let stream = timeout(within, TcpStream::connect(address))
            .await
            .map_err(|_| UpstreamError::ConnectTimeout(address, within))?
            .map_err(|error| UpstreamError::Connect(address, error))?;
        stream.set_nodelay(true).map_err(|error| UpstreamError::Connect(address, error))?;
        let (sender, connection) = self
            .http
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| UpstreamError::Http(address, error))?;
        let driver = spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%address, %error, "an unused connection ended");
            }
        });
        Ok(Connection { sender, _driver: AbortOnDropHandle::new(driver) })
    }
}

impl<B> Endpoint<B> {
    fn take_unused(&self) -> Option<Connection<B>> {
        let mut unused = self.unused.borrow_mut();
        while let Some(Unused { connection, .. }) = unused.pop() {
            if connection.sender.is_ready() {
                return Some(connection);
            }
        }
        None
    }
}

impl<B: Body + 'static> Lease<B> {
    /// Sends a request and waits for the head of its response.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, SendError<B>> {
        let sent = self.connection.sender.try_send_request(request).await;
        sent.map_err(|mut error| match error.take_message() {
            Some(request) if self.reused => SendError::Stale(Box::new(request)),
            _ => SendError::Failed(UpstreamError::Http(self.address, error.into_error())),
        })
    }

    /// The endpoint's address and hyper's word for what broke while its response was read.
    pub fn broke(&self, error: hyper::Error) -> UpstreamError {
        UpstreamError::Http(self.address, error)
    }

    /// Gives the connection back for the next request. It is closed instead when request or response are not whole.
    pub fn keep(self) {
        let Self { endpoint, connection, slot, .. } = self;
        if connection.sender.is_ready() {
            endpoint.unused.borrow_mut().push(Unused { connection, since: Instant::now() });
        }
        // After the push: whoever gets this slot finds the connection and makes no further one.
        drop(slot);
    }
}
