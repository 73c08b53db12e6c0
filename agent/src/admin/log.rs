//! `GET` and `POST /api/v1/log`: what is logged, changed while the agent runs.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use serde::{Deserialize, Serialize};

use super::{View, problem::Problem};

const HOW: &str =
    r#"send {"level": "debug"}: error, warn, info, debug, trace, or targets such as umbra::relay=debug"#;

/// What the program that logs lets through.
pub trait Log: Send + Sync {
    /// As it was written.
    fn level(&self) -> String;

    /// # Errors
    /// Why the text is no level.
    fn set(&self, level: &str) -> Result<(), String>;
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Level {
    level: String,
}

pub(super) async fn get(State(view): State<Arc<View>>) -> Json<Level> {
    Json(Level { level: view.log.level() })
}

pub(super) async fn post(
    State(view): State<Arc<View>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Level>, Problem> {
    let body = body.map_err(|error| Problem::new(error.status(), error.body_text(), HOW))?;
    let Level { level } = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request(format!("the body cannot be understood: {error}"), HOW))?;
    let before = view.log.level();
    view.log.set(&level).map_err(|why| Problem::bad_request(format!("`{level}`: {why}"), HOW))?;
    tracing::info!(before, now = level, "what is logged was changed");
    Ok(Json(Level { level }))
}
