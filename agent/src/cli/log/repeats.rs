//! The same line again and again: ten of a kind are logged in ten seconds, the others counted. A kind is a place in the
//! program, so there are few.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tracing::{Event, Level, Subscriber, callsite::Identifier};
use tracing_subscriber::{Layer, layer::Context};

const LINES: u32 = 10;
const WITHIN: Duration = Duration::from_secs(10);

/// Leaves out what was said often enough. What is asked for at `debug` and `trace` is all wanted.
pub(super) struct Repeats {
    said: Mutex<HashMap<Identifier, (Instant, u32)>>,
    left_out: Arc<AtomicU64>,
}

impl Repeats {
    pub(super) fn new() -> Self {
        Self { said: Mutex::default(), left_out: Arc::default() }
    }

    /// How many lines were left out so far.
    pub(super) fn left_out(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.left_out)
    }

    fn is_enough(&self, kind: Identifier, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, lines) = said.entry(kind).or_insert((now, 0));
        if now.duration_since(*since) >= WITHIN {
            (*since, *lines) = (now, 0);
        }
        *lines += 1;
        *lines > LINES
    }
}

impl<S: Subscriber> Layer<S> for Repeats {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        let enough = *metadata.level() <= Level::INFO && self.is_enough(metadata.callsite(), Instant::now());
        self.left_out.fetch_add(u64::from(enough), Relaxed);
        !enough
    }
}

#[cfg(test)]
mod tests {
    use tracing::Callsite as _;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn ten_of_a_kind_are_logged_and_other_kinds_are_not_kept_back() {
        let (said, repeats) = (Said::default(), Repeats::new());
        let (left_out, writer) = (repeats.left_out(), said.clone());
        let layer = tracing_subscriber::fmt::layer().with_writer(move || writer.clone()).with_ansi(false);
        let subscriber = tracing_subscriber::registry().with(repeats).with(layer);
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..100 {
                tracing::warn!(n, "again");
                tracing::debug!("asked for");
            }
            tracing::warn!("something else");
        });
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said.matches("again").count(), 10);
        assert_eq!(said.matches("asked for").count(), 100);
        assert_eq!(said.matches("something else").count(), 1);
        assert_eq!(left_out.load(Relaxed), 90);
    }

    #[test]
    fn after_ten_seconds_it_may_be_said_again() {
        let (repeats, start) = (Repeats::new(), Instant::now());
        let kind = tracing::callsite!(name: "it", kind: tracing::metadata::Kind::EVENT, fields: )
            .metadata()
            .callsite();
        let enough = |seconds| repeats.is_enough(kind.clone(), start + Duration::from_secs(seconds));
        assert!((0..10).all(|_| !enough(1)));
        assert!(enough(9));
        assert!(!enough(11));
    }
}
