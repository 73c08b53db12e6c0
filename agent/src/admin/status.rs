//! `GET /api/v1/status`: the agent, whether its configuration is the one that is written, and how each namespace stands
//! that it is to capture in: with the reason where it is not enrolled, and by which way each captured app is reached.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    extract::{RawQuery, State},
    response::Response,
};
use serde::{Serialize, Serializer};

use super::{Cluster, View, config::Standing, page, problem::Problem, standing};
use crate::route::Mirror;

/// One wanted namespace, or one that is being left, a pod that is skipped, or a plain listener; with stable names.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Namespace {
    /// As configured; `direct ADDRESS:PORT` for a plain listener.
    pub netns: String,
    /// `namespace/name` of a pod whose labels ask for it.
    pub pod: Option<String>,
    /// `enrolled`, `failing` (and tried again), `same` (as another one) or `leaving`; `skipped` for a pod that is labelled and
    /// cannot be captured, `listening` for a plain listener.
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
#[serde(rename_all = "camelCase")]
struct Status {
    agent: Agent,
    configuration: Standing,
    /// Where it comes from a cluster.
    cluster: Option<Cluster>,
    mirroring: Mirroring,
    /// What runs out, and whether new connections are left to the apps because of it.
    pressure: BTreeMap<&'static str, bool>,
    /// Captured connections since the start, by protocol.
    protocols: BTreeMap<&'static str, u64>,
    /// Connections that were not read further, by reason.
    unread: BTreeMap<&'static str, u64>,
    /// Requests that were not read, while others of their HTTP/2 connection were, by reason.
    unread_requests: BTreeMap<&'static str, u64>,
    namespaces: Vec<Namespace>,
}

/// The shadow plane as a whole.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Mirroring {
    /// The kill switch for all is on.
    all_paused: bool,
    mirrors: usize,
    /// Of them, those that are paused, by their own switch or that for all.
    paused: usize,
    /// Those whose share in force is not the one configured, the first of them with both.
    reduced_count: usize,
    reduced: Vec<Reduced>,
    /// Copies that wait for a worker.
    waiting: usize,
    /// Bytes of heads and bodies held for shadows.
    bytes: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Reduced {
    /// As in `mirrors`.
    id: String,
    percentage: f64,
    in_force_percentage: f64,
}

/// Mirrors shown by name.
const REDUCED: usize = 8;

impl Mirroring {
    fn of(view: &View) -> Self {
        let mirrors = view.plane.mirrors();
        let paused = |mirror: &&Arc<Mirror>| view.plane.is_paused() || mirror.account.is_paused();
        let reduced = mirrors.iter().filter_map(|mirror| {
            let (percentage, in_force_percentage) = standing::shares(view, mirror);
            let id = standing::id(&mirror.account.key);
            (in_force_percentage < percentage).then_some(Reduced { id, percentage, in_force_percentage })
        });
        let mut reduced: Vec<_> = reduced.collect();
        let reduced_count = reduced.len();
        reduced.truncate(REDUCED);
        let load = view.plane.load();
        Self {
            all_paused: view.plane.is_paused(),
            mirrors: mirrors.len(),
            paused: mirrors.iter().filter(paused).count(),
            reduced_count,
            reduced,
            waiting: load.waiting,
            bytes: load.bytes,
        }
    }
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
        page::json(&Status {
            agent,
            configuration: view.configuration.standing(),
            cluster: (view.cluster)(),
            mirroring: Mirroring::of(&view),
            pressure: (view.pressure)(),
            protocols: view.mix.protocols.read(),
            unread: view.mix.unread.read(),
            unread_requests: view.mix.unread_requests.read(),
            namespaces: (view.namespaces)(),
        })
    })
    .await
}
