//! What is compiled on its own: the table of one virtual service, or of a service's routes, for one service port. It is
//! kept with everything it was made of, and used again for as long as none of that has changed.

use std::sync::Arc;

use foldhash::HashMap;

use super::{
    exposure::Exposed,
    findings::Finding,
    known::Asked,
    rules::{Compiler, Fate},
    table::Table,
};

/// Which unit, among those of one configuration and the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// By its address and the service port. One that is not in force is compiled for its faults alone.
    VirtualService { object: usize, port: u16, in_force: bool },
    /// By the service's host and port; `consumers` is their namespace.
    Routes { service: Arc<str>, port: u16, consumers: Option<Box<str>> },
}

#[derive(Debug)]
pub(super) struct Unit {
    /// None where no rule exists for the port: Istio passes the virtual service over there.
    pub(super) table: Option<Arc<Table>>,
    /// By rule.
    pub(super) fates: Vec<Fate>,
    /// Addresses of the objects it was compiled from, those in its key aside.
    inputs: Vec<usize>,
    pub(super) asked: Vec<Asked>,
    pub(super) findings: Vec<Finding>,
    pub(super) exposed: Vec<Exposed>,
}

pub(super) type Units = HashMap<Key, Arc<Unit>>;

impl Compiler<'_, '_> {
    /// The kept unit if it is still good, else what `compile` makes.
    pub(super) fn unit(
        &mut self,
        kept: Option<&Arc<Unit>>,
        inputs: Vec<usize>,
        compile: impl FnOnce(&mut Self) -> (Option<Table>, Vec<Fate>),
    ) -> Arc<Unit> {
        let good = |unit: &&Arc<Unit>| unit.inputs == inputs && self.clusters.known.agrees(&unit.asked);
        if let Some(unit) = kept.filter(good) {
            return Arc::clone(unit);
        }
        let begun = self.clusters.known.begin();
        self.findings.begin();
        let (table, fates) = compile(self);
        Arc::new(Unit {
            table: table.filter(|table| !table.is_empty()).map(Arc::new),
            fates,
            inputs,
            asked: self.clusters.known.noted(begun),
            findings: self.findings.noted(),
            exposed: self.exposure.noted(),
        })
    }
}
