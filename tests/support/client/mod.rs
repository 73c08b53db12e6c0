//! The client's side: a real HTTP client, and bare connections for what a real client would never send.

mod connection;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
pub use connection::{Connection, chunked};
use http::{HeaderMap, HeaderName, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::runtime::{self, Runtime};

use crate::{Netns, patience};

/// A response, read to its end.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// From the first byte of the request to the last of the response.
    pub took: Duration,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header's first value, empty when there is none.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// hyper's client with one connection, kept as long as the server keeps it.
#[derive(Debug)]
pub struct Client<'a> {
    netns: &'a Netns,
    server: SocketAddr,
    headers: HeaderMap,
    runtime: Runtime,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl<'a> Client<'a> {
    /// A client inside the namespace; `Host` is the server's address until set by [`Client::header`].
    pub fn new(netns: &'a Netns, server: SocketAddr) -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let headers = HeaderMap::from_iter([(http::header::HOST, server.to_string().parse().unwrap())]);
        Self { netns, server, headers, runtime, kept: None }
    }

    /// Sends this header with every request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        self
    }

    /// Whether its last request left a connection that may serve the next one.
    pub fn is_kept(&self) -> bool {
        self.kept.is_some()
    }

    /// Ends the kept connection; the next request opens another.
    pub fn leave(&mut self) {
        self.kept = None;
        // Lets hyper close it.
        self.runtime.block_on(tokio::task::yield_now());
    }

    pub fn get(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, b"")
            .unwrap_or_else(|error| panic!("GET {path} at {}: {error:#}", self.server))
    }

    pub fn post(&mut self, path: &str, body: &[u8]) -> Reply {
        self.send(Method::POST, path, body)
            .unwrap_or_else(|error| panic!("POST {path} at {}: {error:#}", self.server))
    }

    /// Sends a request and reads the response; an error is the server's, or the network's.
    pub fn send(&mut self, method: Method, path: &str, body: &[u8]) -> Result<Reply> {
        let started = Instant::now();
        let mut request = Request::builder().method(method).uri(path);
        request.headers_mut().context("path is no request target")?.extend(self.headers.clone());
        let request = request.body(Full::new(Bytes::copy_from_slice(body)))?;

        let mut sender = self.sender()?;
        let exchange = async {
            let response = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            anyhow::Ok((sender, head, body.collect().await?.to_bytes()))
        };
        let limited = async { tokio::time::timeout(patience(), exchange).await };
        let (sender, head, body) = self.runtime.block_on(limited).context("no answer in time")??;
        self.kept = Some(sender);
        Ok(Reply { status: head.status.as_u16(), headers: head.headers, body, took: started.elapsed() })
    }

    /// The kept connection if the server still keeps it too, else a new one.
    fn sender(&mut self) -> Result<SendRequest<Full<Bytes>>> {
        if let Some(mut kept) = self.kept.take()
            && self.runtime.block_on(async { kept.ready().await.is_ok() })
        {
            return Ok(kept);
        }
        let stream = self.netns.connect(self.server).context("connect")?;
        stream.set_nonblocking(true)?;
        self.runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            // Its errors reach the request that meets them.
            tokio::spawn(connection);
            Ok(sender)
        })
    }
}
