//! How long to wait before asking again: longer each time, and never in step with the other agents of a cluster.

use std::time::Duration;

/// As client-go's reflectors do, doubling; they go on to 30 s, which a person who waits for a rule finds long.
const FIRST: Duration = Duration::from_millis(800);
const LONGEST: Duration = Duration::from_secs(10);

/// The waits after failures in a row.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    pub(super) fn next(&mut self) -> Duration {
        let next = self.0;
        self.0 = (next * 2).min(LONGEST);
        spread(next)
    }

    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}

/// Half of it at least, all of it at most.
pub(super) fn spread(time: Duration) -> Duration {
    time.mul_f64(0.5 + fastrand::f64() / 2.0)
}
