//! Outlier detection as Envoy does it: an endpoint that fails too often in a row is ejected for a while, longer each
//! time. Pure: callers bring the clock.
//!
//! A failed request counts for the gateway errors, for the 5xx and, where they are split off, for the local failures;
//! whichever count is full ejects. At each interval, endpoints whose time is over come back, and one that was in force
//! all the time has its next ejection shortened by one step.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use tokio::time::Instant;

use crate::route::Outliers;

/// Envoy's `max_ejection_time`, which Istio leaves at its default; a longer base counts instead.
const LONGEST: Duration = Duration::from_secs(300);

/// What came of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// An answer with this status.
    Status(u16),
    /// No connection, or none that lasted to the end of the answer.
    Failed,
    /// No answer in time.
    TimedOut,
}

#[derive(Debug)]
pub(super) struct Detector {
    settings: Outliers,
    hosts: BTreeMap<SocketAddr, Health>,
    next_check: Instant,
}

#[derive(Debug, Default)]
struct Health {
    gateway_errors: u32,
    errors_5xx: u32,
    local_failures: u32,
    ejected_at: Option<Instant>,
    /// How many times the base an ejection lasts.
    steps: u32,
}

impl Detector {
    pub(super) fn new(mut settings: Outliers, now: Instant) -> Self {
        // Istio's own lower bound of durations; each interval costs a look at every endpoint.
        settings.interval = settings.interval.max(Duration::from_millis(1));
        let next_check = now + settings.interval;
        Self { settings, hosts: BTreeMap::new(), next_check }
    }

    /// The endpoints there are; what is known of those that stay is kept.
    pub(super) fn set_hosts(&mut self, addresses: impl IntoIterator<Item = SocketAddr>) {
        let mut before = std::mem::take(&mut self.hosts);
        self.hosts = addresses
            .into_iter()
            .map(|address| (address, before.remove(&address).unwrap_or_default()))
            .collect();
    }

    /// Counts what came of a request. True when its endpoint is ejected for it.
    pub(super) fn observe(&mut self, address: SocketAddr, sign: Sign, now: Instant) -> bool {
        let ejected = self.hosts.values().filter(|host| host.ejected_at.is_some()).count();
        let (settings, total) = (&self.settings, self.hosts.len());
        let Some(host) = self.hosts.get_mut(&address) else { return false };
        if !host.count(sign, settings) || host.ejected_at.is_some() {
            return false;
        }
        // Also of the first: one of two is half of them, whatever the percentage (Envoy since 1.30, unless
        // `always_eject_one_host`, which Istio does not set).
        let share = settings.max_ejected_percent as usize;
        if (ejected + 1) * 100 > share * total {
            return false;
        }
        host.ejected_at = Some(now);
        if settings.base_ejection * host.steps < longest(settings) + settings.base_ejection {
            host.steps += 1;
        }
        true
    }

    /// Does what is due. True when an endpoint came back.
    pub(super) fn check(&mut self, now: Instant) -> bool {
        let mut back = false;
        while self.next_check <= now {
            let resting = self.hosts.values().all(|host| host.ejected_at.is_none() && host.steps == 0);
            if resting {
                // Nothing can change until the next ejection: the intervals that were missed need no looking at.
                self.next_check = now + self.settings.interval;
                break;
            }
            for host in self.hosts.values_mut() {
                back |= host.check(&self.settings, self.next_check);
            }
            self.next_check += self.settings.interval;
        }
        back
    }

    pub(super) fn is_ejected(&self, address: SocketAddr) -> bool {
        self.hosts.get(&address).is_some_and(|host| host.ejected_at.is_some())
    }

    /// So few endpoints are in force that ejections are disregarded.
    pub(super) fn is_panicking(&self) -> bool {
        let healthy = self.hosts.values().filter(|host| host.ejected_at.is_none()).count();
        healthy * 100 < self.settings.min_healthy_percent as usize * self.hosts.len()
    }
}

impl Health {
    /// True when a count is full; it then starts anew.
    fn count(&mut self, sign: Sign, settings: &Outliers) -> bool {
        let split = settings.split_local_errors;
        let status = match sign {
            Sign::Status(status) => {
                self.local_failures = 0;
                status
            }
            Sign::Failed | Sign::TimedOut if split => {
                return full(&mut self.local_failures, settings.consecutive_local_failures);
            }
            Sign::Failed => 503,
            Sign::TimedOut => 504,
        };
        if !(500..600).contains(&status) {
            (self.gateway_errors, self.errors_5xx) = (0, 0);
            return false;
        }
        let gateway = match status {
            502..=504 => full(&mut self.gateway_errors, settings.consecutive_gateway_errors),
            _ => {
                self.gateway_errors = 0;
                false
            }
        };
        full(&mut self.errors_5xx, settings.consecutive_5xx) | gateway
    }

    /// At an interval. True when the endpoint comes back.
    fn check(&mut self, settings: &Outliers, now: Instant) -> bool {
        let Some(since) = self.ejected_at else {
            self.steps = self.steps.saturating_sub(1);
            return false;
        };
        let over = since + (settings.base_ejection * self.steps).min(longest(settings)) <= now;
        if over {
            // A count that was close to full must not eject it again at the first error.
            *self = Self { steps: self.steps, ..Self::default() };
        }
        over
    }
}

fn longest(settings: &Outliers) -> Duration {
    settings.base_ejection.max(LONGEST)
}

/// Counts one more. True when that makes it full; 0 is never full.
fn full(count: &mut u32, limit: u32) -> bool {
    *count = count.saturating_add(1);
    let full = limit > 0 && *count >= limit;
    if full {
        *count = 0;
    }
    full
}
