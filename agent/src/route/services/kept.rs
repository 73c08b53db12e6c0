//! The endpoints of services, kept from one configuration to the next: made again only when what they come from may have
//! changed, and the same value as before when it has not.

use std::sync::Arc;

use foldhash::{HashMap, HashSet, fast::RandomState};

use super::Endpoint;
use crate::config::Labels;
use crate::route::findings::{Finding, Findings};

/// By the address of the object that declares the service.
pub(in crate::route) type AllEndpoints = HashMap<usize, Arc<Found>>;

/// The endpoints of one object, and what was found on the way.
#[derive(Debug)]
pub(in crate::route) struct Found {
    endpoints: Arc<[Endpoint]>,
    findings: Vec<Finding>,
    /// Addresses of the other objects they come from.
    inputs: Vec<usize>,
}

/// Those of the configuration before, and of this one.
pub(in crate::route) struct Kept<'k> {
    before: &'k AllEndpoints,
    now: AllEndpoints,
    labels: &'k mut SharedLabels,
}

impl<'k> Kept<'k> {
    pub(in crate::route) fn new(before: &'k AllEndpoints, labels: &'k mut SharedLabels) -> Self {
        Self { before, now: HashMap::with_capacity_and_hasher(before.len(), RandomState::default()), labels }
    }

    pub(in crate::route) fn into_endpoints(self) -> AllEndpoints {
        self.now
    }

    /// The endpoints an object declares. `same` promises that they depend on nothing that has changed but the object
    /// itself and `inputs`.
    pub(super) fn endpoints(
        &mut self,
        object: usize,
        findings: &mut Findings<'_>,
        same: bool,
        inputs: Vec<usize>,
        make: impl FnOnce(&mut SharedLabels, &mut Findings<'_>) -> Vec<Endpoint>,
    ) -> Arc<[Endpoint]> {
        let before = self.before.get(&object);
        let found = if let Some(before) = before.filter(|before| same && before.inputs == inputs) {
            Arc::clone(before)
        } else {
            findings.begin();
            let made = make(self.labels, findings);
            let endpoints = match before {
                Some(before) if *before.endpoints == *made => Arc::clone(&before.endpoints),
                _ => made.into(),
            };
            Arc::new(Found { endpoints, findings: findings.noted(), inputs })
        };
        found.findings.iter().for_each(|finding| findings.tell(finding));
        let endpoints = Arc::clone(&found.endpoints);
        self.now.insert(object, found);
        endpoints
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
