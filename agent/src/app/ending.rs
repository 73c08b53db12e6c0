//! Taking an agent down in the order that loses nothing.

use std::{sync::Arc, time::Duration};

use super::{enrolled::Enrolled, workers::Workers};
use crate::{config::umbra::AgentConfig, shadow::Plane};

/// How long listeners still accept after the kernel was told to send no more: handshakes that were half open then
/// complete within it.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_millis(1500);

/// Ends what runs without losing a request: first no new connection comes, then the open ones end, then the copies.
/// Returns how many connections did not end in time.
pub(super) async fn drain(
    config: &AgentConfig,
    workers: Workers,
    plane: Arc<Plane>,
    enrolled: &Enrolled,
) -> usize {
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
pub(super) fn withdraw(enrolled: &Enrolled) {
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.withdraw() {
            tracing::error!(netns = enrolment.name(), %error, "not everything could be restored");
        }
    }
}
