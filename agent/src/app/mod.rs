//! Wiring: builds every part once from one configuration, keeps them running, reloads, and takes them down in the
//! order that loses nothing.

mod audit;
mod doors;
mod ending;
mod enrolled;
mod heart;
mod memory;
mod namespaces;
mod readings;
mod renewals;
mod rules;
mod steering;
mod window;
mod workers;

use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

pub use rules::{Compiled, Source};

use crate::{
    admin::Configuration,
    capture,
    config::umbra::AgentConfig,
    connection::Node,
    observe::{Metrics, Reading, Recorder},
    record::Accounts,
    relay::{Leaving, tls::Certificates},
    shadow::Plane,
};
use enrolled::Enrolled;
use heart::Heart;
use rules::{Keeper, Loader};
use window::{Published, Window};
use workers::Workers;

/// Runs an agent until it is told to stop. `log` is shown among its metrics.
///
/// # Errors
/// When the configuration is refused (its faults are already printed) or a part cannot be started.
pub async fn run(source: Source, log: Reading) -> anyhow::Result<()> {
    let stop = stop_signal()?;
    take_all_descriptors();
    let accounts = Arc::new(Accounts::default());
    let mut loader = Loader::new(source);
    let compiled = rules::first(&mut loader, &accounts)?;
    let config = compiled.agent.unwrap_or_default();

    let recorder = Arc::new(Recorder::default());
    let plane = Plane::start(&config.shadow, recorder.clone()).context("start the shadow plane")?;
    plane.enforce(&compiled.snapshot);
    let certificates = Arc::new(Certificates::load(&config.capture.tls));
    let node = Arc::new(Node {
        snapshot: ArcSwap::from_pointee(compiled.snapshot),
        plane: Arc::clone(&plane),
        observer: recorder.clone(),
        seed: capture::seed_of_this_boot(),
        certificates: Arc::clone(&certificates),
        leaving: Leaving::default(),
    });
    let enrolled = Enrolled::default();
    let mut readings = readings::all(&enrolled, &plane, &certificates);
    readings.push(log);
    let metrics = Metrics::new(&recorder, Arc::clone(&accounts), readings);
    let configuration =
        Arc::new(Configuration::new(config.clone(), compiled.sources.clone(), &compiled.report));
    let rules = Arc::clone(&node);
    let window = Window::open(
        &config.admin,
        Published {
            metrics,
            rules: Box::new(move || rules.snapshot.load_full()),
            configuration: Arc::clone(&configuration),
            accounts: Arc::clone(&accounts),
            plane: Arc::clone(&plane),
        },
    )?;
    let workers = Workers::start(worker_count(&config), &node)?;
    let heart = Heart::start(enrolled.clone(), workers.silence()).context("start the heartbeat")?;

    let (steered, capturing) = (Arc::clone(&node), enrolled.clone());
    let steering =
        tokio::spawn(steering::steer(Arc::clone(&plane), move || rules::capture(&steered, &capturing)));
    let renewing = tokio::spawn(renewals::renew(certificates));
    let audit = audit::begin(&accounts, &plane, workers.count() + config.shadow.workers);
    let agent = config.clone();
    let mut keeper =
        Keeper { loader, accounts, node: &node, enrolled: &enrolled, agent, published: &configuration };
    let kept = async {
        namespaces::capture_all(&config, node.seed, &workers, &enrolled).await?;
        rules::capture(&node, &enrolled)?;
        // Ready means captured: the kernel believes in us from the first beat on.
        heart::beat(&enrolled).map_err(anyhow::Error::msg)?;
        memory::give_back();
        window.ready();
        let ports = node.snapshot.load().captured_ports().len();
        tracing::info!(admin = %config.admin.address, ports, "umbra is ready");
        keeper.keep(compiled.sources.fingerprint(), stop).await
    }
    .await;

    // Also when not every namespace could be enrolled: those that were are left as they were found.
    window.close("the agent is stopping");
    let told_again = stop_signal()?;
    tokio::select! {
        cut = ending::drain(config.drain_timeout, &node.leaving, workers, plane, &enrolled) => {
            audit.end();
            tracing::info!(connections_cut = cut, "umbra has stopped");
        }
        () = told_again => tracing::warn!("told to stop again: umbra stops at once, open connections are cut"),
    }
    steering.abort();
    renewing.abort();
    drop(heart);
    ending::withdraw(&enrolled);
    window.closed();
    kept
}

fn worker_count(config: &AgentConfig) -> usize {
    match config.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    }
}

/// A connection takes two descriptors, and one that finds none is reset: the usual soft limit of 1024 would hurt the
/// primary from the 500th on. It exists for programs that use `select`, which this one does not.
fn take_all_descriptors() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files cannot be raised (RLIMIT_NOFILE)");
    }
}

/// Ready when SIGTERM or SIGINT arrives.
fn stop_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
