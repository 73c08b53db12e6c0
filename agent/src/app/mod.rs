//! Wiring: builds every part once from one configuration, keeps them running, reloads, and takes them down in the
//! order that loses nothing.

mod heart;
mod readings;
mod rules;
mod window;
mod workers;

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

pub use rules::Source;

use crate::{
    capture::{self, Direct, Enrolment, Origin},
    config::umbra::{AgentConfig, Inbound, NetnsRef},
    connection::Node,
    observe::{Metrics, Recorder},
    shadow::Plane,
};
use heart::{Enrolled, Heart};
use rules::Rules;
use window::Window;
use workers::Workers;

/// How long listeners still accept after the kernel was told to send no more: handshakes that were half open then
/// complete within it.
const LAST_HANDSHAKES: Duration = Duration::from_millis(1500);

/// Runs an agent until it is told to stop.
///
/// # Errors
/// When the configuration is refused (its faults are already printed) or a part cannot be started.
pub async fn run(source: Source) -> anyhow::Result<()> {
    let (rules, resources) = Rules::first(source)?;
    let config = resources.agent.clone().unwrap_or_default();

    let recorder = Arc::new(Recorder::default());
    let plane = Plane::start(&config.shadow, recorder.clone()).context("start the shadow plane")?;
    let node = Arc::new(Node { snapshot: rules.snapshot(), plane: Arc::clone(&plane), observer: recorder.clone() });
    let enrolled = Enrolled::default();
    let metrics = Metrics::new(&recorder, rules.accounts(), readings::all(&enrolled, &plane));
    let window = Window::open(config.admin.address, metrics)?;
    let workers = Workers::start(worker_count(&config), &node)?;
    let heart = Heart::start(enrolled.clone(), workers.silence()).context("start the heartbeat")?;

    capture_all(&config, &workers, &enrolled).await?;
    rules.capture(&enrolled)?;
    window.ready();
    tracing::info!(
        admin = %config.admin.address,
        namespaces = enrolled.all().len(),
        ports = node.snapshot.load().captured_ports().len(),
        "umbra is mirroring"
    );

    rules.keep_current(&node, &enrolled, stop_signal()?).await;

    window.not_ready("the agent is stopping");
    for enrolment in enrolled.all() {
        enrolment.hand_back();
    }
    let patience = tokio::spawn(impatience(signal(SignalKind::interrupt())?));
    tokio::time::sleep(LAST_HANDSHAKES).await;
    let cut = tokio::select! {
        cut = workers.drain(config.drain_timeout) => cut,
        _ = patience => 0,
    };
    plane.drain(config.drain_timeout);
    drop(heart);
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.withdraw() {
            tracing::error!(netns = enrolment.name(), %error, "not everything could be restored");
        }
    }
    window.close();
    tracing::info!(connections_cut = cut, "umbra has stopped");
    Ok(())
}

async fn capture_all(config: &AgentConfig, workers: &Workers, enrolled: &Enrolled) -> anyhow::Result<()> {
    let host = [Inbound::host()];
    let inbound: &[Inbound] = match &config.capture {
        capture if capture.inbound.is_empty() && capture.direct.is_empty() => &host,
        capture => &capture.inbound,
    };
    let options = capture::Options {
        workers: worker_count(config),
        exempt: config.capture.exempt.clone(),
        client_address: config.capture.client_address,
    };
    for namespace in inbound {
        let (enrolment, listeners) = Enrolment::enrol(&namespace.netns, &options)
            .with_context(|| format!("enrol network namespace {}", namespace.netns.value))?;
        workers.listen(listeners, &Arc::new(Origin::Captured(Arc::clone(&enrolment)))).await?;
        enrolled.add(enrolment);
    }
    for direct in &config.capture.direct {
        let (origin, listeners) = Direct::listen(*direct.listen, direct.upstream, options.workers)
            .with_context(|| format!("listen on {}", *direct.listen))?;
        workers.listen(listeners, &Arc::new(Origin::Direct(origin))).await?;
    }
    Ok(())
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

/// A second Ctrl-C while draining means: now.
async fn impatience(mut interrupt: tokio::signal::unix::Signal) {
    interrupt.recv().await;
}
