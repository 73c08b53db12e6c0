//! The window: what a person or a probe may ask a running agent. It runs on a thread of its own, so that it answers
//! while the data threads are busy, and reads only what they publish.

use std::{future::Future, sync::Arc, time::Duration};

use axum::{
    Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse,
    routing::get,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::observe::Metrics;

/// Whoever has not asked in full or taken its answer by then does not keep the agent from ending.
const LAST_ANSWERS: Duration = Duration::from_millis(500);

/// What the window looks at.
#[derive(Clone)]
pub struct View {
    pub metrics: Arc<Metrics>,
    /// What is still missing until connections are captured and rules are in force; empty when ready.
    pub missing: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Answers until `stop` is ready, and then what was asked before for `LAST_ANSWERS` at most.
///
/// # Errors
/// When the listener fails.
pub async fn serve(listener: TcpListener, view: View, stop: impl Future<Output = ()>) -> std::io::Result<()> {
    let stopping = CancellationToken::new();
    let asked = stopping.clone().cancelled_owned();
    let served = axum::serve(listener, routes(view)).with_graceful_shutdown(asked);
    let stopped = async {
        stop.await;
        stopping.cancel();
        sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = served.into_future() => served,
        () = stopped => Ok(()),
    }
}

fn routes(view: View) -> Router {
    Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(view)
}

async fn readyz(State(view): State<View>) -> impl IntoResponse {
    let missing = (view.missing)();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.iter().map(|line| format!("not ready: {line}\n")).collect())
    }
}

async fn metrics(State(view): State<View>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], view.metrics.render())
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::{observe::Recorder, record::Accounts};

    #[tokio::test]
    async fn a_question_never_finished_does_not_keep_the_window_open() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let metrics = Metrics::new(&Recorder::default(), Arc::new(Accounts::default()), Vec::new());
        let view = View { metrics: Arc::new(metrics), missing: Arc::new(Vec::new) };
        let stop = CancellationToken::new();
        let window = tokio::spawn(serve(listener, view, stop.clone().cancelled_owned()));

        let mut asking = TcpStream::connect(address).await.unwrap();
        asking.write_all(b"GET /metrics HTTP/1.1").await.unwrap();
        // Answered after the half question was accepted.
        let mut other = TcpStream::connect(address).await.unwrap();
        other.write_all(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
        other.read_u8().await.unwrap();

        stop.cancel();
        let closed = tokio::time::timeout(Duration::from_secs(10), window).await;
        closed.expect("the window closes").unwrap().unwrap();
    }
}
