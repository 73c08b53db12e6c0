//! What was written, by kind, over all the parts it was read in. An object that stayed in its part is the same value as
//! before, at the same address: that is how an unchanged one is known.

use std::sync::Arc;

use super::Here;
use crate::config::{Resources, gateway, istio, kubernetes, shadow_policy::ShadowPolicy};

#[derive(Debug, Default)]
pub(super) struct Objects<'a> {
    pub(super) virtual_services: Vec<&'a istio::VirtualService>,
    pub(super) destination_rules: Vec<&'a istio::DestinationRule>,
    pub(super) service_entries: Vec<&'a istio::ServiceEntry>,
    pub(super) workload_entries: Vec<&'a istio::WorkloadEntry>,
    pub(super) services: Vec<&'a kubernetes::Service>,
    pub(super) endpoint_slices: Vec<&'a kubernetes::EndpointSlice>,
    pub(super) pods: Vec<&'a kubernetes::Pod>,
    pub(super) http_routes: Vec<&'a gateway::HttpRoute>,
    pub(super) grpc_routes: Vec<&'a gateway::GrpcRoute>,
    pub(super) reference_grants: Vec<&'a gateway::ReferenceGrant>,
    pub(super) shadow_policies: Vec<&'a ShadowPolicy>,
    /// Ports of apps at which HTTPS is read, as AgentConfig names them.
    pub(super) opened: Arc<[u16]>,
    /// Where the agent runs.
    pub(super) here: Arc<Here>,
}

impl<'a> Objects<'a> {
    pub(super) fn of(parts: impl IntoIterator<Item = &'a Resources>) -> Self {
        let mut objects = Self::default();
        for part in parts {
            objects.virtual_services.extend(&part.virtual_services);
            objects.destination_rules.extend(&part.destination_rules);
            objects.service_entries.extend(&part.service_entries);
            objects.workload_entries.extend(&part.workload_entries);
            objects.services.extend(&part.services);
            objects.endpoint_slices.extend(&part.endpoint_slices);
            objects.pods.extend(&part.pods);
            objects.http_routes.extend(&part.http_routes);
            objects.grpc_routes.extend(&part.grpc_routes);
            objects.reference_grants.extend(&part.reference_grants);
            objects.shadow_policies.extend(&part.shadow_policies);
            if let Some(agent) = &part.agent {
                objects.opened = agent.capture.tls.iter().map(|tls| *tls.port).collect();
            }
        }
        objects
    }
}

/// What tells an object from every other one that is kept.
pub(super) fn address<T: ?Sized>(object: &T) -> usize {
    std::ptr::from_ref(object).cast::<()>().addr()
}
