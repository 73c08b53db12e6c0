//! Calls by gRPC over a unix socket, one after the other, each with a deadline and a bound for its answer: of the protocol
//! (gRPC over HTTP/2) what a single question and a single answer take.

use std::{io, path::Path, time::Duration};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::{RecvStream, client::SendRequest};
use http::{HeaderMap, Request, StatusCode};
use prost::Message;
use tokio::{net::UnixStream, runtime, time::timeout};

/// A flag and the length of the message.
const PREFIX: usize = 5;
/// Of headers and trailers.
const MOST_HEADERS: u32 = 16 << 10;
/// Characters of what a peer says that are shown.
const MOST_WORDS: usize = 200;
/// The method, or the whole service, is unknown there.
const UNIMPLEMENTED: &str = "12";

#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    #[error("cannot be reached: {}", reached(.0))]
    Connect(io::Error),
    #[error("does not answer within {0:?}")]
    Late(Duration),
    #[error("does not speak CRI v1, which containerd does from 1.6 on and CRI-O from 1.23 on")]
    Unimplemented,
    /// It has answered, and says no.
    #[error("says: {0}")]
    Refused(String),
    #[error("answers with more than {0} bytes")]
    TooLarge(usize),
    #[error("does not answer as a CRI runtime: {0}")]
    Broken(String),
}

impl CallError {
    /// Whether the next question may get an answer.
    pub(super) fn ends_the_channel(&self) -> bool {
        matches!(self, Self::Connect(_) | Self::Late(_) | Self::Unimplemented | Self::Broken(_))
    }
}

fn reached(error: &io::Error) -> String {
    let hint = match error.kind() {
        io::ErrorKind::PermissionDenied => "; it takes the socket's owner, which is root as a rule",
        io::ErrorKind::NotFound => "; in a container the directory it is in must be mounted",
        io::ErrorKind::ConnectionRefused => "; nobody listens there any more",
        // So connect(2) says that the queue of those who wait is full.
        io::ErrorKind::WouldBlock => "; it takes no connections, and many wait there already",
        _ => "",
    };
    format!("{error}{hint}")
}

/// A method, and the largest message it may answer with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Method(pub(super) &'static str, pub(super) usize);

/// A connection to a server. It lives on the thread that calls, and only while that calls.
#[derive(Debug)]
pub(super) struct Channel {
    runtime: runtime::Runtime,
    requests: SendRequest<Bytes>,
}

impl Channel {
    /// For a thread that may wait. Waits so long at most.
    pub(super) fn open(socket: &Path, patience: Duration) -> Result<Self, CallError> {
        let runtime =
            runtime::Builder::new_current_thread().enable_all().build().map_err(CallError::Connect)?;
        let connecting = async {
            let stream = UnixStream::connect(socket).await.map_err(CallError::Connect)?;
            let mut builder = h2::client::Builder::new();
            builder.enable_push(false).max_header_list_size(MOST_HEADERS);
            Ok::<_, CallError>(builder.handshake(stream).await?)
        };
        let connected = runtime.block_on(async { timeout(patience, connecting).await });
        let (requests, connection) = connected.map_err(|_| CallError::Late(patience))??;
        // It ends with the runtime. What ends it before is told to the calls.
        runtime.spawn(async { drop(connection.await) });
        Ok(Self { runtime, requests })
    }

    pub(super) fn call<Q: Message, A: Message + Default>(
        &mut self,
        method: Method,
        question: &Q,
        patience: Duration,
    ) -> Result<A, CallError> {
        let requests = self.requests.clone();
        let called =
            self.runtime.block_on(async { timeout(patience, call(requests, method, question)).await });
        let message = called.map_err(|_| CallError::Late(patience))??;
        A::decode(message).map_err(|error| CallError::Broken(words(&error.to_string())))
    }
}

async fn call(
    requests: SendRequest<Bytes>,
    Method(name, most): Method,
    question: &impl Message,
) -> Result<Bytes, CallError> {
    let request = Request::post(format!("http://localhost/runtime.v1.RuntimeService/{name}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .map_err(|error| CallError::Broken(error.to_string()))?;
    let mut requests = requests.ready().await?;
    let (response, mut body) = requests.send_request(request, false)?;
    body.send_data(framed(question), true)?;
    let response = response.await?;
    if response.status() != StatusCode::OK {
        return Err(CallError::Broken(format!("HTTP status {}", response.status())));
    }
    let (head, mut body) = response.into_parts();
    let mut message = message(&mut body, most).await?.freeze();
    // An answer without a message has its status in the head.
    succeeded(&body.trailers().await?.unwrap_or(head.headers))?;
    if message.len() < PREFIX {
        return Err(CallError::Broken("no message".to_owned()));
    }
    message.advance(PREFIX);
    Ok(message)
}

fn framed(message: &impl Message) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX + message.encoded_len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.encoded_len()).expect("a question of some hundred bytes"));
    message.encode(&mut framed).expect("a buffer that grows");
    framed.freeze()
}

/// The one message of an answer, with its prefix; not what it claims to be long is taken, but what comes.
async fn message(body: &mut RecvStream, most: usize) -> Result<BytesMut, CallError> {
    let mut message = BytesMut::new();
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        if message.len() + chunk.len() > PREFIX + most {
            return Err(CallError::TooLarge(most));
        }
        body.flow_control().release_capacity(chunk.len())?;
        message.extend_from_slice(&chunk);
    }
    if let Some((&[compressed, a, b, c, d], rest)) = message.split_first_chunk::<PREFIX>()
        && (compressed != 0 || u32::from_be_bytes([a, b, c, d]) as usize != rest.len())
    {
        return Err(CallError::Broken("its message is compressed, or not as long as it says".to_owned()));
    }
    Ok(message)
}

fn succeeded(headers: &HeaderMap) -> Result<(), CallError> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
    match text("grpc-status").as_deref() {
        Some("0") => Ok(()),
        Some(UNIMPLEMENTED) => Err(CallError::Unimplemented),
        Some(status) => {
            let said = text("grpc-message").unwrap_or_default();
            Err(CallError::Refused(format!("{} (gRPC status {status:.8})", words(&said))))
        }
        None => Err(CallError::Broken("no grpc-status".to_owned())),
    }
}

impl From<h2::Error> for CallError {
    fn from(error: h2::Error) -> Self {
        Self::Broken(words(&error.to_string()))
    }
}

/// What a peer has a part in, fit to be shown.
pub(super) fn words(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(MOST_WORDS).collect()
}
