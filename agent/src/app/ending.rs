//! Taking an agent down in the order that loses nothing.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, sleep_until};

use super::{direct::Listening, enrolled::Enrolled, workers::Workers};
use crate::{relay::Leaving, shadow::Plane};

/// How long listeners still accept after the kernel was told to send no more: handshakes that were half open then
/// complete within it.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_millis(1500);

/// How long before the deadline idle connections are ended.
const LAST_CALL: Duration = Duration::from_secs(2);

/// What copies have at least once the last connection has ended: it may have been offered one with its last byte.
const LAST_COPIES: Duration = Duration::from_secs(1);

/// Ends what runs without losing a request: first no new connection comes, then the open ones end, then the copies; all of
/// it within `time`, but for the last handshakes and copies. Returns how many connections did not end in time.
pub(super) async fn drain(
    time: Duration,
    leaving: &Leaving,
    workers: Workers,
    plane: Arc<Plane>,
    enrolled: &Enrolled,
) -> usize {
    let end = Instant::now() + time;
    let enrolments = enrolled.all();
    enrolments.iter().for_each(|enrolment| enrolment.hand_back());
    for Listening { direct, .. } in enrolled.listening() {
        if let Err(error) = direct.hand_back() {
            tracing::warn!(listen = %direct.address(), %error, "new connections cannot be left to the agent that follows");
        }
    }
    // Clients that come again now find the agent that follows, or the app itself.
    leaving.begin();
    let drained = async {
        if !(enrolments.is_empty() && enrolled.listening().is_empty()) {
            sleep(LAST_HANDSHAKES).await;
        }
        workers.drain(end.saturating_duration_since(Instant::now())).await
    };
    let cut = with_last_call(time, leaving, drained).await;
    let left = for_copies(end.saturating_duration_since(Instant::now()));
    if tokio::task::spawn_blocking(move || plane.drain(left)).await.is_err() {
        tracing::error!("draining the shadow plane panicked");
    }
    cut
}

/// Calls idle connections away in time, while the rest `ends` within `time` from now.
pub(super) async fn with_last_call<T>(time: Duration, leaving: &Leaving, ends: impl Future<Output = T>) -> T {
    let end = Instant::now() + time;
    let last_call = async {
        sleep_until(end - LAST_CALL.min(time / 2)).await;
        leaving.last_call();
        std::future::pending().await
    };
    tokio::select! {
        ended = ends => ended,
        never = last_call => never,
    }
}

/// What copies have of the time that connections left.
fn for_copies(left: Duration) -> Duration {
    left.max(LAST_COPIES)
}

/// Leaves every namespace as it was found; only now, for it takes away the way back to the apps.
pub(super) fn withdraw(enrolled: &Enrolled) {
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.withdraw() {
            tracing::error!(netns = enrolment.name(), %error, "not everything could be restored");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_have_what_connections_left_of_the_one_deadline() {
        for (left, expected) in [(0, 1000), (400, 1000), (7000, 7000)] {
            assert_eq!(for_copies(Duration::from_millis(left)), Duration::from_millis(expected));
        }
    }
}
