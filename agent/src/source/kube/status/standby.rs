//! When an agent that stands by looks at the lease again. In a small cluster every few seconds. A thousand agents doing so would be
//! a hundred requests a second for nothing, so where there are many nodes each looks twice and then rests for long: the second look
//! finds out whether the holder has renewed the lease meanwhile, and of so many agents one is always about to look.

use std::time::Duration;

use super::{super::pause::spread, lease::LASTS};

/// A rest between looks.
const REST: Duration = Duration::from_secs(15);
/// It is so long for each node, if that is more: about ten looks a second of all agents together.
const FOR_EACH: Duration = Duration::from_millis(250);
/// And no longer, for the agents may be fewer than the nodes.
const LONGEST: Duration = Duration::from_secs(240);

#[derive(Debug, Default)]
pub(super) struct StandBy {
    /// The look that comes is the second one.
    again: bool,
}

impl StandBy {
    /// `left`: how long the holder may be silent still.
    pub(super) fn rest(&mut self, left: Duration, nodes: usize) -> Duration {
        let nodes = u32::try_from(nodes).unwrap_or(u32::MAX);
        let rest = spread(FOR_EACH.saturating_mul(nodes).clamp(REST, LONGEST));
        // Silent since the last look; or it was heard of just now, by the first of two looks.
        let soon = left < LASTS || !self.again;
        self.again = soon;
        if soon { left.min(rest) } else { rest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Of so many agents, from when the holder has died: how long until one knows, and how many looks a second there were before.
    fn play(agents: usize, nodes: usize) -> (Duration, f64) {
        fastrand::seed(7);
        let (dies, renews) = (600 * SECOND, 5 * SECOND);
        // The number of its renewal, and when it was first seen.
        let mut all: Vec<_> =
            (0..agents).map(|_| (StandBy::default(), SECOND, (0, Duration::ZERO))).collect();
        let mut looks = 0;
        loop {
            let next = all.iter_mut().min_by_key(|(_, at, _)| *at).unwrap();
            let (standby, at, seen) = next;
            let renewal = (*at).min(dies).as_millis() / renews.as_millis();
            if seen.0 != renewal {
                *seen = (renewal, *at);
            }
            looks += u32::from(*at < dies);
            let left = (seen.1 + LASTS).saturating_sub(*at);
            if left.is_zero() {
                assert!(*at > dies, "{agents} agents: the holder lives at {at:?}");
                return (*at - dies, f64::from(looks) / dies.as_secs_f64());
            }
            *at += standby.rest(left, nodes);
        }
    }

    #[test]
    fn a_thousand_look_seldom_and_one_takes_over_soon() {
        let (took, looks) = play(1000, 1000);
        assert!(took < 25 * SECOND && looks < 12.0, "{took:?}, {looks} looks a second");
        let (took, looks) = play(100, 1000);
        assert!(took < 45 * SECOND && looks < 2.0, "{took:?}, {looks} looks a second");
    }

    #[test]
    fn two_agents_look_often() {
        let (took, looks) = play(1, 2);
        assert!(took < 31 * SECOND && looks < 0.2, "{took:?}, {looks} looks a second");
    }
}
