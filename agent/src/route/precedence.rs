//! Which VirtualServices speak for a service in the mesh, in order. They are never merged there.

use std::collections::BTreeSet;

use super::{
    delegates::Roots,
    difference::Difference,
    exports::{self, Reach},
    hosts::{self, HostIndex},
    objects::address,
};
use crate::config::istio::VirtualService;

/// One host of a virtual service: its address, and the host's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub(super) virtual_service: usize,
    pub(super) host: usize,
}

/// Which hosts are claimed in the mesh; kept.
#[derive(Debug, Default)]
pub(super) struct ClaimsByHost(HostIndex<Vec<Claim>>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Precedence<'a> {
    pub(super) roots: &'a Roots<'a>,
    pub(super) by_host: &'a ClaimsByHost,
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

/// The hosts a virtual service claims in the mesh, in full.
pub(super) fn claimed(virtual_service: &VirtualService) -> impl Iterator<Item = (String, Claim)> {
    let hosts = virtual_service.hosts.iter().enumerate().filter(|_| for_mesh(virtual_service));
    hosts.map(|(host, written)| {
        let claim = Claim { virtual_service: address(virtual_service), host };
        (hosts::resolve(&written.value, &virtual_service.meta.namespace), claim)
    })
}

impl ClaimsByHost {
    pub(super) fn update(&mut self, difference: &Difference<'_>) {
        self.change(&difference.gone.virtual_services, &difference.come.virtual_services);
    }

    /// Undoes `update`.
    pub(super) fn take_back(&mut self, difference: &Difference<'_>) {
        self.change(&difference.come.virtual_services, &difference.gone.virtual_services);
    }

    fn change(&mut self, gone: &[&VirtualService], come: &[&VirtualService]) {
        gone.iter().flat_map(|gone| claimed(gone)).for_each(|(host, claim)| self.0.remove(&host, &claim));
        come.iter().flat_map(|come| claimed(come)).for_each(|(host, claim)| self.0.add(&host, claim));
    }

    /// The addresses of the virtual services that claim a host, whoever may see them.
    pub(super) fn on<'c>(&'c self, host: &'c str) -> impl Iterator<Item = usize> + 'c {
        self.0.covering(host).flatten().map(|claim| claim.virtual_service)
    }
}

/// How strong a claim is: private before exported by name before public, each oldest first, then by name.
pub(super) type Rank<'a> = (Reach, Option<&'a str>, &'a str, &'a str);

impl<'a> Precedence<'a> {
    /// The claims on a service of `namespace`, for every client there may be.
    pub(super) fn views(&self, service: &str, namespace: &str) -> Views<'a> {
        let mut named = BTreeSet::new();
        for virtual_service in self.by_host.on(service) {
            let VirtualService { meta, export_to, .. } = self.roots.at(virtual_service).written;
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
            let VirtualService { meta, export_to, .. } = self.roots.at(claim.virtual_service).written;
            let reach = exports::reach(export_to, &meta.namespace, namespace)?;
            Some((reach, meta.created.as_deref(), meta.name.as_str(), meta.namespace.as_str()))
        };
        for candidates in self.by_host.0.covering(service) {
            let mut visible: Vec<_> = candidates.iter().filter_map(|c| Some((rank(c)?, *c))).collect();
            if !visible.is_empty() {
                visible.sort_by_key(|&(rank, _)| rank);
                return visible;
            }
        }
        Vec::new()
    }
}
