//! Which VirtualServices speak for a service in the mesh, in order. They are never merged there.

use super::{
    delegates::Merged,
    exports::{self, Reach},
    findings::{Findings, Site},
    hosts::{self, HostIndex},
};
use crate::config::{Code, istio::VirtualService};

/// One host of a virtual service, by their indices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) virtual_service: usize,
    pub(super) host: usize,
}

#[derive(Debug)]
pub(super) struct Precedence<'a> {
    virtual_services: &'a [Merged<'a>],
    claims: HostIndex<Vec<Claim>>,
}

/// True when a virtual service is for the mesh. Nothing written means `mesh`.
pub(super) fn for_mesh(virtual_service: &VirtualService) -> bool {
    virtual_service.gateways.is_empty() || virtual_service.gateways.iter().any(|g| g.value == "mesh")
}

/// How strong a claim is: private before exported by name before public, each oldest first, then by name.
pub(super) type Rank<'a> = (Reach, Option<&'a str>, &'a str, &'a str);

impl<'a> Precedence<'a> {
    pub(super) fn new(virtual_services: &'a [Merged<'a>], findings: &mut Findings<'_>) -> Self {
        let mut claims = HostIndex::<Vec<Claim>>::default();
        for (index, Merged { written: virtual_service, .. }) in virtual_services.iter().enumerate() {
            let site = Site::of("VirtualService", &virtual_service.meta);
            if !for_mesh(virtual_service) {
                let what = "names no `mesh`: this is for gateways, whose traffic is not captured";
                let at = &virtual_service.gateways[0].at;
                findings.add(Code::NotHonoured, at, &site.field("gateways"), what, None);
                continue;
            }
            for (host, written) in virtual_service.hosts.iter().enumerate() {
                let name = hosts::resolve(&written.value, &virtual_service.meta.namespace);
                claims.entry(&name).push(Claim { virtual_service: index, host });
            }
        }
        Self { virtual_services, claims }
    }

    /// The claims on a service, the strongest first: those of the most specific host that has any visible to
    /// `namespace`, which stands for the client's.
    pub(super) fn claims(&self, service: &str, namespace: &str) -> Vec<(Rank<'a>, Claim)> {
        let rank = |claim: &Claim| -> Option<Rank<'a>> {
            let VirtualService { meta, export_to, .. } = self.virtual_services[claim.virtual_service].written;
            let reach = exports::reach(export_to, &meta.namespace, namespace)?;
            Some((reach, meta.created.as_deref(), meta.name.as_str(), meta.namespace.as_str()))
        };
        for candidates in self.claims.covering(service) {
            let mut visible: Vec<_> = candidates.iter().filter_map(|c| Some((rank(c)?, *c))).collect();
            if !visible.is_empty() {
                visible.sort_by_key(|&(rank, _)| rank);
                return visible;
            }
        }
        Vec::new()
    }
}
