//! Shadows to mirror to: one that is well and tells what it got, and any other as a script on a socket.

use std::{
    convert::Infallible,
    future::Future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    sync::mpsc,
};

pub(super) struct Healthy {
    pub(super) address: SocketAddr,
    pub(super) received: mpsc::UnboundedReceiver<Received>,
    connections: Arc<AtomicUsize>,
}

pub(super) struct Received {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Healthy {
    /// Answers 200 to everything once it has read it.
    pub(super) async fn start() -> Self {
        Self::speaking(Version::HTTP_11).await
    }

    pub(super) async fn speaking(version: Version) -> Self {
        let (received_tx, received) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let address = scripted(move |stream| {
            counter.fetch_add(1, Ordering::Relaxed);
            let received_tx = received_tx.clone();
            async move {
                let service = service_fn(|request| {
                    let received_tx = received_tx.clone();
                    async move {
                        let _ = received_tx.send(read(request).await);
                        Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"thank you"))))
                    }
                });
                let io = TokioIo::new(stream);
                let _ = match version {
                    Version::HTTP_2 => {
                        http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await
                    }
                    _ => http1::Builder::new().serve_connection(io, service).await,
                };
            }
        })
        .await;
        Self { address, received, connections }
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn read(request: Request<Incoming>) -> Received {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.expect("the copy should be whole");
    let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    Received {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect(),
        trailers: body.trailers().cloned(),
        body: body.to_bytes(),
    }
}

/// Runs the script for every connection.
pub(super) async fn scripted<S, F>(script: S) -> SocketAddr
where
    S: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Reads one request's head, then says this and closes.
pub(super) async fn answers(text: &'static [u8]) -> SocketAddr {
    scripted(move |mut stream| async move {
        read_head(&mut stream).await;
        let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, text).await;
    })
    .await
}

/// Everything up to and with the empty line that ends a head.
pub(super) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(head).unwrap()
}

/// Accepts and never says or reads anything.
pub(super) async fn black_hole() -> SocketAddr {
    scripted(|stream| async move {
        let _open = stream;
        std::future::pending::<()>().await;
    })
    .await
}
