//! The rows of the table: what is compared, under which load, and what is wanted. To measure one more thing is to add
//! an entry to one of the lists.

mod beside;
mod targets;

use crate::{case::Case, load::Load, round::Figure};

pub(crate) struct Row {
    /// What `--only` names, with every row that begins so.
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    pub(crate) load: Load,
    pub(crate) figure: Figure,
    pub(crate) findings: &'static [(Finding, Goal)],
}

/// One number of a row.
#[derive(Clone, Copy)]
pub(crate) enum Finding {
    /// The first case's figure by the second's, in the same round.
    Ratio(Case, Case),
    /// The first's less the second's.
    Difference(Case, Case),
    /// As measured.
    Value(Case),
}

/// What is wanted of it.
#[derive(Clone, Copy)]
pub(crate) enum Goal {
    AtMost(f64),
    AtLeast(f64),
    /// Nothing: it stands beside the others.
    Beside,
}

use Finding::{Difference, Ratio, Value};
use Goal::{AtLeast, AtMost, Beside};

/// In the order in which they are shown.
pub(crate) fn all() -> impl Iterator<Item = &'static Row> {
    targets::ROWS.iter().chain(beside::ROWS)
}

impl Row {
    /// What has to be measured for it; with another build of umbra beside, that too.
    pub(crate) fn cases(&self, also: bool) -> Vec<Case> {
        self.findings(also).into_iter().flat_map(|(finding, _)| finding.cases()).collect()
    }

    /// With another build of umbra: also what that finds, and how both compare.
    pub(crate) fn findings(&self, also: bool) -> Vec<(Finding, Goal)> {
        let mut findings = Vec::new();
        for &(finding, goal) in self.findings {
            findings.push((finding, goal));
            let other = Case::of_other_build;
            if also && let Some(of) = other(finding.of()) {
                let repeated = match finding {
                    Ratio(_, to) => Ratio(of, other(to).unwrap_or(to)),
                    Difference(_, to) => Difference(of, other(to).unwrap_or(to)),
                    Value(_) => Value(of),
                };
                findings.extend([(repeated, goal), (Ratio(of, finding.of()), Beside)]);
            }
        }
        findings
    }
}

impl Finding {
    /// The case it is about.
    pub(crate) fn of(self) -> Case {
        match self {
            Ratio(of, _) | Difference(of, _) | Value(of) => of,
        }
    }

    fn cases(self) -> Vec<Case> {
        match self {
            Ratio(of, to) | Difference(of, to) => vec![of, to],
            Value(of) => vec![of],
        }
    }
}

impl Goal {
    /// None when nothing is wanted.
    pub(crate) fn is_met_by(self, value: f64) -> Option<bool> {
        match self {
            AtMost(most) => Some(value <= most),
            AtLeast(least) => Some(value >= least),
            Beside => None,
        }
    }
}
