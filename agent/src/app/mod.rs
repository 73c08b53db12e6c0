//! Wiring: builds every part once from one configuration, keeps them running, reloads, and takes them down in the
//! order that loses nothing.

mod direct;
mod doors;
mod ending;
mod enrolled;
mod heart;
mod memory;
mod namespaces;
mod pods;
mod pressure;
mod proof;
mod readings;
mod renewals;
mod rules;
mod status;
mod steering;
mod window;
mod workers;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};
use tokio_util::sync::CancellationToken;

pub use rules::{Compiled, Source};

pub use crate::route::Here;

use crate::{
    admin::{self, Configuration},
    capture,
    config::umbra::AgentConfig,
    connection::Node,
    observe::{All, Audit, Metrics, Reading},
    process::{
        descriptors,
        privileges::{self, Programs},
        supervisor::Supervisor,
    },
    record::Accounts,
    relay::{Leaving, tls::Certificates},
    shadow::Plane,
    source::kube,
};
use enrolled::Enrolled;
use heart::Heart;
use namespaces::{Reconciler, Wanted};
use pressure::Pressure;
use rules::{Keeper, Loader};
use window::{Published, Window};
use workers::Workers;

/// What stopping may take beside `drainTimeout`: the last handshakes, copies and lines, and leaving every namespace.
const BESIDE_DRAINING: Duration = Duration::from_secs(5);

/// How long the audit log may take for what came last.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What the program that logs offers: what it lost, for the metrics, and what it lets through, to be changed.
pub struct Log {
    pub lost: Reading,
    pub level: Arc<dyn admin::Log>,
}

/// Runs an agent until it is told to stop. With a cluster its objects are added to what `source` says. Where it knows its node,
/// the pods of that are enrolled by their labels, and not the host's namespace.
///
/// # Errors
/// When the configuration is refused (its faults are already printed) or a part cannot be started.
pub async fn run(source: Source, cluster: Option<kube::Options>, here: Here, log: Log) -> anyhow::Result<()> {
    let mut stop = Box::pin(stop_signal()?);
    let supervisor = Arc::new(Supervisor::of_environment());
    if let Err(error) = descriptors::take_all() {
        tracing::warn!(%error, "the limit of open files cannot be raised (RLIMIT_NOFILE)");
    }
    let accounts = Arc::new(Accounts::default());
    let cluster = match cluster {
        Some(options) => Some(Arc::new(kube::Cluster::follow(options).await?)),
        None => None,
    };
    let mut loader = Loader::new(source, cluster.clone(), here);
    let compiled = tokio::select! {
        compiled = rules::first(&mut loader, &accounts) => compiled?,
        () = &mut stop => return Ok(()),
    };
    let config = compiled.agent.unwrap_or_default();

    let mut observers = All::default();
    if let Some(audit) = &config.audit {
        observers.audit = Some(Audit::start(audit, &observers.interest)?);
    }
    observers.live.keep(config.admin.keep_exchanges);
    let observers = Arc::new(observers);
    let plane = Plane::start(&config.shadow, observers.clone()).context("start the shadow plane")?;
    plane.enforce(&compiled.snapshot);
    let certificates = Arc::new(Certificates::load(&config.capture.tls));
    let node = Arc::new(Node {
        snapshot: ArcSwap::from_pointee(compiled.snapshot),
        plane: Arc::clone(&plane),
        observer: observers.clone(),
        seed: capture::seed_of_this_boot(),
        certificates: Arc::clone(&certificates),
        leaving: Leaving::default(),
    });
    let enrolled = Enrolled::default();
    let pressure = Arc::new(Pressure::new(&plane));
    let mut readings = readings::all(&enrolled, &plane, &certificates);
    readings.extend(observers.live.readings());
    readings.extend(observers.audit.as_ref().map(Audit::reading));
    let last_beat = Arc::default();
    let configuration =
        Arc::new(Configuration::new(config.clone(), compiled.sources.clone(), &compiled.report));
    readings.extend(readings::reloads(&configuration));
    readings.extend(cluster.iter().flat_map(readings::cluster));
    readings.extend(cluster.iter().map(readings::writer));
    readings.extend([readings::shed(&pressure), readings::heartbeat(&last_beat), log.lost]);
    let metrics = Metrics::new(&observers.recorder, Arc::clone(&accounts), readings);
    let (rules, standing, room) = (Arc::clone(&node), enrolled.clone(), Arc::clone(&pressure));
    let (unknown, followed) = (cluster.clone(), cluster.clone());
    let window = Window::open(
        &config.admin,
        Published {
            metrics,
            rules: Box::new(move || rules.snapshot.load_full()),
            configuration: Arc::clone(&configuration),
            accounts: Arc::clone(&accounts),
            plane: Arc::clone(&plane),
            live: Arc::clone(&observers.live),
            namespaces: Box::new(move || status::namespaces(&standing)),
            missing: Box::new(move || unknown.as_ref().map(|cluster| cluster.missing()).unwrap_or_default()),
            cluster: Box::new(move || followed.as_deref().map(status::cluster)),
            mix: Arc::clone(&observers.recorder.mix),
            pressure: Box::new(move || room.shown().map(|(reason, shed)| (reason.as_str(), shed)).collect()),
            log: log.level,
        },
    )?;
    let workers = Workers::start(worker_count(&config), &node, &pressure)?;
    let heart =
        Heart::start(enrolled.clone(), workers.silence(), pressure, Arc::clone(&supervisor), last_beat)
            .context("start the heartbeat")?;

    let (steered, capturing) = (Arc::clone(&node), enrolled.clone());
    let steering =
        tokio::spawn(steering::steer(Arc::clone(&plane), move || rules::capture(&steered, &capturing)));
    let renewing = tokio::spawn(renewals::renew(certificates));
    let proof = proof::begin(&accounts, &plane, workers.count() + config.shadow.workers);
    let hands = workers.hands();
    let (wanted, wishes) = watch::channel(Wanted::by(&config, compiled.pods.as_ref()));
    let mut reconciler = Reconciler::new(&config, wishes, &node, hands.clone(), &enrolled);
    let (agent, mut writing) = (config.clone(), None);
    let mut keeper = Keeper {
        loader,
        accounts,
        node: &node,
        enrolled: &enrolled,
        agent,
        wanted,
        published: &configuration,
    };
    let kept = async {
        reconciler.begin().await?;
        enrolled.listens(direct::listen(&config, &hands).await?);
        // Ready means captured: the kernel believes in us from the first beat on.
        if let Err(error) = heart.beat() {
            tracing::warn!("{error}: its connections go to the apps directly");
        }
        let programs = cluster.as_ref().map_or(Programs::Forbidden, |cluster| cluster.programs());
        if let Err(error) = privileges::forbid(programs) {
            tracing::debug!(%error, "no system call is forbidden (seccomp)");
        }
        memory::give_back();
        memory::let_go_of_the_program();
        window.ready();
        supervisor.ready();
        let (ports, namespaces_enrolled) = (node.snapshot.load().captured_ports().len(), enrolled.all().len());
        tracing::info!(admin = %config.admin.address, ports, namespaces = namespaces_enrolled, "umbra is ready");
        let stopping = CancellationToken::new();
        let told = Arc::clone(&node);
        let rules = Arc::new(move || told.snapshot.load_full());
        writing = cluster.and_then(|cluster| cluster.write_status(rules, stopping.clone()));
        let reconciling = tokio::spawn(reconciler.run(stopping.clone()));
        let kept = keeper.keep(compiled.fingerprint, stop).await;
        stopping.cancel();
        reconciling.await.context("keeping namespaces as they are wanted panicked")?;
        kept
    }
    .await;

    // Also when the start failed: namespaces that were enrolled are left as they were found.
    window.close("the agent is stopping");
    supervisor.stopping(config.drain_timeout + BESIDE_DRAINING);
    let told_again = stop_signal()?;
    tokio::select! {
        cut = ending::drain(config.drain_timeout, &node.leaving, workers, plane, &enrolled) => {
            proof.end();
            // It has long left the lease to the next agent.
            if let Some(writing) = writing {
                let _ = writing.await;
            }
            if let Some(audit) = &observers.audit {
                audit.close(LAST_LINES);
            }
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
