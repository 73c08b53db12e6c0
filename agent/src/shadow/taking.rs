//! How copies change threads: one alone at once, many together. Waking a thread costs as much as a copy itself, on both
//! sides, and whoever offers copies to a worker that is about to look anyway wakes nobody.

use std::time::Duration;

use tokio::{
    sync::mpsc::Receiver,
    task::yield_now,
    time::{Instant, sleep_until},
};

/// Taken at once.
const MOST: usize = 64;

/// Those that come faster than one in this time are taken together, so much later at most.
const TOGETHER: Duration = Duration::from_millis(1);

/// Where fewer may wait than this, none does here: each would take the place of another.
const FEW: usize = 1024;

/// Takes what was handed over.
#[derive(Debug)]
pub(super) struct Taking {
    together: Duration,
    not_before: Instant,
    /// More wait than were taken.
    crowd: bool,
}

impl Taking {
    /// For a queue of so many places.
    pub(super) fn new(places: usize) -> Self {
        let together = if places < FEW { Duration::ZERO } else { TOGETHER };
        Self { together, not_before: Instant::now(), crowd: false }
    }

    /// The next ones wait for no others: few may be under way.
    pub(super) fn at_once(&mut self) {
        self.not_before = Instant::now();
    }

    /// What waits, at least one; nothing when no more will come. Given up at any moment it has taken nothing.
    pub(super) async fn take<T>(&mut self, from: &mut Receiver<T>, into: &mut Vec<T>) {
        if self.crowd {
            // Those that were taken have their turn first.
            yield_now().await;
            self.crowd = false;
        }
        let asked = Instant::now();
        if self.not_before > asked {
            sleep_until(self.not_before).await;
        }
        let count = from.recv_many(into, MOST).await;
        let now = Instant::now();
        self.crowd = count == MOST;
        let many = count > 1 || now - asked < self.together;
        // Where more wait than were taken, they have waited long enough.
        self.not_before = if many && !self.crowd { now + self.together } else { now };
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::mpsc, time::sleep};

    use super::*;

    async fn taken(taking: &mut Taking, from: &mut Receiver<u32>) -> (usize, Duration) {
        let (asked, mut into) = (Instant::now(), Vec::new());
        taking.take(from, &mut into).await;
        (into.len(), asked.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_alone_are_taken_at_once() {
        let (to, mut from) = mpsc::channel(8);
        let (mut taking, mut taken) = (Taking::new(FEW), Vec::new());
        let offering = async {
            for _ in 0..3 {
                sleep(2 * TOGETHER).await;
                to.try_send(Instant::now()).unwrap();
            }
        };
        let at_work = async {
            for _ in 0..3 {
                taking.take(&mut from, &mut taken).await;
                assert_eq!(taken, [Instant::now()]);
                taken.clear();
            }
        };
        tokio::join!(offering, at_work);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_come_in_quick_succession_are_taken_together_a_moment_later() {
        let (to, mut from) = mpsc::channel(8);
        let mut taking = Taking::new(FEW);
        to.try_send(0).unwrap();
        assert_eq!(taken(&mut taking, &mut from).await, (1, Duration::ZERO));
        for number in 1..=5 {
            to.try_send(number).unwrap();
        }

        assert_eq!(taken(&mut taking, &mut from).await, (5, TOGETHER));
    }

    #[tokio::test(start_paused = true)]
    async fn where_few_may_be_under_way_none_waits_for_others() {
        let (to, mut from) = mpsc::channel(8);
        let (mut short, mut limited) = (Taking::new(FEW - 1), Taking::new(FEW));
        for taking in [&mut short, &mut limited] {
            for _ in 0..3 {
                to.try_send(0).unwrap();
                assert_eq!(taken(taking, &mut from).await, (1, Duration::ZERO));
                if taking.together > Duration::ZERO {
                    taking.at_once();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_is_taken_without_waiting_in_between() {
        let (to, mut from) = mpsc::channel(3 * MOST);
        let mut taking = Taking::new(FEW);
        for number in 0..2 * MOST {
            to.try_send(u32::try_from(number).unwrap()).unwrap();
        }
        assert_eq!(taken(&mut taking, &mut from).await, (MOST, Duration::ZERO));
        assert_eq!(taken(&mut taking, &mut from).await, (MOST, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_taken_once_no_more_will_come() {
        let (to, mut from) = mpsc::channel(1);
        to.try_send(7).unwrap();
        drop(to);
        let mut taking = Taking::new(FEW);
        assert_eq!(taken(&mut taking, &mut from).await.0, 1);
        assert_eq!(taken(&mut taking, &mut from).await.0, 0);
    }
}
