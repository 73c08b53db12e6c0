//! Services whose rules send requests to endpoints of others, as a VirtualService of `reviews` that routes to the
//! Service `reviews-v1` does. Where such a request arrives, its `Host` still names the service its client called, and
//! under Istio the rules of that one have judged it. Every other request there is the owners'.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use super::{
    CapturedPort,
    hosts::ServiceHost,
    ports::{Owner, PortRules},
    source::Sources,
    table::Ruling,
};

/// A service port whose rules mirror requests that they send elsewhere.
pub(super) struct Guest {
    pub(super) service: Arc<str>,
    pub(super) namespace: Arc<str>,
    pub(super) host: Arc<ServiceHost>,
    pub(super) port: u16,
    pub(super) ruling: Arc<Ruling>,
}

impl Guest {
    /// Takes a seat at every endpoint that a mirroring rule names under another host, as far as a service declares HTTP
    /// there: no rule makes a port captured that is not said to speak it.
    pub(super) fn sit_down(&self, ports: &mut BTreeMap<CapturedPort, PortRules>, sources: &Arc<Sources>) {
        // Most rules of a service name the same few destinations.
        let mut seen = HashSet::new();
        for members in self.ruling.of_others(&self.service).filter(|members| seen.insert(members.as_ptr())) {
            for at in &**members {
                let Some(rules) = ports.get_mut(at) else { continue };
                rules.add_guest(&self.service, self.port, &self.ruling, sources, |labels| Owner {
                    service: Arc::clone(&self.service),
                    namespace: Arc::clone(&self.namespace),
                    labels,
                    host: Arc::clone(&self.host),
                    rulings: Vec::with_capacity(1),
                });
            }
        }
    }
}
