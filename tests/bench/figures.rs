//! Rounds, summed up: medians of them, and of what compares two cases in the same round.

use std::collections::BTreeMap;

use crate::{
    case::Case,
    load::Load,
    round::{Figure, Round},
    rows::Finding,
};

/// Everything measured, in the order of rounds.
#[derive(Default)]
pub(crate) struct Rounds(pub(crate) BTreeMap<(Load, Case), Vec<Round>>);

impl Rounds {
    pub(crate) fn add(&mut self, load: Load, case: Case, round: Round) {
        self.0.entry((load, case)).or_default().push(round);
    }

    pub(crate) fn of(&self, load: Load, case: Case) -> &[Round] {
        self.0.get(&(load, case)).map(Vec::as_slice).unwrap_or_default()
    }

    pub(crate) fn median(&self, load: Load, case: Case, figure: Figure) -> f64 {
        median(self.of(load, case).iter().map(|round| figure.of(round)))
    }

    /// Two cases are compared round by round: what slows the machine slows both.
    pub(crate) fn finding(&self, load: Load, figure: Figure, finding: Finding) -> f64 {
        let both = |of, to, compare: fn(f64, f64) -> f64| {
            let pairs = self.of(load, of).iter().zip(self.of(load, to));
            median(pairs.map(|(of, to)| compare(figure.of(of), figure.of(to))))
        };
        match finding {
            Finding::Ratio(of, to) => both(of, to, |of, to| of / to),
            Finding::Difference(of, to) => both(of, to, |of, to| of - to),
            Finding::Value(of) => self.median(load, of, figure),
        }
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
