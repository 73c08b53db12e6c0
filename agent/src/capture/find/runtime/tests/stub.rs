//! A runtime that speaks gRPC over a unix socket, and answers as a test wants.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::{BufMut as _, Bytes, BytesMut};
use http::{HeaderMap, Response};
use prost::Message;
use tokio::net::{UnixListener, UnixStream};

/// To one question.
#[derive(Clone)]
pub(super) enum Reply {
    Message(Vec<u8>),
    /// gRPC's number and words.
    Status(u16, &'static str),
    /// The first bytes of a message that does not end.
    Endless,
    Silence,
}

impl Reply {
    pub(super) fn message(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec())
    }
}

/// Gone when dropped.
pub(super) struct Stub {
    directory: tempfile::TempDir,
    connections: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Stub {
    /// Answers each question by its method and its message.
    pub(super) fn start(answer: impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (answer, connections) = (Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        let _inside = runtime.enter();
        let listener = UnixListener::bind(directory.path().join("cri.sock")).unwrap();
        let counted = Arc::clone(&connections);
        runtime.spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, Arc::clone(&answer)));
            }
        });
        Self { directory, connections, _runtime: runtime }
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.path().join("cri.sock")
    }

    /// So many were accepted.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(stream: UnixStream, answer: Arc<impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static>) {
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut respond))) = connection.accept().await {
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            let method = request.uri().path().rsplit_once('/').unwrap().1.to_owned();
            assert_eq!(request.headers()["content-type"], "application/grpc");
            let mut body = request.into_body();
            let mut question = BytesMut::new();
            while let Some(chunk) = body.data().await {
                question.extend_from_slice(&chunk.unwrap());
            }
            let reply = answer(&method, question.freeze().slice(5..));
            let response = Response::builder().header("content-type", "application/grpc");
            let status = |code: u16, words: &str| {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", code.into());
                trailers.insert("grpc-message", words.parse().unwrap());
                trailers
            };
            match reply {
                Reply::Silence => std::future::pending::<()>().await,
                Reply::Status(code, words) => {
                    let mut response = response.body(()).unwrap();
                    response.headers_mut().extend(status(code, words));
                    respond.send_response(response, true).unwrap();
                }
                Reply::Message(message) => {
                    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
                    let mut framed = BytesMut::new();
                    framed.put_u8(0);
                    framed.put_u32(message.len().try_into().unwrap());
                    framed.put_slice(&message);
                    stream.send_data(framed.freeze(), false).unwrap();
                    stream.send_trailers(status(0, "")).unwrap();
                }
                Reply::Endless => {
                    let mut stream = respond.send_response(response.body(()).unwrap(), false).unwrap();
                    stream.send_data(Bytes::from_static(&[0, 0xff, 0xff, 0xff, 0xff]), false).unwrap();
                    loop {
                        stream.reserve_capacity(1 << 14);
                        match std::future::poll_fn(|context| stream.poll_capacity(context)).await {
                            Some(Ok(room)) => stream.send_data(vec![10; room].into(), false).unwrap(),
                            _ => return,
                        }
                    }
                }
            }
        });
    }
}
