//! What became of a service, kept with all it came from: for as long as none of that changes it is not looked at again.

use std::sync::Arc;

use foldhash::HashMap;

use super::{
    findings::Finding, known::Known, precedence::Claim, served::Served, services::Service, units::Unit,
};

/// A service with the tables of its ports.
#[derive(Debug)]
pub(super) struct Ruled {
    pub(super) service: Arc<Service>,
    pub(super) served: Arc<Served>,
    /// What tells the routes that are attached to it.
    pub(super) attached: Vec<usize>,
    /// Those that were asked for, in order.
    pub(super) units: Vec<Arc<Unit>>,
    pub(super) claims: Vec<Claimed>,
    /// Beside those of the units.
    pub(super) findings: Vec<Finding>,
    /// Every table that it holds is in force by it. Others must not keep their accounts open.
    pub(super) is_settled: bool,
}

/// What became of a claim on a port of the service.
#[derive(Debug)]
pub(super) struct Claimed {
    pub(super) claim: Claim,
    pub(super) port: u16,
    pub(super) lot: Lot,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lot {
    Won,
    /// No rule exists for the port.
    Passed,
    /// To this object.
    Lost(Box<str>),
}

impl Ruled {
    /// Whether everything it was made of is the same, the claims on its host aside.
    pub(super) fn is_good(&self, attached: &[usize], known: &Known<'_>) -> bool {
        self.attached == attached && self.units.iter().all(|unit| known.agrees(&unit.asked))
    }
}

/// The services of the configuration before, to be asked for in the order of the new one.
pub(super) struct Before<'k> {
    all: &'k [Arc<Ruled>],
    next: usize,
    /// Made when the orders differ.
    places: Option<HashMap<*const Service, usize>>,
}

impl<'k> Before<'k> {
    pub(super) fn new(all: &'k [Arc<Ruled>]) -> Self {
        Self { all, next: 0, places: None }
    }

    /// The same service's.
    pub(super) fn of(&mut self, service: &Arc<Service>) -> Option<&'k Arc<Ruled>> {
        let is_next = self.all.get(self.next).is_some_and(|ruled| Arc::ptr_eq(&ruled.service, service));
        if !is_next {
            let places = || self.all.iter().map(|ruled| Arc::as_ptr(&ruled.service)).zip(0..).collect();
            self.next = *self.places.get_or_insert_with(places).get(&Arc::as_ptr(service))?;
        }
        self.next += 1;
        self.all.get(self.next - 1)
    }
}
