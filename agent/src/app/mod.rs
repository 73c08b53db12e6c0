//! Wiring: builds every part once from one configuration, keeps them running, reloads, and takes them down in the
//! order that loses nothing.

mod audit;
mod heart;
mod memory;
mod readings;
mod renewals;
mod rules;
mod steering;
mod window;
mod workers;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

pub use rules::{Compiled, Source};

use crate::{
    admin::Configuration,
    capture::{self, Direct, Enrolment, Inbound},
    config::umbra::{AgentConfig, NetnsRef},
    connection::Node,
    observe::{Metrics, Reading, Recorder},
    record::Accounts,
    relay::tls::Certificates,
    shadow::Plane,
};
use heart::{Enrolled, Heart};
use rules::{Keeper, Loader};
use window::{Published, Window};
use workers::Workers;

/// How long listeners still accept after the kernel was told to send no more: handshakes that were half open then
/// complete within it.
const LAST_HANDSHAKES: Duration = Duration::from_millis(1500);

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
        capture_all(&config, node.seed, &workers, &enrolled).await?;
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
    window.not_ready("the agent is stopping");
    let told_again = stop_signal()?;
    tokio::select! {
        cut = drain(&config, workers, plane, &enrolled) => {
            audit.end();
            tracing::info!(connections_cut = cut, "umbra has stopped");
        }
        () = told_again => tracing::warn!("told to stop again: umbra stops at once, open connections are cut"),
    }
    steering.abort();
    renewing.abort();
    drop(heart);
    withdraw(&enrolled);
    window.close();
    kept
}

/// Ends what runs without losing a request: first no new connection comes, then the open ones end, then the copies.
/// Returns how many connections did not end in time.
async fn drain(config: &AgentConfig, workers: Workers, plane: Arc<Plane>, enrolled: &Enrolled) -> usize {
    let enrolments = enrolled.all();
    enrolments.iter().for_each(|enrolment| enrolment.hand_back());
    if !enrolments.is_empty() {
        tokio::time::sleep(LAST_HANDSHAKES).await;
    }
    let deadline = config.drain_timeout;
    let cut = workers.drain(deadline).await;
    if tokio::task::spawn_blocking(move || plane.drain(deadline)).await.is_err() {
        tracing::error!("draining the shadow plane panicked");
    }
    cut
}

/// Leaves every namespace as it was found; only now, for it takes away the way back to the apps.
fn withdraw(enrolled: &Enrolled) {
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.withdraw() {
            tracing::error!(netns = enrolment.name(), %error, "not everything could be restored");
        }
    }
}

async fn capture_all(
    config: &AgentConfig,
    seed: capture::Seed,
    workers: &Workers,
    enrolled: &Enrolled,
) -> anyhow::Result<()> {
    let options = capture::Options {
        workers: worker_count(config),
        exempt: config.capture.exempt.clone(),
        client_address: config.capture.client_address,
        seed,
    };
    for namespace in namespaces(config) {
        let (enrolment, listeners) = Enrolment::enrol(namespace, &options)?;
        for note in enrolment.notes() {
            tracing::warn!(netns = enrolment.name(), "{note}");
        }
        workers.listen(listeners, &Arc::new(Inbound::Enrolled(Arc::clone(&enrolment)))).await?;
        enrolled.add(enrolment);
    }
    for direct in &config.capture.direct {
        let (listener, listeners) = Direct::listen(*direct.listen, direct.upstream, options.workers)
            .with_context(|| format!("{}: listen on {}", direct.listen.at, *direct.listen))?;
        workers.listen(listeners, &Arc::new(Inbound::Direct(listener))).await?;
    }
    Ok(())
}

/// The namespaces to enrol: the host's, unless something else was named.
fn namespaces(config: &AgentConfig) -> Vec<&NetnsRef> {
    if config.capture.inbound.is_empty() && config.capture.direct.is_empty() {
        return vec![&NetnsRef::Host];
    }
    config.capture.inbound.iter().map(|inbound| &inbound.netns.value).collect()
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
