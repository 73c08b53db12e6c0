//! The network namespaces whose connections the agent takes, and its plain listeners.

use std::sync::Arc;

use anyhow::Context as _;

use super::{enrolled::Enrolled, workers::Workers};
use crate::{
    capture::{self, Direct, Enrolment, Inbound},
    config::umbra::{AgentConfig, NetnsRef},
};

/// # Errors
/// When a namespace cannot be enrolled, an address cannot be listened on, or a data thread is gone.
pub(super) async fn capture_all(
    config: &AgentConfig,
    seed: capture::Seed,
    workers: &Workers,
    enrolled: &Enrolled,
) -> anyhow::Result<()> {
    let options = capture::Options {
        workers: workers.count(),
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
