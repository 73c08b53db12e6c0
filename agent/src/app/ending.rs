//! Taking an agent down in the order that loses nothing.

use std::{sync::Arc, time::Duration};

use super::{direct::Listening, enrolled::Enrolled, workers::Workers};
use crate::{relay::Leaving, shadow::Plane};

/// How long listeners still accept after the kernel was told to send no more: handshakes that were half open then
/// complete within it.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_millis(1500);

/// How long before the deadline idle connections are ended.
const LAST_CALL: Duration = Duration::from_secs(2);

/// Ends what runs without losing a request: first no new connection comes, then the open ones end, each by `deadline`,
/// then the copies. Returns how many connections did not end in time.
pub(super) async fn drain(
    deadline: Duration,
    leaving: &Leaving,
    workers: Workers,
    plane: Arc<Plane>,
    enrolled: &Enrolled,
) -> usize {
    let enrolments = enrolled.all();
    enrolments.iter().for_each(|enrolment| enrolment.hand_back());
    for Listening { direct, .. } in enrolled.listening() {
        if let Err(error) = direct.hand_back() {
            tracing::warn!(listen = %direct.address(), %error, "new connections cannot be left to the agent that follows");
        }
    }
    // Clients that come again now find the agent that follows, or the app itself.
    leaving.begin();
    if !(enrolments.is_empty() && enrolled.listening().is_empty()) {
        tokio::time::sleep(LAST_HANDSHAKES).await;
    }
    let cut = with_last_call(deadline, leaving, workers.drain(deadline)).await;
    if tokio::task::spawn_blocking(move || plane.drain(deadline)).await.is_err() {
        tracing::error!("draining the shadow plane panicked");
    }
    cut
}

/// Calls idle connections away in time, while the rest `ends` by the deadline.
pub(super) async fn with_last_call<T>(
    deadline: Duration,
    leaving: &Leaving,
    ends: impl Future<Output = T>,
) -> T {
    let last_call = async {
        tokio::time::sleep(deadline.saturating_sub(LAST_CALL.min(deadline / 2))).await;
        leaving.last_call();
        std::future::pending().await
    };
    tokio::select! {
        ended = ends => ended,
        never = last_call => never,
    }
}

/// Leaves every namespace as it was found; only now, for it takes away the way back to the apps.
pub(super) fn withdraw(enrolled: &Enrolled) {
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.withdraw() {
            tracing::error!(netns = enrolment.name(), %error, "not everything could be restored");
        }
    }
}
