//! For probes and scrapers: alive, ready, and the metrics. Those may be long, and probes must not wait for them.

use std::sync::Arc;

use axum::{
    extract::State,
    http::{
        HeaderMap, StatusCode,
        header::{ACCEPT, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
};

use super::{View, page, problem::Problem};
use crate::observe::Format;

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

/// In the format that is asked for.
pub(super) async fn metrics(State(view): State<Arc<View>>, headers: HeaderMap) -> Result<Response, Problem> {
    let accept: Vec<_> = headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).collect();
    let format = Format::accepted(&accept.join(","));
    let text = page::elsewhere(move || view.metrics.render(format).into_bytes()).await?;
    Ok(([(CONTENT_TYPE, format.content_type()), (VARY, "accept")], text).into_response())
}
