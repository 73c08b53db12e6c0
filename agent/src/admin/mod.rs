//! The window: what a person or a probe may ask a running agent. It runs on a thread of its own, so that it answers
//! while the data threads are busy, and reads only what they publish.

use std::{future::Future, sync::Arc};

use axum::{
    Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse,
    routing::get,
};
use tokio::net::TcpListener;

use crate::observe::Metrics;

/// What the window looks at.
#[derive(Clone)]
pub struct View {
    pub metrics: Arc<Metrics>,
    /// What is still missing until connections are captured and rules are in force; empty when ready.
    pub missing: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
}

/// Answers until `stop` is ready.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    view: View,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, routes(view)).with_graceful_shutdown(stop).await
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
