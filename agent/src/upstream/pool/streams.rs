//! HTTP/2: one connection for each endpoint, shared by its copies, and a further one only where the peer takes no more
//! streams on it. A copy that ends early resets its stream; the connection and its other copies live on.
//!
//! One connection holds at most [`WINDOW`] of answers that nobody has read yet, and for each stream [`SEND_BUFFER`] of
//! what the peer's window lets go and its socket does not take.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    error::Error,
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use h2::client;
use http::{Request, Response, Version};
use hyper::body::Body;
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    Answer, Open, Pool, SendError,
    answer::{Piece, Receiving, Sending},
};
use crate::upstream::{UpstreamError, connect, limit::Taken};

/// What an endpoint may send on one connection before it was read; a quarter of it for each stream.
const WINDOW: u32 = 256 << 10;
const SEND_BUFFER: usize = 64 << 10;
/// As on HTTP/1.1.
const LONGEST_HEAD: u32 = 64 << 10;
/// Streams until the peer has said how many it takes: the least that RFC 9113 §6.5.2 recommends.
const AT_FIRST: usize = 100;
/// Copies in a row that were given up before their answer began. Then the peer may be gone or read nothing more, and the
/// resets of its streams would pile up: the next copy gets a new connection.
const UNANSWERED: u32 = 16;

pub(super) struct Streams<B: Body> {
    http: client::Builder,
    endpoints: RefCell<HashMap<SocketAddr, Rc<Endpoint<B>>>>,
    /// Told each time a stream ends.
    freed: Rc<Notify>,
}

struct Endpoint<B: Body> {
    /// Those that may take further streams.
    connections: RefCell<Vec<Rc<Connection<B>>>>,
    /// One at a time, in the order of their coming, makes a connection or waits for a stream to end.
    gate: Semaphore,
    failures: Cell<u64>,
    failure: RefCell<Option<Arc<UpstreamError>>>,
}

struct Connection<B: Body> {
    sender: client::SendRequest<Piece<B::Data>>,
    opened: Instant,
    /// Streams begun.
    served: Cell<u32>,
    under_way: Cell<usize>,
    /// When the last of them ended.
    unused_since: Cell<Instant>,
    /// Since the last answer.
    unanswered: Cell<u32>,
    over: Rc<Cell<bool>>,
    _open: Open,
    _driver: AbortOnDropHandle<()>,
}

/// One stream of a connection.
pub struct Stream<B: Body> {
    address: SocketAddr,
    endpoint: Rc<Endpoint<B>>,
    connection: Rc<Connection<B>>,
    freed: Rc<Notify>,
    /// Others came before it on this connection.
    reused: bool,
    /// Its answer has begun, or it was never sent.
    answered: bool,
    _request: Taken,
}

impl<B: Body> Streams<B> {
    pub(super) fn new() -> Self {
        let mut http = client::Builder::new();
        http.enable_push(false)
            .initial_window_size(WINDOW / 4)
            .initial_connection_window_size(WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(LONGEST_HEAD)
            .initial_max_send_streams(AT_FIRST);
        Self { http, endpoints: RefCell::default(), freed: Rc::default() }
    }

    #[cfg(test)]
    pub(super) fn endpoints(&self) -> usize {
        self.endpoints.borrow().len()
    }

    fn endpoint(&self, address: SocketAddr) -> Rc<Endpoint<B>> {
        let new = || {
            Rc::new(Endpoint {
                connections: RefCell::default(),
                gate: Semaphore::new(1),
                failures: Cell::new(0),
                failure: RefCell::default(),
            })
        };
        Rc::clone(self.endpoints.borrow_mut().entry(address).or_insert_with(new))
    }
}

impl<B> Pool<B>
where
    B: Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    pub(super) async fn stream(&self, address: SocketAddr) -> Result<Stream<B>, UpstreamError> {
        let endpoint = self.streams.endpoint(address);
        let connection = match self.with_room(&endpoint) {
            Some(connection) => connection,
            None => {
                // As Envoy: who has to wait, be it for the connection to be made, is pending.
                let _pending = self.upstream.pending.take().ok_or(UpstreamError::Pending)?;
                // On the heap, so that those who need not wait need no room for it.
                Box::pin(self.wait_for_room(address, &endpoint)).await?
            }
        };
        let request = self.upstream.requests.take().ok_or(UpstreamError::Requests)?;
        Ok(Stream::new(address, endpoint, connection, Rc::clone(&self.streams.freed), request))
    }

    async fn wait_for_room(
        &self,
        address: SocketAddr,
        endpoint: &Endpoint<B>,
    ) -> Result<Rc<Connection<B>>, UpstreamError> {
        let failures = endpoint.failures.get();
        let wait = self.limits.wait_timeout;
        let room = async {
            let gate = endpoint.gate.acquire().await.expect("the semaphore is never closed");
            loop {
                // Before looking, so that no end is missed.
                let freed = self.streams.freed.notified();
                let room = self.with_room(endpoint);
                if room.is_some() || self.may_connect(endpoint) {
                    return (gate, room);
                }
                freed.await;
            }
        };
        let (_gate, room) = timeout(wait, room).await.map_err(|_| UpstreamError::Busy(address, wait))?;
        if let Some(connection) = room {
            return Ok(connection);
        }
        // As Envoy: copies that waited for a connection fail with it, instead of trying one after the other.
        if endpoint.failures.get() != failures
            && let Some(error) = &*endpoint.failure.borrow()
        {
            return Err(UpstreamError::Shared(Arc::clone(error)));
        }
        match self.connect_http2(address).await {
            Ok(connection) => {
                endpoint.connections.borrow_mut().push(Rc::clone(&connection));
                Ok(connection)
            }
            Err(error) => {
                let error = Arc::new(error);
                endpoint.failures.update(|failures| failures + 1);
                endpoint.failure.replace(Some(Arc::clone(&error)));
                Err(UpstreamError::Shared(error))
            }
        }
    }

    /// A connection that takes one stream more.
    fn with_room(&self, endpoint: &Endpoint<B>) -> Option<Rc<Connection<B>>> {
        let now = Instant::now();
        let most = self.upstream.settings.connections.max_streams.unwrap_or(usize::MAX);
        let mut connections = endpoint.connections.borrow_mut();
        connections.retain(|connection| self.may_serve(connection, now));
        let has_room =
            |it: &&Rc<Connection<B>>| it.under_way.get() < it.sender.current_max_send_streams().min(most);
        connections.iter().find(has_room).cloned()
    }

    fn may_serve(&self, connection: &Connection<B>, now: Instant) -> bool {
        let settings = &self.upstream.settings.connections;
        let is_used = connection.under_way.get() > 0;
        !connection.over.get()
            && connection.served.get() < settings.requests_per_connection.unwrap_or(u32::MAX)
            && now.duration_since(connection.opened) < settings.max_age.unwrap_or(Duration::MAX)
            && (is_used || now.duration_since(connection.unused_since.get()) < self.limits.idle_timeout)
    }

    fn may_connect(&self, endpoint: &Endpoint<B>) -> bool {
        if endpoint.connections.borrow().len() >= self.limits.connections_per_endpoint.max(1) {
            return false;
        }
        if self.open.get() >= self.most {
            self.close_oldest_unused();
            self.close_unused_streams();
        }
        self.open.get() < self.most
    }

    /// Makes room: see [`Pool::close_oldest_unused`].
    fn close_unused_streams(&self) {
        for endpoint in self.streams.endpoints.borrow().values() {
            endpoint.connections.borrow_mut().retain(|connection| connection.under_way.get() > 0);
        }
    }

    async fn connect_http2(&self, address: SocketAddr) -> Result<Rc<Connection<B>>, UpstreamError> {
        let open = Open::count(&self.open);
        let over = Rc::new(Cell::new(false));
        let (within, http) = (self.limits.connect_timeout, &self.streams.http);
        let (sender, driver) =
            connect::http2(&self.upstream, address, within, http, Rc::clone(&over)).await?;
        let now = Instant::now();
        Ok(Rc::new(Connection {
            sender,
            opened: now,
            served: Cell::new(0),
            under_way: Cell::new(0),
            unused_since: Cell::new(now),
            unanswered: Cell::new(0),
            over,
            _open: open,
            _driver: driver,
        }))
    }

    pub(super) fn sweep_streams(&self, now: Instant) {
        self.streams.endpoints.borrow_mut().retain(|_, endpoint| {
            let mut connections = endpoint.connections.borrow_mut();
            connections.retain(|connection| self.may_serve(connection, now));
            !connections.is_empty() || Rc::strong_count(endpoint) > 1
        });
    }
}

impl<B: Body> Stream<B> {
    fn new(
        address: SocketAddr,
        endpoint: Rc<Endpoint<B>>,
        connection: Rc<Connection<B>>,
        freed: Rc<Notify>,
        request: Taken,
    ) -> Self {
        let reused = connection.served.get() > 0;
        connection.served.update(|served| served.saturating_add(1));
        connection.under_way.update(|streams| streams + 1);
        Self { address, endpoint, connection, freed, reused, answered: false, _request: request }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// No further stream is begun on the connection; it closes with the last one.
    fn retire(&self) {
        let connection = &self.connection;
        self.endpoint.connections.borrow_mut().retain(|known| !Rc::ptr_eq(known, connection));
    }
}

impl<B: Body + Unpin + 'static> Stream<B> {
    pub(super) async fn send(&mut self, request: Request<B>) -> Result<Response<Answer<B>>, SendError<B>> {
        let address = self.address;
        let failed = |error| SendError::Failed(UpstreamError::Http2(address, error));
        let mut sender = self.connection.sender.clone();
        if let Err(error) = poll_fn(|cx| sender.poll_ready(cx)).await {
            // The connection is closing, or has said so (GOAWAY).
            self.retire();
            self.answered = true;
            return Err(if self.reused { SendError::Stale(Box::new(request)) } else { failed(error) });
        }
        let (mut head, body) = request.into_parts();
        // h2 wants an authority of what calls itself HTTP/2; a copy of HTTP/1.0 may have none.
        head.version = Version::HTTP_11;
        let is_whole = body.is_end_stream();
        let sent = sender.send_request(Request::from_parts(head, ()), is_whole);
        let (mut answer, stream) = sent.map_err(|error| {
            // Its streams are used up; or the head was at fault.
            self.retire();
            failed(error)
        })?;
        let mut sending = (!is_whole).then(|| Sending::new(stream, body));
        let response = poll_fn(|cx| {
            if sending.as_mut().is_some_and(|sending| sending.poll(cx).is_ready()) {
                sending = None;
            }
            Pin::new(&mut answer).poll(cx)
        });
        let response = response.await.map_err(failed)?;
        self.answered = true;
        self.connection.unanswered.set(0);
        Ok(response.map(|stream| Answer::Http2(Receiving::new(stream, sending))))
    }
}

impl<B: Body> Drop for Stream<B> {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection.under_way.update(|streams| streams - 1);
        connection.unused_since.set(Instant::now());
        if !self.answered {
            connection.unanswered.update(|unanswered| unanswered + 1);
            if connection.unanswered.get() >= UNANSWERED {
                self.retire();
            }
        }
        self.freed.notify_waiters();
    }
}
