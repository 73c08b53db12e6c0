//! For probes and scrapers: alive, ready, and the metrics. Those may be long, and probes must not wait for them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};

use super::{View, page, problem::Problem};

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

pub(super) async fn metrics(State(view): State<Arc<View>>) -> Result<Response, Problem> {
    let text = page::elsewhere(move || view.metrics.render().into_bytes()).await?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(CONTENT_TYPE, kind)], text).into_response())
}
