//! Clients that all keep their connections open at the same time, and compare each byte they are answered with.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use support::Pod;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Barrier,
    time::timeout,
};

use crate::{primary::expect, said::ANSWER, said::Request};

/// Much longer than any request takes: none may be lost.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) name: &'static str,
    pub(crate) connections: usize,
    /// On each connection, one after the other.
    pub(crate) requests: usize,
    pub(crate) body: usize,
}

impl Load {
    pub(crate) fn total(self) -> usize {
        self.connections * self.requests
    }

    /// Returns what failed.
    pub(crate) fn run(self, pod: &Pod, server: SocketAddr) -> Vec<String> {
        pod.netns().run(|| {
            // On this thread alone: its sockets are the pod's.
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let together = Arc::new(Barrier::new(self.connections));
            runtime.block_on(async {
                let client =
                    |connection| tokio::spawn(self.converse(server, connection, Arc::clone(&together)));
                let clients: Vec<_> = (0..self.connections).map(client).collect();
                let mut failures = Vec::new();
                for client in clients {
                    failures.extend(client.await.unwrap().err());
                }
                failures
            })
        })
    }

    async fn converse(
        self,
        server: SocketAddr,
        connection: usize,
        together: Arc<Barrier>,
    ) -> Result<(), String> {
        let stream = timeout(PATIENCE, TcpStream::connect(server)).await;
        // Whoever could not connect must not keep the others waiting.
        together.wait().await;
        let mut stream =
            stream.map_err(|_| "no connection in time")?.map_err(|error| format!("connect: {error}"))?;
        for number in 0..self.requests {
            let request = Request { connection, number, body: self.body };
            timeout(PATIENCE, ask(&mut stream, request))
                .await
                .map_err(|_| format!("{request:?}: no answer in {PATIENCE:?}"))??;
        }
        stream.shutdown().await.map_err(|error| format!("close: {error}"))?;
        match timeout(PATIENCE, stream.read_u8()).await {
            Ok(Err(error)) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(()),
            after => Err(format!("after its last answer connection {connection} read {after:?}")),
        }
    }
}

async fn ask(stream: &mut TcpStream, request: Request) -> Result<(), String> {
    let failed = |error| format!("{request:?}: {error}");
    stream.write_all(request.head().as_bytes()).await.map_err(failed)?;
    let mut position = 0;
    while position < request.body {
        let piece = request.body_at(position, request.body - position);
        stream.write_all(piece).await.map_err(failed)?;
        position += piece.len();
    }
    let expected = request.answer_head();
    let mut head = vec![0; expected.len()];
    stream.read_exact(&mut head).await.map_err(failed)?;
    if head != expected.as_bytes() {
        return Err(format!("{request:?} was answered {:?}", String::from_utf8_lossy(&head)));
    }
    expect(stream, request, ANSWER).await
}
