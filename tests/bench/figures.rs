//! Rounds, summed up: medians, and ratios to nginx as a plain proxy in the same round.

use crate::round::{Round, micros};

/// One case in numbers; NaN where there is no proxy to speak of. Times are microseconds.
pub(crate) struct Figures {
    pub(crate) requests_per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) proxy_cpu: f64,
    pub(crate) proxy_to_nginx: f64,
    pub(crate) machine_cpu: f64,
    pub(crate) machine_to_nginx: f64,
    pub(crate) copies_per_request: f64,
}

impl Figures {
    /// `nginx` are the rounds to compare with, each with the one of its turn: what slows the machine slows both.
    pub(crate) fn of(rounds: &[Round], nginx: &[Round]) -> Self {
        let of = |what: fn(&Round) -> f64| median(rounds.iter().map(what));
        let to_nginx = |what: fn(&Round) -> f64| {
            median(rounds.iter().zip(nginx).map(|(own, other)| what(own) / what(other)))
        };
        Self {
            requests_per_second: of(Round::requests_per_second),
            p50: of(|round| micros(round.answered.p50)),
            p99: of(|round| micros(round.answered.p99)),
            proxy_cpu: of(Round::proxy_cpu),
            proxy_to_nginx: to_nginx(Round::proxy_cpu),
            machine_cpu: of(Round::machine_cpu),
            machine_to_nginx: to_nginx(Round::machine_cpu),
            copies_per_request: of(Round::copies_per_request),
        }
    }

    /// CPU of the proxy that one copy adds to a request that is not copied.
    pub(crate) fn per_copy(&self, plain: &Self) -> f64 {
        (self.proxy_cpu - plain.proxy_cpu) / self.copies_per_request
    }
}

/// The one in the middle, or between the two there; NaN of none.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}
