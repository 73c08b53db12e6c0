//! One configuration after the other: what was compiled is kept, and a change costs little more than what it touches.
//! What comes out is what compiling from nothing would give.

use std::{mem, sync::Arc};

use super::{
    Here, Snapshot,
    clusters::Spots,
    compile::{self, Keep},
    delegates::AllFound,
    difference::Difference,
    exposure::Loops,
    idle::AllIdle,
    precedence::ClaimsByHost,
    ruled::Ruled,
    served::Assembled,
    services::{Registry, SharedLabels},
    subsets::RulesByHost,
    units::Units,
};
use crate::{
    config::{Diagnostic, Report, Resources},
    record::Accounts,
};

/// Compiles the configurations of an agent, each with what is left of the last good one.
///
/// A rule that neither changed nor depends on a change is the same value in every snapshot, with its mirrors and their
/// clusters. An object is unchanged when it is in a part that was handed in before: a source keeps the parts whose text
/// is the same.
#[derive(Debug, Default)]
pub struct Compilation {
    kept: Kept,
    labels: SharedLabels,
    here: Arc<Here>,
}

/// All that can be used again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Holds every object by whose address something is known below, so that no other one can have it.
    parts: Vec<Arc<Resources>>,
    pub(super) claims: ClaimsByHost,
    pub(super) rules: RulesByHost,
    pub(super) units: Units,
    pub(super) spots: Spots,
    pub(super) made: Made,
}

/// What a compilation made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) registry: Arc<Registry>,
    pub(super) found: AllFound,
    /// Those that were looked at, new or not.
    pub(super) units: Units,
    pub(super) spots: Spots,
    pub(super) stale_spots: Vec<Box<str>>,
    /// In the order of precedence.
    pub(super) ruled: Vec<Arc<Ruled>>,
    pub(super) idle: AllIdle,
    pub(super) loops: Loops,
    pub(super) assembled: Assembled,
}

impl Compilation {
    /// For an agent that runs there.
    pub fn at(here: Here) -> Self {
        Self { here: Arc::new(here), ..Self::default() }
    }

    /// Compiles a configuration read in parts, in order. With errors in the report the snapshot must not be put in
    /// force, and the next configuration is compared with the one before this. `accounts` are the same ones every time.
    pub fn compile(
        &mut self,
        parts: Vec<Arc<Resources>>,
        accounts: &Accounts,
        report: &mut Report,
    ) -> Snapshot {
        self.compile_unless(parts, accounts, report, Diagnostic::is_error)
    }

    /// The same, where some errors refuse the configuration and others do not: a mirror whose destination is unknown is left
    /// out of the snapshot, and comes in with its service.
    pub fn compile_unless(
        &mut self,
        parts: Vec<Arc<Resources>>,
        accounts: &Accounts,
        report: &mut Report,
        refuses: impl Fn(&Diagnostic) -> bool,
    ) -> Snapshot {
        let Self { kept, labels, here } = self;
        let mut difference = Difference::between(&kept.parts, &parts);
        difference.now.here = Arc::clone(here);
        kept.claims.update(&difference);
        kept.rules.update(&difference);
        let made = compile::compile(&difference, kept, labels, accounts, report, Keep::Captured);
        let snapshot = made.assembled.snapshot.clone();
        if report.diagnostics.iter().any(refuses) {
            kept.claims.take_back(&difference);
            kept.rules.take_back(&difference);
        } else {
            kept.take(made);
            kept.parts = parts;
        }
        labels.forget_unused();
        snapshot
    }
}

impl Kept {
    /// Rules that capture nothing are not kept: they must not hold their accounts open.
    fn take(&mut self, mut made: Made) {
        let mut served = made.assembled.services.iter();
        made.ruled.retain(|ruled| {
            served.next().is_some_and(|served| Arc::ptr_eq(&ruled.served, served)) && ruled.is_settled
        });
        self.units.extend(mem::take(&mut made.units));
        made.stale_spots.iter().for_each(|key| drop(self.spots.remove(key)));
        self.spots.extend(mem::take(&mut made.spots));
        self.made = made;
        // What came of a service or a virtual service holds its units.
        self.units.retain(|_, unit| Arc::strong_count(unit) > 1);
        self.spots.retain(|_, spot| spot.is_used());
    }
}

/// Compiles a configuration on its own.
pub(super) fn once(resources: &Resources, accounts: &Accounts, report: &mut Report, keep: Keep) -> Snapshot {
    let difference = Difference::from_nothing(resources);
    let (mut kept, mut labels) = (Kept::default(), SharedLabels::default());
    kept.claims.update(&difference);
    kept.rules.update(&difference);
    compile::compile(&difference, &kept, &mut labels, accounts, report, keep).assembled.snapshot
}
