//! The services of each object, kept from one configuration to the next: made again only when what they come from may have
//! changed, and the same values as before when it has not.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, fast::RandomState};

use super::Service;
use crate::{
    config::{Labels, Report},
    route::findings::{Finding, Findings},
};

/// By the address of the object that declares them.
pub(super) type AllDeclared = HashMap<usize, Arc<Declared>>;

/// The services of one object, and what was found on the way.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) services: Vec<Arc<Service>>,
    pub(super) findings: Vec<Finding>,
    /// Addresses of the other objects their endpoints come from.
    inputs: Vec<usize>,
}

/// Those of the configuration before, and of this one.
pub(super) struct Kept<'k> {
    before: &'k AllDeclared,
    now: AllDeclared,
    labels: &'k mut SharedLabels,
}

impl<'k> Kept<'k> {
    pub(super) fn new(before: &'k AllDeclared, labels: &'k mut SharedLabels) -> Self {
        Self { before, now: HashMap::with_capacity_and_hasher(before.len(), RandomState::default()), labels }
    }

    pub(super) fn into_declared(self) -> AllDeclared {
        self.now
    }

    /// The services an object declares. `same` promises that they depend on nothing that has changed but the object
    /// itself and `inputs`.
    pub(super) fn declared(
        &mut self,
        object: usize,
        same: bool,
        inputs: Vec<usize>,
        make: impl FnOnce(&mut SharedLabels, &mut Findings<'_>) -> Vec<Service>,
    ) -> Arc<Declared> {
        let before = self.before.get(&object);
        let declared = if let Some(before) = before.filter(|before| same && before.inputs == inputs) {
            Arc::clone(before)
        } else {
            let mut report = Report::default();
            let mut findings = Findings::new(&mut report);
            findings.begin();
            let made = make(self.labels, &mut findings).into_iter().enumerate();
            let services = made.map(|(index, made)| {
                // The object is the same: only endpoints can differ.
                let known = before.and_then(|before| before.services.get(index));
                let known = known.filter(|known| known.endpoints == made.endpoints);
                known.map_or_else(|| Arc::new(made), Arc::clone)
            });
            Arc::new(Declared { services: services.collect(), findings: findings.noted(), inputs })
        };
        self.now.insert(object, Arc::clone(&declared));
        declared
    }
}

/// Endpoints of one workload carry the same labels: they are kept once.
#[derive(Debug, Default)]
pub(in crate::route) struct SharedLabels(HashSet<Arc<Labels>>);

impl SharedLabels {
    pub(super) fn share(&mut self, labels: &Labels) -> Arc<Labels> {
        if let Some(known) = self.0.get(labels) {
            return Arc::clone(known);
        }
        let new = Arc::new(labels.clone());
        self.0.insert(Arc::clone(&new));
        new
    }

    /// Forgets those that no endpoint has any more.
    pub(in crate::route) fn forget_unused(&mut self) {
        self.0.retain(|labels| Arc::strong_count(labels) > 1);
    }
}
