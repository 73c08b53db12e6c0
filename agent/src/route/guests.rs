//! Services whose rules send requests to endpoints of others, as a VirtualService of `reviews` that routes to the
//! Service `reviews-v1` does. Where such a request arrives, its `Host` still names the service its client called, and
//! under Istio the rules of that one have judged it. Every other request there is the owners'.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    CapturedPort,
    ports::{Owner, PortRules},
    source::Sources,
};

/// Seats a service at every endpoint that its mirroring rules name under another host, as far as some service declares
/// HTTP there: a rule alone makes no port captured that is not said to speak it. What a seat costs is a reference.
pub(super) fn seat(
    guest: &Arc<Owner>,
    ports: &mut BTreeMap<CapturedPort, PortRules>,
    sources: &Arc<Sources>,
) {
    let elsewhere = guest.rulings.iter().flat_map(|(_, ruling)| ruling.of_others(&guest.service));
    // Most rules of a service name the same few destinations, whose endpoints are shared.
    let mut seen = HashSet::new();
    for at in elsewhere.filter(|members| seen.insert(members.as_ptr())).flat_map(|members| &**members) {
        if let Some(rules) = ports.get_mut(at) {
            rules.add_guest(guest, sources);
        }
    }
}
