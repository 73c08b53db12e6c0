//! Services whose rules send requests to endpoints of others, as a VirtualService of `reviews` that routes to the
//! Service `reviews-v1` does. Where such a request arrives, its `Host` still names the service its client called, and
//! under Istio the rules of that one have judged it. Every other request there is the owners'.

use std::{collections::BTreeSet, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::{
    CapturedPort, Snapshot,
    ports::{Owner, PortRules},
    source::Sources,
};

/// A service, and every endpoint that its mirroring rules name under another host.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    owner: Arc<Owner>,
    visits: Arc<[CapturedPort]>,
}

impl Guest {
    /// None where no rule leads elsewhere.
    pub(super) fn new(owner: Owner) -> Option<Self> {
        let elsewhere = owner.rulings.iter().flat_map(|(_, ruling)| ruling.of_others(&owner.service));
        // Most rules of a service name the same few destinations, whose endpoints are shared.
        let mut seen = HashSet::default();
        let members = elsewhere.filter(|members| seen.insert(members.as_ptr()));
        let visits: BTreeSet<_> = members.flat_map(|members| &**members).copied().collect();
        (!visits.is_empty()).then(|| Self { visits: visits.into_iter().collect(), owner: Arc::new(owner) })
    }

    pub(super) fn visits(&self) -> &[CapturedPort] {
        &self.visits
    }

    /// Seats it at every such endpoint where some service declares HTTP: a rule alone makes no port captured that is not
    /// said to speak it. What a seat costs is a reference.
    pub(super) fn seat(&self, ports: &mut HashMap<CapturedPort, PortRules>, sources: &Arc<Sources>) {
        for at in &*self.visits {
            if let Some(rules) = ports.get_mut(at) {
                rules.add_guest(&self.owner, sources);
            }
        }
    }

    /// Whether it has a seat anywhere.
    pub(super) fn is_seated(&self, snapshot: &Snapshot) -> bool {
        self.visits.iter().filter_map(|at| snapshot.rules_at(*at)).any(|rules| rules.has_guest(&self.owner))
    }
}
