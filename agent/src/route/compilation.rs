//! One configuration after the other: what was compiled is kept, and a change costs little more than what it touches.
//! What comes out is what compiling from nothing would give.

use std::{mem, sync::Arc};

use foldhash::HashSet;

use super::{
    Snapshot,
    clusters::Spots,
    compile::{self, Keep},
    known::Lists,
    served::Assembled,
    services::{AllEndpoints, SharedLabels},
    table::Table,
    units::Units,
};
use crate::{
    config::{Report, Resources},
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
}

/// All that can be used again.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Holds every object by whose address something is known below, so that no other one can have it.
    #[expect(dead_code, reason = "held, not read")]
    pub(super) parts: Vec<Arc<Resources>>,
    pub(super) made: Made,
    pub(super) spots: Spots,
}

/// What a compilation made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) endpoints: AllEndpoints,
    pub(super) units: Units,
    pub(super) spots: Spots,
    pub(super) assembled: Assembled,
    /// Of the objects it was made of.
    pub(super) lists: Lists,
}

impl Compilation {
    /// Compiles a configuration read in parts, in order. With errors in the report the snapshot must not be put in
    /// force, and the next configuration is compared with the one before this. `accounts` are the same ones every time.
    pub fn compile(
        &mut self,
        parts: Vec<Arc<Resources>>,
        accounts: &Accounts,
        report: &mut Report,
    ) -> Snapshot {
        let resources: Vec<_> = parts.iter().map(|part| &**part).collect();
        let made =
            compile::compile(&resources, &self.kept, &mut self.labels, accounts, report, Keep::Captured);
        let snapshot = made.assembled.snapshot.clone();
        if !report.has_errors() {
            self.keep(parts, made);
        }
        self.labels.forget_unused();
        snapshot
    }

    fn keep(&mut self, parts: Vec<Arc<Resources>>, mut made: Made) {
        let mut spots = mem::take(&mut self.kept.spots);
        spots.extend(mem::take(&mut made.spots));
        self.kept = Kept { parts, made, spots };
        let Made { units, assembled, .. } = &mut self.kept.made;
        let in_force: HashSet<_> = assembled.tables().map(Arc::as_ptr).collect();
        // Rules that capture nothing must not keep their accounts open.
        let idle = |table: &Arc<Table>| !in_force.contains(&Arc::as_ptr(table)) && table.mirrors();
        units.retain(|_, unit| !unit.table.as_ref().is_some_and(idle));
        self.kept.spots.retain(|_, spot| spot.is_used());
    }
}

/// Compiles a configuration on its own.
pub(super) fn once(resources: &Resources, accounts: &Accounts, report: &mut Report, keep: Keep) -> Snapshot {
    let (kept, mut labels) = (Kept::default(), SharedLabels::default());
    compile::compile(&[resources], &kept, &mut labels, accounts, report, keep).assembled.snapshot
}
