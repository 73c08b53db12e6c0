//! The rules in force by their books: where the requests of each come from and go to.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{Snapshot, trace::Primary};
use crate::record::RuleAccount;

/// A rule of a mirrored service, which itself may mirror nothing.
#[derive(Debug)]
pub struct KnownRule {
    /// By whose address it may be found.
    pub account: Arc<RuleAccount>,
    /// The hosts of the services it is for.
    pub services: BTreeSet<Arc<str>>,
    /// Where it sends its requests.
    pub primaries: Vec<Primary>,
}

impl Snapshot {
    /// Each once, in no order.
    pub fn known_rules(&self) -> Vec<KnownRule> {
        let mut known = HashMap::<_, KnownRule>::new();
        for service in self.services() {
            let host: Arc<str> = service.service.into();
            for rule in service.written() {
                let rule = known.entry(Arc::as_ptr(&rule.account)).or_insert_with(|| KnownRule {
                    account: Arc::clone(&rule.account),
                    services: BTreeSet::new(),
                    primaries: Primary::all(rule),
                });
                rule.services.insert(Arc::clone(&host));
            }
        }
        known.into_values().collect()
    }
}
