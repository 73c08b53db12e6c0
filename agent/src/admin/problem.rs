//! What the API says when it cannot do what was asked: what, which one, and the next step (RFC 9457).

use axum::{
    body::Body,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde::Serialize;

/// An answer of type `application/problem+json`.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    #[serde(serialize_with = "number")]
    status: StatusCode,
    /// The kind of problem, in the words of the status.
    title: &'static str,
    /// What is wrong, and with which thing.
    detail: String,
    /// The next step.
    hint: String,
}

fn number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or("Problem");
        Self { status, title, detail: detail.into(), hint: hint.into() }
    }

    pub(super) fn bad_request(detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail, hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let text = serde_json::to_string_pretty(&self).unwrap_or_default() + "\n";
        let mut response = (self.status, text).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
