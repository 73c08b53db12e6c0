//! Reports what was written and has no effect: hosts that claim nothing, rules that no request reaches.

use std::collections::BTreeSet;

use super::{
    delegates::Merged,
    findings::{Findings, Hint, Site},
    hosts,
    precedence::{self, Claim},
    rules::Fate,
    services::{Registry, Service},
    tables::Tables,
};
use crate::config::Code;

/// Where a virtual service claims nothing, its rules are checked for this port: the only one Istio gives a host outside
/// its registry.
const ORPHAN_PORT: u16 = 80;

impl Tables<'_, '_> {
    pub(super) fn report_idle(&mut self, registry: &Registry<'_>) {
        for (virtual_service, merged) in self.virtual_services.iter().enumerate() {
            if precedence::for_mesh(merged.written) {
                let claims = (0..merged.written.hosts.len()).map(|host| Claim { virtual_service, host });
                claims.for_each(|claim| self.report_host(claim, registry));
                self.report_rules(virtual_service, merged);
            }
        }
    }

    fn report_host(&mut self, claim: Claim, registry: &Registry<'_>) {
        if self.won.contains(&claim) {
            return;
        }
        let virtual_service = self.virtual_services[claim.virtual_service].written;
        let written = &virtual_service.hosts[claim.host];
        let spec = Site::of("VirtualService", &virtual_service.meta);
        let site = spec.item("hosts", claim.host);
        let findings = &mut self.compiler.findings;
        if let Some(winner) = self.lost.get(&claim) {
            let what = format!("{winner} already speaks for this host");
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
            let what = format!("no Service or ServiceEntry has the host `{host}`");
            let hint = Some(Hint::Nearest(host));
            findings.add_hinted(Code::UnmatchedHost, &written.at, &site, what, hint);
        } else if covered.iter().all(|service| service.http_ports().next().is_none()) {
            let what = format!("`{host}` has no HTTP port, so no rule applies to it");
            findings.add(Code::Unreachable, &written.at, &site, what, None);
        } else if let Some(export) = virtual_service.export_to.first()
            && !self.ports.contains_key(&claim.virtual_service)
        {
            let what = format!("reaches no namespace of `{host}`, so no rule applies to it");
            findings.add(Code::NotHonoured, &export.at, &spec.field("exportTo"), what, None);
        }
    }

    /// Losers and orphans are compiled here for their faults alone; their accounts are never used.
    fn report_rules(&mut self, index: usize, merged: &Merged<'_>) {
        let claimed = self.ports.get(&index);
        if let Some(claimed) = claimed {
            report_ports(merged, claimed, &mut self.compiler.findings);
        }
        let ports = claimed.cloned().unwrap_or_else(|| BTreeSet::from([ORPHAN_PORT]));
        let mut fates: Vec<Vec<Fate>> = Vec::new();
        for port in ports {
            fates.push(self.unit(index, port, self.is_in_force(index, port)).fates.clone());
        }
        for (rule, written) in merged.rules.iter().enumerate() {
            let fates = || fates.iter().map(|of_port| of_port[rule]);
            let cut_off = fates().find_map(|fate| if let Fate::CutOff(by) = fate { Some(by) } else { None });
            if let Some(by) = cut_off.filter(|_| fates().all(|fate| fate != Fate::Present)) {
                let root = written.root();
                let site = root.item("http", written.index);
                let by = &merged.rules[by];
                let what = format!("no request reaches this rule: http[{}] matches everything", by.index);
                let hint = format!("see {}", by.route.at);
                self.compiler.findings.add(Code::Unreachable, &written.route.at, &site, what, hint);
            }
        }
    }
}

/// `match[].port` is a service's port; one that no service of the virtual service has matches nothing.
fn report_ports(merged: &Merged<'_>, claimed: &BTreeSet<u16>, findings: &mut Findings<'_>) {
    for rule in &merged.rules {
        for (block, written) in rule.route.matches.iter().enumerate() {
            let Some(port) = written.port.as_ref().filter(|p| !claimed.contains(p)) else { continue };
            let root = rule.root();
            let site = root.item("http", rule.index);
            let site = site.item("match", block);
            let site = site.field("port");
            let known = claimed.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{} is no HTTP port of the service", port.value);
            let hint = format!("it has {known}; a service's port is meant, not an endpoint's");
            findings.add(Code::Unreachable, &port.at, &site, what, hint);
        }
    }
}
