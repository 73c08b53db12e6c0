//! Reports what was written and has no effect: hosts that claim nothing, rules that no request reaches.

use std::collections::BTreeSet;

use super::{
    findings::Findings,
    hosts,
    precedence::{self, Claim},
    rules::Fate,
    services::{Registry, Service},
    tables::Tables,
};
use crate::{
    config::{Code, istio::VirtualService},
    record::Accounts,
};

/// Where a virtual service claims nothing, its rules are checked for this port: the only one Istio gives a host outside
/// its registry.
const ORPHAN_PORT: u16 = 80;

impl Tables<'_, '_> {
    pub(super) fn report_idle(&mut self, registry: &Registry<'_>) {
        for (virtual_service, written) in self.virtual_services.iter().enumerate() {
            if precedence::for_mesh(written) {
                let claims = (0..written.hosts.len()).map(|host| Claim { virtual_service, host });
                claims.for_each(|claim| self.report_host(claim, registry));
                self.report_rules(virtual_service, written);
            }
        }
    }

    fn report_host(&mut self, claim: Claim, registry: &Registry<'_>) {
        if self.won.contains(&claim) {
            return;
        }
        let virtual_service = &self.virtual_services[claim.virtual_service];
        let written = &virtual_service.hosts[claim.host];
        let site = precedence::site(virtual_service).field(format_args!("hosts[{}]", claim.host));
        let findings = &mut self.compiler.findings;
        if let Some(&winner) = self.lost.get(&claim) {
            let what =
                format!("{} already speaks for this host", self.virtual_services[winner].meta.qualified());
            let hint = "they are not merged in the mesh: private before public, then the older, then by name";
            findings.add(Code::Shadowed, &written.at, &site, what, hint.to_owned());
            return;
        }
        let host = hosts::resolve(&written.value, &virtual_service.meta.namespace);
        let covered: Vec<&Service<'_>> = match host.strip_prefix('*') {
            Some(suffix) => registry.services.iter().filter(|s| s.host.ends_with(suffix)).collect(),
            None => registry.get(&host).into_iter().collect(),
        };
        if covered.is_empty() {
            let what = format!("no ServiceEntry has the host `{host}`");
            let hint = registry.nearest(&host).map(|near| format!("the nearest known host is `{near}`"));
            findings.add(Code::UnmatchedHost, &written.at, &site, what, hint);
        } else if covered.iter().all(|service| service.http_ports().next().is_none()) {
            let what = format!("`{host}` has no HTTP port, so no rule applies to it");
            findings.add(Code::Unreachable, &written.at, &site, what, None);
        } else if let Some(export) = virtual_service.export_to.first()
            && !self.ports.contains_key(&claim.virtual_service)
        {
            let what = format!("reaches no namespace of `{host}`, so no rule applies to it");
            let site = precedence::site(virtual_service).field("exportTo");
            findings.add(Code::NotHonoured, &export.at, &site, what, None);
        }
    }

    /// Losers and orphans are compiled here for their faults alone; their accounts are never used.
    fn report_rules(&mut self, index: usize, virtual_service: &VirtualService) {
        let claimed = self.ports.get(&index);
        if let Some(claimed) = claimed {
            report_ports(virtual_service, claimed, &mut self.compiler.findings);
        }
        let ports = claimed.cloned().unwrap_or_else(|| BTreeSet::from([ORPHAN_PORT]));
        let mut fates: Vec<Vec<Fate>> = Vec::new();
        for port in ports {
            fates.push(match self.made.get(&(index, port)) {
                Some(made) => made.fates.clone(),
                None => self.compiler.table(&self.virtual_services[index], port, &Accounts::default()).1,
            });
        }
        for (rule, route) in virtual_service.http.iter().enumerate() {
            let fates = || fates.iter().map(|of_port| of_port[rule]);
            let cut_off = fates().find_map(|fate| if let Fate::CutOff(by) = fate { Some(by) } else { None });
            if let Some(by) = cut_off.filter(|_| fates().all(|fate| fate != Fate::Present)) {
                let site = precedence::site(virtual_service).field(format_args!("http[{rule}]"));
                let what = format!("no request reaches this rule: http[{by}] matches everything");
                let hint = format!("see {}", virtual_service.http[by].at);
                self.compiler.findings.add(Code::Unreachable, &route.at, &site, what, hint);
            }
        }
    }
}

/// `match[].port` is a service's port; one that no service of the virtual service has matches nothing.
fn report_ports(virtual_service: &VirtualService, claimed: &BTreeSet<u16>, findings: &mut Findings<'_>) {
    for (rule, route) in virtual_service.http.iter().enumerate() {
        for (block, written) in route.matches.iter().enumerate() {
            let Some(port) = written.port.as_ref().filter(|p| !claimed.contains(p)) else { continue };
            let site =
                precedence::site(virtual_service).field(format_args!("http[{rule}].match[{block}].port"));
            let known = claimed.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{} is no HTTP port of the service", port.value);
            let hint = format!("it has {known}; a service's port is meant, not an endpoint's");
            findings.add(Code::Unreachable, &port.at, &site, what, hint);
        }
    }
}
