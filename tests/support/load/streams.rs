//! A client that keeps a connection of HTTP/2, with a few requests under way on it.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{net::TcpStream, sync::Mutex, time::timeout};

use super::{Outcome, RENEWED_AFTER, Tally, outcome};
use crate::patience;

const UNDER_WAY: usize = 4;

type Sender = SendRequest<Empty<Bytes>>;

/// Asks until told to stop; to be called inside the client's namespace.
pub(super) fn ask(server: SocketAddr, tally: &Tally) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let current = Mutex::new(None);
        let asking = (0..UNDER_WAY).map(|_| one_after_the_other(server, &current, tally));
        join_all(asking).await;
    });
}

async fn join_all(all: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    std::future::poll_fn(|cx| {
        all.retain_mut(|one| one.as_mut().poll(cx).is_pending());
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

async fn one_after_the_other(server: SocketAddr, current: &Mutex<Option<Sender>>, tally: &Tally) {
    for asked in 1.. {
        if tally.stopped() {
            return;
        }
        if asked % RENEWED_AFTER == 0 {
            // Ends with the last request on it.
            *current.lock().await = None;
        }
        let (started, kept) = (Instant::now(), current.lock().await.is_some());
        let asked = timeout(patience(), once(server, current)).await.context("no answer in time");
        let outcome = asked.flatten().map_or_else(|error| outcome(&error), |()| Outcome::Answered);
        if matches!(outcome, Outcome::Failed(_)) {
            // Nothing is learnt from failing a thousand times a second.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        tally.note(started, kept, outcome);
    }
}

async fn once(server: SocketAddr, current: &Mutex<Option<Sender>>) -> Result<()> {
    let mut sender = sender(server, current).await?;
    let request = Request::get(format!("http://{server}/stream")).body(Empty::new())?;
    let response = sender.send_request(request).await?;
    anyhow::ensure!(response.status() == 200, "{}", response.status());
    response.into_body().collect().await?;
    Ok(())
}

/// The one connection if the server still keeps it, else a new one.
async fn sender(server: SocketAddr, current: &Mutex<Option<Sender>>) -> Result<Sender> {
    let mut current = current.lock().await;
    if let Some(kept) = current.as_mut()
        && kept.ready().await.is_ok()
    {
        return Ok(kept.clone());
    }
    *current = None;
    let stream = TcpStream::connect(server).await.context("connect")?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    // Its errors reach the requests that meet them.
    tokio::spawn(connection);
    *current = Some(sender.clone());
    Ok(sender)
}
