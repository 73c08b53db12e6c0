//! The window: what a person or a probe may ask a running agent, and the kill switch. It runs on a thread of its own, so
//! that it answers while the data threads are busy, reads only what they publish, and holds nothing they wait for.
//!
//! ```text
//! 127.0.0.1:9977 ─▶ guard, token ─┐            ┌─ routes, mirrors, endpoints, config, traffic: pages of JSON
//! unix socket ────────────────────┼─▶ /api/v1 ─┼─ status, log
//!                                 │            ├─ tap, exchanges: single requests
//!                                 │            └─ pause, resume
//!                                 └─▶ /livez /readyz /metrics, and / the dashboard
//! ```

mod cluster;
mod config;
mod endpoints;
mod guard;
mod health;
mod log;
mod mirrors;
mod openapi;
mod page;
mod patience;
mod problem;
mod rates;
mod routes;
mod socket;
mod standing;
mod status;
mod switch;
mod tap;
#[cfg(test)]
mod tests;
mod token;
mod traffic;
mod ui;

use std::{
    collections::BTreeMap,
    future::Future,
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{StatusCode, Uri},
    middleware::{from_fn, from_fn_with_state},
    routing::{MethodRouter, get, post},
    serve::Listener,
};
use tokio::{
    net::TcpListener,
    time::{interval, sleep},
};
use tokio_util::sync::CancellationToken;

pub use self::{
    cluster::{Cluster, Faulty, Kind, Writer},
    config::Configuration,
    log::Log,
    rates::Rates,
    socket::Socket,
    status::{Namespace, Port},
    token::Token,
    traffic::Rules,
};
use self::{patience::Bounded, problem::Problem};
use crate::{
    observe::{Live, Metrics, Mix},
    record::Accounts,
    route::Snapshot,
    shadow::Plane,
};

/// Whoever has not asked in full or taken its answer by then does not keep the agent from ending.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// No order is longer.
const BODY: usize = 64 << 10;

/// What the window looks at.
pub struct View {
    pub metrics: Metrics,
    /// What is still missing until connections are captured and rules are in force; empty when ready.
    pub missing: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    /// The rules in force.
    pub rules: Box<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    pub configuration: Arc<Configuration>,
    pub accounts: Arc<Accounts>,
    pub plane: Arc<Plane>,
    pub live: Arc<Live>,
    /// Asked for at the address; None: not.
    pub token: Option<Arc<Token>>,
    pub rates: Rates,
    pub known: Rules,
    /// How each namespace stands. May take a moment.
    pub namespaces: Box<dyn Fn() -> Vec<Namespace> + Send + Sync>,
    /// How the cluster stands; None where it is no source.
    pub cluster: Box<dyn Fn() -> Option<Cluster> + Send + Sync>,
    /// What connections speak, and what is not read of them.
    pub mix: Arc<Mix>,
    /// What runs out, and whether new connections are left to the apps because of it.
    pub pressure: Box<dyn Fn() -> BTreeMap<&'static str, bool> + Send + Sync>,
    /// What is logged.
    pub log: Arc<dyn Log>,
    /// When the agent was started.
    pub started: Instant,
}

/// Answers wherever there is something to listen on, until `stop` is ready: address and socket are free then, and what was
/// asked before is answered for `LAST_ANSWERS` at most.
///
/// # Errors
/// When a listener fails.
pub async fn serve(
    listener: impl Future<Output = io::Result<TcpListener>>,
    socket: impl Future<Output = Option<Socket>>,
    view: View,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let view = Arc::new(view);
    let stopping = CancellationToken::new();
    let at_address =
        async { answer(Bounded::new(listener.await?), routes(&view, Door::Address), &stopping).await };
    let at_socket = async {
        match socket.await {
            Some(socket) => {
                answer(Bounded::new(socket.listen()?), routes(&view, Door::Socket), &stopping).await
            }
            None => Ok(()),
        }
    };
    let readings = async {
        let mut every = interval(rates::EVERY);
        loop {
            every.tick().await;
            view.rates.take(&view.accounts);
        }
    };
    let stopped = async {
        stop.await;
        stopping.cancel();
        view.live.close();
        sleep(LAST_ANSWERS).await;
    };
    tokio::select! {
        served = async { tokio::try_join!(at_address, at_socket) } => served.map(|_| ()),
        () = readings => Ok(()),
        () = view.live.run() => Ok(()),
        () = stopped => Ok(()),
    }
}

async fn answer<L: Listener>(listener: L, router: Router, stopping: &CancellationToken) -> io::Result<()>
where
    L::Addr: std::fmt::Debug,
{
    axum::serve(listener, router)
        .with_graceful_shutdown(stopping.clone().cancelled_owned())
        .into_future()
        .await
}

/// How a question came in, which decides who may have sent it.
#[derive(Clone, Copy)]
enum Door {
    /// Anybody on this machine, web pages in its browsers included.
    Address,
    /// Programs of the same user.
    Socket,
}

/// Outside of the API: for probes and scrapers.
fn probes() -> Vec<(&'static str, MethodRouter<Arc<View>>)> {
    vec![("/livez", get(health::livez)), ("/readyz", get(health::readyz)), ("/metrics", get(health::metrics))]
}

/// Below /api/v1; each is described in config/openapi.yaml, as a test sees to.
fn api() -> Vec<(&'static str, MethodRouter<Arc<View>>)> {
    vec![
        ("/config", get(config::get)),
        ("/endpoints", get(endpoints::get)),
        ("/exchanges", get(tap::last)),
        ("/log", get(log::get).post(log::post)),
        ("/mirrors", get(mirrors::get)),
        ("/openapi.yaml", get(openapi::get)),
        ("/pause", post(switch::pause)),
        ("/resume", post(switch::resume)),
        ("/routes", get(routes::get)),
        ("/status", get(status::get)),
        ("/tap", get(tap::follow)),
        ("/traffic", get(traffic::get)),
    ]
}

fn routes(view: &Arc<View>, door: Door) -> Router {
    let route = |router: Router<Arc<View>>, (path, method)| router.route(path, method);
    let api = api().into_iter().fold(Router::new(), route);
    let api =
        api.fallback(unknown).method_not_allowed_fallback(wrong_method).layer(DefaultBodyLimit::max(BODY));
    // The page itself says nothing of anybody's traffic: it asks the API, with the token.
    let page = ui::routes().layer(from_fn(guard::guard));
    let (api, page) = match (door, &view.token) {
        (Door::Address, Some(token)) => {
            let api = api.layer(from_fn_with_state(Arc::clone(token), token::ask));
            (api.layer(from_fn(guard::guard)), page)
        }
        (Door::Address, None) => (api.layer(from_fn(guard::guard)), page),
        (Door::Socket, _) => (api.layer(from_fn(guard::content_type)), Router::new()),
    };
    let router = probes().into_iter().fold(Router::new(), route);
    router.nest("/api/v1", api).merge(page).fallback(unknown).with_state(Arc::clone(view))
}

async fn unknown(uri: Uri) -> Problem {
    let names = |all: Vec<(&'static str, _)>| {
        let names: Vec<_> = all.into_iter().map(|(path, _)| path).collect();
        names.join(", ")
    };
    Problem::new(
        StatusCode::NOT_FOUND,
        format!("there is nothing at {}", uri.path()),
        format!("there is {} and, below /api/v1, {}", names(probes()), names(api())),
    )
}

async fn wrong_method(uri: Uri) -> Problem {
    let detail = format!("{} does not take this method", uri.path());
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        detail,
        "pause and resume take POST, log takes both, everything else GET",
    )
}

/// For a person: to the millisecond.
fn seconds(age: Duration) -> f64 {
    (age.as_secs_f64() * 1000.0).round() / 1000.0
}
