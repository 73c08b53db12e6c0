//! Lowers a mirror's share under pressure and lets it recover slowly. Pure: time and readings are brought along, once a
//! second, off the data threads.
//!
//! Under pressure the share falls to seven tenths and rests for five seconds, so that what it changed can be seen. Then
//! it grows by a hundredth of the ceiling a second, but only to nine tenths of where the pressure was. That bound is
//! lifted after half a minute, and each time it turns out to have been right, after twice as long, ten minutes at most:
//! a shadow that bears half of the load is not pushed over its limit again and again.

use std::{sync::Arc, time::Duration};

use crate::{
    record::{Account, Balance, DropReason},
    route::Adaptive,
};

const FALLS_TO: f64 = 0.7;
const REST: Duration = Duration::from_secs(5);
const GROWS_BY: f64 = 0.01;
const KEEPS_BELOW: f64 = 0.9;
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// Fewer copies than these tell nothing of a shadow.
const ENOUGH: f64 = 5.0;
/// What happened longer ago than some ten seconds hardly counts.
const FADES_TO: f64 = 0.8;
/// Copies for which there was no room, of all of them.
const CROWDED: f64 = 0.01;

/// Where the share stands.
#[derive(Debug)]
pub(super) struct Controller {
    /// Of the rule's share, 0 to 1.
    part: f64,
    rests_until: Duration,
    /// Where pressure was last, and until when that is believed.
    bad: f64,
    bad_until: Duration,
    wait: Duration,
    recent: Window,
}

/// What happened since the last reading.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Reading {
    pub(super) completed: f64,
    pub(super) failed: f64,
    /// Copies that found no room here, or came too fast for the shadow.
    pub(super) crowded: f64,
    /// Answers, and how many seconds all of them took together.
    pub(super) answers: f64,
    pub(super) waited: f64,
    /// In percent; None where it is not known.
    pub(super) cpu: Option<f64>,
}

/// Readings, the older the fainter.
#[derive(Clone, Copy, Debug, Default)]
struct Window(Reading);

impl Window {
    fn add(&mut self, new: Reading) {
        let Self(old) = self;
        let faded = |old: f64, new: f64| old * FADES_TO + new;
        *old = Reading {
            completed: faded(old.completed, new.completed),
            failed: faded(old.failed, new.failed),
            crowded: faded(old.crowded, new.crowded),
            answers: faded(old.answers, new.answers),
            waited: faded(old.waited, new.waited),
            cpu: new.cpu,
        };
    }

    fn shows_pressure(&self, limits: &Adaptive) -> bool {
        let Self(Reading { completed, failed, crowded, answers, waited, cpu }) = *self;
        let ended = completed + failed;
        let errors = limits.max_errors.is_some_and(|most| ended >= ENOUGH && failed > most * ended);
        let slow =
            limits.max_latency.is_some_and(|most| answers >= ENOUGH && waited > most.as_secs_f64() * answers);
        let busy = limits.max_cpu_pressure.zip(cpu).is_some_and(|(most, cpu)| cpu > most);
        errors || slow || busy || crowded > CROWDED * (ended + crowded)
    }
}

impl Controller {
    pub(super) fn new(limits: &Adaptive) -> Self {
        Self {
            part: limits.ceiling,
            rests_until: Duration::ZERO,
            bad: limits.ceiling,
            bad_until: Duration::ZERO,
            wait: FIRST_WAIT,
            recent: Window::default(),
        }
    }

    /// The part of the rule's share that is in force from now on.
    pub(super) fn tick(&mut self, now: Duration, limits: &Adaptive, reading: Reading) -> f64 {
        self.recent.add(reading);
        if now >= self.rests_until {
            if self.recent.shows_pressure(limits) {
                self.fall(now);
            } else {
                let believed = now < self.bad_until;
                let most = if believed { self.bad * KEEPS_BELOW } else { limits.ceiling };
                if self.part < most {
                    self.part = (self.part + GROWS_BY * limits.ceiling).min(most);
                }
            }
        }
        self.part = self.part.clamp(limits.floor, limits.ceiling);
        self.part
    }

    fn fall(&mut self, now: Duration) {
        // Soon after it was last found out, it was right.
        let again = !self.bad_until.is_zero() && now < self.bad_until + self.wait;
        self.wait = if again { (self.wait * 2).min(LONGEST_WAIT) } else { FIRST_WAIT };
        (self.bad, self.bad_until) = (self.part, now + self.wait);
        self.part *= FALLS_TO;
        self.rests_until = now + REST;
        // What went wrong at the old share says nothing of the new one.
        self.recent = Window::default();
    }
}

/// The controller of one mirror, and where its books stood at the last reading.
#[derive(Debug)]
pub(super) struct Steered {
    controller: Controller,
    balance: Balance,
    answers: (u64, u64),
}

impl Steered {
    pub(super) fn new(account: &Arc<Account>, limits: &Adaptive) -> Self {
        let (balance, answers) = (account.read(), account.standing.answers());
        Self { controller: Controller::new(limits), balance, answers }
    }

    /// Per million of the rule's share.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a part is within 0 and 1")]
    pub(super) fn tick(
        &mut self,
        now: Duration,
        limits: &Adaptive,
        account: &Account,
        cpu: Option<f64>,
    ) -> u32 {
        let (balance, answers) = (account.read(), account.standing.answers());
        let reading = Reading {
            completed: difference(balance.completed, self.balance.completed),
            failed: difference(balance.failed.iter().sum(), self.balance.failed.iter().sum()),
            crowded: difference(crowded(&balance), crowded(&self.balance)),
            answers: difference(answers.0, self.answers.0),
            waited: difference(answers.1, self.answers.1) / 1e6,
            cpu,
        };
        (self.balance, self.answers) = (balance, answers);
        (self.controller.tick(now, limits, reading) * 1e6) as u32
    }
}

fn crowded(balance: &Balance) -> u64 {
    const REASONS: [DropReason; 5] = [
        DropReason::QueueFull,
        DropReason::BytesBudget,
        DropReason::BodyTooSlow,
        DropReason::Concurrency,
        DropReason::Pending,
    ];
    REASONS.iter().map(|&reason| balance.dropped[reason as usize]).sum()
}

#[allow(clippy::cast_precision_loss, reason = "amounts of one second")]
fn difference(now: u64, before: u64) -> f64 {
    now.saturating_sub(before) as f64
}

#[cfg(test)]
#[path = "tests/adapting.rs"]
mod tests;
