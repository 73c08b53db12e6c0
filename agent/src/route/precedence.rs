//! Which VirtualServices speak for a service in the mesh, in order. They are never merged there.

use std::collections::BTreeSet;

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

/// Claims on a service, the strongest first.
pub(super) type Claims<'a> = Vec<(Rank<'a>, Claim)>;

/// The claims on a service as clients see them, by their namespaces.
#[derive(Debug)]
pub(super) struct Views<'a> {
    /// Of the service's own namespace.
    pub(super) own: Claims<'a>,
    /// Where `exportTo` tells clients apart: those of the namespaces it singles out, and of all others.
    pub(super) others: Option<(Vec<(&'a str, Claims<'a>)>, Claims<'a>)>,
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

    /// The claims on a service of `namespace`, for every client there may be.
    pub(super) fn views(&self, service: &str, namespace: &str) -> Views<'a> {
        let mut named = BTreeSet::new();
        for claim in self.claims.covering(service).flatten() {
            let VirtualService { meta, export_to, .. } = self.virtual_services[claim.virtual_service].written;
            named.extend(exports::singled_out(export_to, &meta.namespace));
        }
        let others = (!named.is_empty()).then(|| {
            let named = named.into_iter().map(|viewer| (viewer, self.claims(service, viewer)));
            // Nobody's namespace has this name.
            (named.collect(), self.claims(service, ""))
        });
        Views { own: self.claims(service, namespace), others }
    }

    /// The claims of the most specific host that has any visible to clients of `namespace`.
    pub(super) fn claims(&self, service: &str, namespace: &str) -> Claims<'a> {
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
