//! One worker's connections to the endpoints of one cluster. Whoever finds none free waits its turn, as far as the cluster
//! lets it. Of kept-alive HTTP/1.1 connections the most recently used is used first, so that the others grow old and
//! close; HTTP/2 has a room of its own.

mod answer;
mod streams;

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error,
    net::SocketAddr,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use http::{Request, Response, Version};
use hyper::{body::Body, client::conn::http1};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

pub use self::answer::{Answer, AnswerError};
use self::streams::{Stream, Streams};
use super::{
    Turn, Unpicked, UpstreamError, connect,
    limit::Taken,
    shared::{Upstream, Upstreams},
};
use crate::route::Cluster;

/// What hyper may buffer of one connection in each direction; also the longest response head, twice what Node.js takes.
/// Of a body that comes faster than it is read, three such pieces are held at once.
const CONNECTION_BUFFER: usize = 32 << 10;

/// What holds for every cluster, unless its settings say otherwise.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub connections_per_endpoint: usize,
    pub connect_timeout: Duration,
    /// How long to wait for one of them to become free.
    pub wait_timeout: Duration,
    /// How long an unused connection stays open.
    pub idle_timeout: Duration,
}

pub struct Pool<B: Body> {
    upstreams: Arc<Upstreams>,
    upstream: Arc<Upstream>,
    /// Those of the agent with the cluster's put in.
    limits: Limits,
    http: http1::Builder,
    /// One permit per connection in use, whichever the endpoint: this worker's share of `tcp.maxConnections`.
    slots: Option<Arc<Semaphore>>,
    endpoints: RefCell<HashMap<SocketAddr, Rc<Endpoint<B>>>>,
    streams: Streams<B>,
    /// Connections that are open, in use or not.
    open: Rc<Cell<usize>>,
    /// The most that may be.
    most: usize,
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
    opened: Instant,
    /// Requests sent on it.
    served: u32,
    _open: Open,
    _driver: AbortOnDropHandle<()>,
}

/// Counts an open connection.
struct Open(Rc<Cell<usize>>);

/// The use of one connection, or of one stream. Dropping it closes the connection or resets the stream, so that an endpoint
/// never takes a request that was cut short for a whole one; `keep` gives it back.
pub enum Lease<B: Body> {
    Http1(Exclusive<B>),
    Http2(Stream<B>),
}

pub struct Exclusive<B> {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    endpoint: Rc<Endpoint<B>>,
    connection: Connection<B>,
    reused: bool,
    slots: Slots,
    _request: Taken,
}

/// The endpoint's, and the cluster's if it has a limit.
type Slots = (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>);

pub enum SendError<B> {
    /// The endpoint had closed this kept connection before anything was written to it; here is the request again.
    Stale(Box<Request<B>>),
    Failed(UpstreamError),
}

impl<B> Pool<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) fn new(upstreams: Arc<Upstreams>, upstream: Arc<Upstream>, worker: usize) -> Self {
        let mut http = http1::Builder::new();
        http.max_buf_size(CONNECTION_BUFFER);
        let settings = &upstream.settings.connections;
        let mut limits = upstreams.limits;
        limits.connect_timeout = settings.connect_timeout.unwrap_or(limits.connect_timeout);
        limits.idle_timeout = match settings.idle_timeout {
            Some(Duration::ZERO) => Duration::MAX,
            Some(time) => time,
            None => limits.idle_timeout,
        };
        let most = settings.max.map(|max| share(max, upstreams.workers, worker));
        Self {
            limits,
            http,
            slots: most.map(|most| Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)))),
            endpoints: RefCell::default(),
            streams: Streams::new(),
            open: Rc::default(),
            most: most.unwrap_or(usize::MAX),
            upstreams,
            upstream,
        }
    }

    /// The endpoint whose turn it is.
    ///
    /// # Errors
    /// There is none. That a name is still being resolved is said after waiting for it, once.
    pub async fn turn(&self, cluster: &Arc<Cluster>) -> Result<Turn, Unpicked> {
        match self.upstream.pick(cluster, &self.upstreams.names) {
            // On the heap, so that other copies need no room for it.
            Err(Unpicked::Resolving) => Box::pin(self.resolved_turn(cluster)).await,
            picked => picked,
        }
    }

    async fn resolved_turn(&self, cluster: &Arc<Cluster>) -> Result<Turn, Unpicked> {
        let names = &self.upstreams.names;
        let deadline = Instant::now() + self.limits.connect_timeout;
        loop {
            let ended = names.ended();
            match self.upstream.pick(cluster, names) {
                Err(Unpicked::Resolving) => {}
                picked => return picked,
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return Err(Unpicked::Resolving);
            }
        }
    }

    /// A connection to the endpoint, or a stream on one: on a kept one if there is, else on a new one.
    pub async fn lease(&self, address: SocketAddr, version: Version) -> Result<Lease<B>, UpstreamError> {
        match version {
            Version::HTTP_2 => self.stream(address).await.map(Lease::Http2),
            _ => self.exclusive(address).await.map(Lease::Http1),
        }
    }

    async fn exclusive(&self, address: SocketAddr) -> Result<Exclusive<B>, UpstreamError> {
        let endpoint = self.endpoint(address);
        let free = self.free_slots(&endpoint);
        let unused = free.as_ref().and_then(|_| self.take_unused(&endpoint));
        let (connection, reused, slots) = match (free, unused) {
            (Some(slots), Some(connection)) => (connection, true, slots),
            // On the heap, so that those who need not wait need no room for it.
            (free, _) => Box::pin(self.wait_for_connection(address, &endpoint, free)).await?,
        };
        let Some(request) = self.upstream.requests.take() else {
            endpoint.put_back(connection);
            return Err(UpstreamError::Requests);
        };
        let upstream = Arc::clone(&self.upstream);
        Ok(Exclusive { address, upstream, endpoint, connection, reused, slots, _request: request })
    }

    /// A connection, whether it is a kept one, and its slots.
    async fn wait_for_connection(
        &self,
        address: SocketAddr,
        endpoint: &Endpoint<B>,
        free: Option<Slots>,
    ) -> Result<(Connection<B>, bool, Slots), UpstreamError> {
        // As Envoy: who has to wait, be it for the connection to be made, is pending.
        let _pending = self.upstream.pending.take().ok_or(UpstreamError::Pending)?;
        let slots = match free {
            Some(slots) => slots,
            None => self.wait_for_slots(address, endpoint).await?,
        };
        match self.take_unused(endpoint) {
            Some(connection) => Ok((connection, true, slots)),
            None => Ok((self.connect(address).await?, false, slots)),
        }
    }

    /// Whether every connection to the endpoint is in use, so that a lease has to wait for one.
    pub fn is_busy(&self, address: SocketAddr, version: Version) -> bool {
        version != Version::HTTP_2 && self.free_slots(&self.endpoint(address)).is_none()
    }

    /// Closes connections unused for too long and forgets endpoints nobody uses.
    pub(super) fn sweep(&self, now: Instant) {
        self.upstream.refresh(&self.upstreams.names, now);
        self.sweep_streams(now);
        self.endpoints.borrow_mut().retain(|_, endpoint| {
            endpoint.unused.borrow_mut().retain(|it| self.is_fresh(it, now));
            !endpoint.unused.borrow().is_empty() || Rc::strong_count(endpoint) > 1
        });
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.upstream.is_over(now)
    }

    /// How many connections are open.
    #[cfg(test)]
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// How many endpoints have connections.
    #[cfg(test)]
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints.borrow().len() + self.streams.endpoints()
    }

    fn endpoint(&self, address: SocketAddr) -> Rc<Endpoint<B>> {
        let mut endpoints = self.endpoints.borrow_mut();
        let endpoint = endpoints.entry(address).or_insert_with(|| {
            let slots = self.limits.connections_per_endpoint.clamp(1, Semaphore::MAX_PERMITS);
            Rc::new(Endpoint { slots: Arc::new(Semaphore::new(slots)), unused: RefCell::default() })
        });
        Rc::clone(endpoint)
    }

    fn free_slots(&self, endpoint: &Endpoint<B>) -> Option<Slots> {
        let of_endpoint = Arc::clone(&endpoint.slots).try_acquire_owned().ok()?;
        let of_cluster = match &self.slots {
            Some(slots) => Some(Arc::clone(slots).try_acquire_owned().ok()?),
            None => None,
        };
        Some((of_endpoint, of_cluster))
    }

    async fn wait_for_slots(
        &self,
        address: SocketAddr,
        endpoint: &Endpoint<B>,
    ) -> Result<Slots, UpstreamError> {
        const OPEN: &str = "the semaphores are never closed";
        let wait = self.limits.wait_timeout;
        let slots = async {
            // The endpoint's first: who waits for it holds up nobody of another endpoint.
            let of_endpoint = Arc::clone(&endpoint.slots).acquire_owned().await.expect(OPEN);
            let of_cluster = match &self.slots {
                Some(slots) => Some(Arc::clone(slots).acquire_owned().await.expect(OPEN)),
                None => None,
            };
            (of_endpoint, of_cluster)
        };
        timeout(wait, slots).await.map_err(|_| UpstreamError::Busy(address, wait))
    }

    fn take_unused(&self, endpoint: &Endpoint<B>) -> Option<Connection<B>> {
        let now = Instant::now();
        let mut unused = endpoint.unused.borrow_mut();
        while let Some(next) = unused.pop() {
            if self.is_fresh(&next, now) {
                return Some(next.connection);
            }
        }
        None
    }

    fn is_fresh(&self, unused: &Unused<B>, now: Instant) -> bool {
        let max_age = self.upstream.settings.connections.max_age.unwrap_or(Duration::MAX);
        unused.connection.sender.is_ready()
            && now.duration_since(unused.since) < self.limits.idle_timeout
            && now.duration_since(unused.connection.opened) < max_age
    }

    async fn connect(&self, address: SocketAddr) -> Result<Connection<B>, UpstreamError> {
        if self.open.get() >= self.most {
            self.close_oldest_unused();
        }
        // Counted from here on: two that connect at once are two.
        let open = Open::count(&self.open);
        let (sender, driver) =
            connect::http1(&self.upstream, address, self.limits.connect_timeout, &self.http).await?;
        Ok(Connection { sender, opened: Instant::now(), served: 0, _open: open, _driver: driver })
    }

    /// Makes room: a connection unused at one endpoint must not keep another endpoint from having any.
    fn close_oldest_unused(&self) {
        let endpoints = self.endpoints.borrow();
        let oldest = |endpoint: &&Rc<Endpoint<B>>| endpoint.unused.borrow().first().map(|it| it.since);
        let found = endpoints.values().filter(|endpoint| oldest(endpoint).is_some()).min_by_key(oldest);
        if let Some(endpoint) = found {
            drop(endpoint.unused.borrow_mut().remove(0));
        }
    }
}

/// A worker's share of a limit: together they are the limit, but each has at least one.
fn share(limit: usize, workers: usize, worker: usize) -> usize {
    (limit / workers + usize::from(worker < limit % workers)).max(1)
}

impl Open {
    fn count(open: &Rc<Cell<usize>>) -> Self {
        open.set(open.get() + 1);
        Self(Rc::clone(open))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

impl<B> Endpoint<B> {
    fn put_back(&self, connection: Connection<B>) {
        self.unused.borrow_mut().push(Unused { connection, since: Instant::now() });
    }
}

impl<B: Body + Unpin + 'static> Lease<B> {
    /// Sends a request and waits for the head of its response. On HTTP/2, reading the response also sends what is left of
    /// the request.
    pub async fn send(&mut self, request: Request<B>) -> Result<Response<Answer<B>>, SendError<B>> {
        match self {
            Self::Http1(lease) => lease.send(request).await,
            Self::Http2(stream) => stream.send(request).await,
        }
    }

    /// The endpoint's address and the word for what broke while its response was read.
    pub fn broke(&self, error: AnswerError) -> UpstreamError {
        let address = match self {
            Self::Http1(lease) => lease.address,
            Self::Http2(stream) => stream.address(),
        };
        match error {
            AnswerError::Http1(error) => UpstreamError::Http(address, error),
            AnswerError::Http2(error) => UpstreamError::Http2(address, error),
        }
    }

    /// Gives the connection back for the next request. It is closed instead when request or response are not whole, or
    /// when it has served as many as it may. A stream was the connection's all the time.
    pub fn keep(self) {
        if let Self::Http1(lease) = self {
            lease.keep();
        }
    }
}

impl<B: Body + 'static> Exclusive<B> {
    async fn send(&mut self, request: Request<B>) -> Result<Response<Answer<B>>, SendError<B>> {
        self.connection.served = self.connection.served.saturating_add(1);
        let sent = self.connection.sender.try_send_request(request).await;
        sent.map(|response| response.map(Answer::Http1)).map_err(|mut error| match error.take_message() {
            Some(request) if self.reused => SendError::Stale(Box::new(request)),
            _ => SendError::Failed(UpstreamError::Http(self.address, error.into_error())),
        })
    }

    fn keep(self) {
        let Self { upstream, endpoint, connection, slots, .. } = self;
        let most = upstream.settings.connections.requests_per_connection.unwrap_or(u32::MAX);
        if connection.sender.is_ready() && connection.served < most {
            endpoint.put_back(connection);
        }
        // After the push: whoever gets this slot finds the connection and makes no further one.
        drop(slots);
    }
}
