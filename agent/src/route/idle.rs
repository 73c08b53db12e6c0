//! Reports what was written and has no effect: hosts that claim nothing, rules that no request reaches.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use foldhash::{HashMap, HashSet};

use super::{
    covers,
    delegates::{MergedRule, Root},
    findings::{Finding, Findings, Hint, Site},
    hosts,
    objects::address,
    precedence,
    ruled::{Claimed, Lot, Ruled},
    rules::Fate,
    services::{Registry, Service},
    table::BlockId,
    tables::Tables,
    units::Unit,
};
use crate::config::Code;

/// Where a virtual service claims nothing, its rules are checked for this port: the only one Istio gives a host outside
/// its registry.
const ORPHAN_PORT: u16 = 80;

/// What was reported of a virtual service, by its address; kept. There is nothing of most.
pub(super) type AllIdle = HashMap<usize, Arc<Idle>>;

#[derive(Debug)]
pub(super) struct Idle {
    findings: Vec<Finding>,
    /// Compiled for their faults alone.
    units: Vec<Arc<Unit>>,
}

/// What became of the claims of one virtual service.
#[derive(Debug, Default)]
struct Lots<'r> {
    /// The service ports it claims, won or lost, and whether it was compiled for them to be in force.
    ports: BTreeMap<u16, bool>,
    won: BTreeSet<usize>,
    /// Host → the object it lost to.
    lost: BTreeMap<usize, &'r str>,
}

impl<'a> Tables<'a, '_> {
    /// Looks at the virtual services that are `new`, by their addresses, or whose services are; for the others what was
    /// found before still holds.
    pub(super) fn report_idle(
        &mut self,
        ruled: &[Arc<Ruled>],
        mut new: HashSet<usize>,
        kept: &AllIdle,
        registry: &Registry,
    ) -> AllIdle {
        let known = &self.compiler.clusters.known;
        let agrees = |idle: &Idle| idle.units.iter().all(|unit| known.agrees(&unit.asked));
        new.extend(kept.iter().filter(|(_, idle)| !agrees(idle)).map(|(address, _)| *address));
        let lots = lots(ruled, &new);
        let roots = self.roots;
        let mut made = AllIdle::default();
        for root in roots.all.iter().filter(|root| precedence::for_mesh(root.written)) {
            let address = address(root.written);
            let idle = match kept.get(&address) {
                _ if new.contains(&address) => {
                    let nothing = Lots::default();
                    let idle = self.idle(root, lots.get(&address).unwrap_or(&nothing), registry);
                    Some(Arc::new(idle)).filter(|idle| !idle.findings.is_empty() || !idle.units.is_empty())
                }
                kept => kept.cloned(),
            };
            if let Some(idle) = idle {
                self.tell(&[], &idle.findings);
                self.tell(&idle.units, &[]);
                made.insert(address, idle);
            }
        }
        made
    }

    fn idle(&mut self, root: &Root<'a>, lots: &Lots<'_>, registry: &Registry) -> Idle {
        self.compiler.findings.begin();
        for host in 0..root.written.hosts.len() {
            self.report_host(root, host, lots, registry);
        }
        let units = self.report_rules(root, lots);
        Idle { findings: self.compiler.findings.noted(), units }
    }

    fn report_host(&mut self, root: &Root<'a>, host: usize, lots: &Lots<'_>, registry: &Registry) {
        if lots.won.contains(&host) {
            return;
        }
        let virtual_service = root.written;
        let written = &virtual_service.hosts[host];
        let spec = Site::of("VirtualService", &virtual_service.meta);
        let site = spec.item("hosts", host);
        let findings = &mut self.compiler.findings;
        if let Some(winner) = lots.lost.get(&host) {
            let what = format!("{winner} already speaks for this host");
            let hint = "they are not merged in the mesh: private before public, then the older, then by name";
            findings.add(Code::Shadowed, &written.at, &site, what, hint.to_owned());
            return;
        }
        let host = hosts::resolve(&written.value, &virtual_service.meta.namespace);
        let covered: Vec<&Service> = match host.strip_prefix('*') {
            Some(suffix) => {
                let services = registry.services.iter().map(|service| &**service);
                services.filter(|service| service.host.ends_with(suffix)).collect()
            }
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
            && lots.ports.is_empty()
        {
            let what = format!("reaches no namespace of `{host}`, so no rule applies to it");
            findings.add(Code::NotHonoured, &export.at, &spec.field("exportTo"), what, None);
        }
    }

    /// Losers and orphans are compiled here for their faults alone; their accounts are never used.
    fn report_rules(&mut self, root: &Root<'a>, lots: &Lots<'_>) -> Vec<Arc<Unit>> {
        let rules = root.rules(self.roots);
        if !lots.ports.is_empty() {
            report_ports(&rules, &lots.ports, &mut self.compiler.findings);
        }
        let orphan = BTreeMap::from([(ORPHAN_PORT, false)]);
        let ports = if lots.ports.is_empty() { &orphan } else { &lots.ports };
        let (mut units, mut idle) = (Vec::new(), Vec::new());
        for (port, in_force) in ports {
            units.push(self.unit(root, *port, *in_force));
            idle.extend(units.last().filter(|_| !in_force).cloned());
        }
        for (rule, written) in rules.iter().enumerate() {
            let fates = || units.iter().map(|unit| unit.fates[rule]);
            let cut_off = fates().find_map(|fate| if let Fate::CutOff(by) = fate { Some(by) } else { None });
            if let Some(by) = cut_off.filter(|_| fates().all(|fate| fate != Fate::Present)) {
                let root = written.root();
                let site = root.item("http", written.index);
                let by = &rules[by];
                let what = format!("no request reaches this rule: http[{}] matches everything", by.index);
                let hint = format!("see {}", by.route.at);
                self.compiler.findings.add(Code::Unreachable, &written.route.at, &site, what, hint);
            }
        }
        report_hidden(&rules, &units, &mut self.compiler.findings);
        idle
    }
}

/// Blocks that an earlier one leaves no request, on every port they exist for.
fn report_hidden(rules: &[MergedRule<'_>], units: &[Arc<Unit>], findings: &mut Findings<'_>) {
    let tables: Vec<_> = units.iter().filter_map(|unit| unit.table.as_deref()).collect();
    let hidden: Vec<_> = tables.iter().map(|table| covers::hidden(table)).collect();
    let mut all = hidden.iter().flatten().map(|(block, by)| (*block, *by)).collect::<BTreeMap<_, _>>();
    for (table, hidden) in tables.iter().zip(&hidden) {
        all.retain(|block, _| {
            hidden.contains_key(block) || table.blocks.binary_search_by_key(block, |entry| entry.id).is_err()
        });
    }
    for (BlockId { rule, block }, by) in all {
        let (Some(rule), Some(block)) = (rules.get(rule as usize), block) else { continue };
        let (Some(before), Some(written)) =
            (rules.get(by.rule as usize), rule.route.matches.get(block as usize))
        else {
            continue;
        };
        let root = rule.root();
        let site = root.item("http", rule.index);
        let site = site.item("match", block as usize);
        let taken = by.block.map_or_else(String::new, |block| format!(".match[{block}]"));
        let what = format!("no request reaches this match: http[{}]{taken} takes all of them", before.index);
        let at = by.block.and_then(|block| before.route.matches.get(block as usize));
        let hint = format!("see {}", at.map_or(&before.route.at, |written| &written.at));
        findings.add(Code::Unreachable, &written.at, &site, what, hint);
    }
}

/// What became of the claims of these virtual services.
fn lots<'r>(ruled: &'r [Arc<Ruled>], of: &HashSet<usize>) -> HashMap<usize, Lots<'r>> {
    let mut all = HashMap::<usize, Lots<'r>>::default();
    let claims = ruled.iter().flat_map(|ruled| &ruled.claims);
    for Claimed { claim, port, lot } in claims.filter(|it| of.contains(&it.claim.virtual_service)) {
        let lots = all.entry(claim.virtual_service).or_default();
        *lots.ports.entry(*port).or_default() |= !matches!(lot, Lot::Lost(_));
        match lot {
            Lot::Won => drop(lots.won.insert(claim.host)),
            Lot::Passed => {}
            Lot::Lost(winner) => drop(lots.lost.insert(claim.host, winner)),
        }
    }
    all
}

/// `match[].port` is a service's port; one that no service of the virtual service has matches nothing.
fn report_ports(rules: &[MergedRule<'_>], claimed: &BTreeMap<u16, bool>, findings: &mut Findings<'_>) {
    for rule in rules {
        for (block, written) in rule.route.matches.iter().enumerate() {
            let Some(port) = written.port.as_ref().filter(|p| !claimed.contains_key(p)) else { continue };
            let root = rule.root();
            let site = root.item("http", rule.index);
            let site = site.item("match", block);
            let site = site.field("port");
            let known = claimed.keys().map(u16::to_string).collect::<Vec<_>>().join(", ");
            let what = format!("{} is no HTTP port of the service", port.value);
            let hint = format!("it has {known}; a service's port is meant, not an endpoint's");
            findings.add(Code::Unreachable, &port.at, &site, what, hint);
        }
    }
}
