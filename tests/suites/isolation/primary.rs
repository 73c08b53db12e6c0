//! The app: answers every request, and compares each byte of it with what its client has said.

use std::sync::{Arc, Mutex};

use support::{Pod, eventually};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    runtime::Runtime,
};

use crate::said::{ANSWER, Request};

/// Ends with its handle.
pub(crate) struct Primary {
    pub(crate) address: std::net::SocketAddr,
    heard: Arc<Mutex<Heard>>,
    _runtime: Runtime,
}

#[derive(Default)]
struct Heard {
    whole: usize,
    wrong: Vec<String>,
}

impl Primary {
    pub(crate) fn start(pod: &Pod) -> Self {
        let listener = pod.netns().listen((pod.ip(), 0).into());
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let heard = Arc::<Mutex<Heard>>::default();
        let hearing = Arc::clone(&heard);
        runtime.spawn(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let heard = Arc::clone(&hearing);
                tokio::spawn(async move {
                    if let Err(wrong) = serve(stream, &heard).await {
                        heard.lock().unwrap().wrong.push(wrong);
                    }
                });
            }
        });
        Self { address, heard, _runtime: runtime }
    }

    /// Waits until this many requests were heard as they were said, and fails if any was not.
    pub(crate) fn has_heard(&self, count: usize) {
        eventually("the app to hear every request", || {
            let heard = self.heard.lock().unwrap();
            assert!(heard.wrong.is_empty(), "{:?}", heard.wrong.first());
            (heard.whole == count).then_some(())
        });
    }
}

async fn serve(stream: TcpStream, heard: &Mutex<Heard>) -> Result<(), String> {
    let mut stream = BufReader::with_capacity(64 << 10, stream);
    let broken = |error: std::io::Error| format!("the app's connection broke: {error}");
    loop {
        let Some(head) = read_head(&mut stream).await.map_err(broken)? else { return Ok(()) };
        let request = Request::of(&head).filter(|request| request.head() == head);
        let request = request.ok_or_else(|| format!("the app was told {head:?}"))?;
        expect(&mut stream, request, request.body).await?;
        heard.lock().unwrap().whole += 1;
        let mut answer = request.answer_head().into_bytes();
        answer.extend_from_slice(request.body_at(0, ANSWER));
        stream.write_all(&answer).await.map_err(broken)?;
    }
}

/// None at the end of the connection.
async fn read_head(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// Reads this much of a body and compares it.
pub(crate) async fn expect(
    stream: &mut (impl tokio::io::AsyncRead + Unpin),
    request: Request,
    length: usize,
) -> Result<(), String> {
    let mut buffer = vec![0; length.min(64 << 10)];
    let mut position = 0;
    while position < length {
        let most = buffer.len().min(length - position);
        let read = stream.read(&mut buffer[..most]).await.map_err(|error| format!("{request:?}: {error}"))?;
        if read == 0 {
            return Err(format!("{request:?}: the body ended at {position} of {length}"));
        }
        for (at, piece) in buffer[..read].chunks(32 << 10).enumerate() {
            if piece != request.body_at(position + at * (32 << 10), piece.len()) {
                return Err(format!("{request:?}: the body differs near {position}"));
            }
        }
        position += read;
    }
    Ok(())
}
