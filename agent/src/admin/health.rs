//! For probes and scrapers: alive, ready, and the metrics.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
};

use super::View;

pub(super) async fn livez() -> impl IntoResponse {
    "ok\n"
}

pub(super) async fn readyz(State(view): State<Arc<View>>) -> impl IntoResponse {
    let missing = (view.missing)();
    if missing.is_empty() {
        (StatusCode::OK, "ok\n".to_owned())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, missing.iter().map(|line| format!("not ready: {line}\n")).collect())
    }
}

pub(super) async fn metrics(State(view): State<Arc<View>>) -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], view.metrics.render())
}
