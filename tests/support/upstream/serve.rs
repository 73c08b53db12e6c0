//! How each kind of server treats a connection.

use std::{convert::Infallible, fmt, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::received::{BodyMeter, Ledger, Received, Recorder, Transcripts};

type Conversation = Arc<dyn Fn(Recorder) + Send + Sync>;

#[derive(Clone)]
pub(super) enum Behaviour {
    Echo,
    Reply(Bytes),
    NeverAnswers,
    Resets,
    Garbage,
    Speaks(Conversation),
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Behaviour")
    }
}

pub(super) struct Server {
    pub(super) name: String,
    pub(super) delay: Duration,
    pub(super) behaviour: Behaviour,
    pub(super) ledger: Arc<Ledger>,
    pub(super) transcripts: Arc<Transcripts>,
}

/// Accepts for ever; ends with its runtime.
pub(super) async fn run(listener: std::net::TcpListener, server: Arc<Server>) {
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    loop {
        if let Ok((stream, peer)) = listener.accept().await {
            let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
            tokio::spawn(connection(stream, peer, Arc::clone(&server)));
        }
    }
}

async fn connection(mut stream: TcpStream, peer: SocketAddr, server: Arc<Server>) {
    match &server.behaviour {
        Behaviour::Echo | Behaviour::Reply(_) | Behaviour::NeverAnswers => {
            let service = service_fn(|request| {
                let server = Arc::clone(&server);
                async move { exchange(request, peer, &server).await }
            });
            // With prior knowledge a client of HTTP/2 begins so (RFC 9113 §3.4).
            let mut start = [0; 3];
            let is_http2 = stream.peek(&mut start).await.is_ok() && start == *b"PRI";
            let io = TokioIo::new(stream);
            if is_http2 {
                let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await;
                return;
            }
            // A connection that breaks is the client's to report.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                // Idle connections stay, however slow the machine is.
                .header_read_timeout(None)
                .half_close(true)
                .serve_connection(io, service)
                .await;
        }
        Behaviour::Resets => {
            let _ = stream.read(&mut [0; 1024]).await;
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
        Behaviour::Garbage => {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"\x16\x03\x01 220 this is not HTTP\r\n\r\n").await;
        }
        Behaviour::Speaks(conversation) => {
            let conversation = Arc::clone(conversation);
            let stream = stream.into_std().unwrap();
            stream.set_nonblocking(false).unwrap();
            let recorder = server.transcripts.open(stream, peer);
            tokio::task::spawn_blocking(move || conversation(recorder));
        }
    }
}

/// One request, recorded when it arrived whole, and its response.
async fn exchange(
    request: Request<Incoming>,
    peer: SocketAddr,
    server: &Server,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let (head, mut incoming) = request.into_parts();
    let mut meter = BodyMeter::default();
    while let Some(frame) = incoming.frame().await {
        if let Some(data) = frame?.data_ref() {
            meter.add(data);
        }
    }
    let received = Received {
        peer,
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head.headers,
        body: meter.finish(),
    };
    let body = match &server.behaviour {
        Behaviour::Reply(body) => body.clone(),
        _ => echo(&server.name, &received),
    };
    server.ledger.add(received);
    if matches!(server.behaviour, Behaviour::NeverAnswers) {
        std::future::pending::<Infallible>().await;
    }
    if !server.delay.is_zero() {
        tokio::time::sleep(server.delay).await;
    }
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert("x-served-by", server.name.parse().unwrap());
    Ok(response)
}

fn echo(name: &str, received: &Received) -> Bytes {
    let headers = received.headers.iter().map(|(name, value)| {
        (name.to_string(), serde_json::Value::from(String::from_utf8_lossy(value.as_bytes()).into_owned()))
    });
    let seen = serde_json::json!({
        "served_by": name,
        "peer": received.peer.to_string(),
        "method": received.method,
        "target": received.target,
        "headers": headers.collect::<serde_json::Map<_, _>>(),
        "body_length": received.body.length,
    });
    seen.to_string().into()
}
