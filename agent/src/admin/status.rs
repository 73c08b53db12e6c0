//! `GET /api/v1/status`: the agent, whether its configuration is the one that is written, and how each namespace stands
//! that it is to capture in: with the reason where it is not enrolled, and by which way each captured app is reached.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::{Serialize, Serializer};

use super::{View, config::Standing, page, problem::Problem};

/// One wanted namespace, or one that is being left, or a plain listener, with stable names.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// As configured; `direct ADDRESS:PORT` for a plain listener.
    pub netns: String,
    /// `enrolled`, `failing` (and tried again), `same` (as another one) or `leaving`; `listening` for a plain listener.
    pub state: &'static str,
    pub why: Option<String>,
    /// Since it was enrolled; None when it is not. As is the rest.
    #[serde(rename = "ageSeconds", serialize_with = "seconds")]
    pub age: Option<Duration>,
    /// What it does not allow.
    pub notes: Vec<String>,
    /// What apps see of their clients.
    pub client_address: Option<&'static str>,
    /// Of the kernel's program, those that were given.
    pub verdicts: BTreeMap<&'static str, u64>,
    /// Open at this moment.
    pub connections: usize,
    pub port_count: usize,
    /// The first of them.
    pub ports: Vec<Port>,
}

/// A captured endpoint.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// `10.0.0.1:8080`; `*:8080` for every local address.
    pub at: String,
    /// Of its new connections, handed to the agent, in percent.
    pub percentage: f64,
    /// How the app is reached: `V4 reserved`, `V2 own` or `V5 local`.
    pub way: Option<&'static str>,
    /// What decided for it.
    pub reason: String,
}

#[derive(Debug, Serialize)]
struct Status {
    agent: Agent,
    configuration: Standing,
    namespaces: Vec<Namespace>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Agent {
    version: &'static str,
    uptime_seconds: f64,
    /// `ready` or `notReady`
    state: &'static str,
    /// Why it is not ready.
    why: Vec<String>,
}

fn seconds<S: Serializer>(age: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    age.map(super::seconds).serialize(serializer)
}

pub(super) async fn get(State(view): State<Arc<View>>, query: RawQuery) -> Result<Response, Problem> {
    page::plain(&query)?;
    page::make(move || {
        let why = (view.missing)();
        let agent = Agent {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: super::seconds(view.started.elapsed()),
            state: if why.is_empty() { "ready" } else { "notReady" },
            why,
        };
        let configuration = view.configuration.standing();
        page::json(&Status { agent, configuration, namespaces: (view.namespaces)() })
    })
    .await
}
