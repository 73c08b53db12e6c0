//! `GET /api/v1/openapi.yaml`: the description of this API (OpenAPI 3.1), as it is shipped.

use axum::{http::header::CONTENT_TYPE, response::IntoResponse};

pub(super) const TEXT: &str = include_str!("../../../config/openapi.yaml");

pub(super) async fn get() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/yaml")], TEXT)
}
