//! The compilation, top to bottom: services, who speaks for each, tables, ports. Everything Istio would be silent about
//! is reported on the way.

use std::sync::Arc;

use foldhash::HashSet;

use super::{
    clusters::Clusters,
    compilation::{Kept, Made},
    delegates::Roots,
    difference::Difference,
    exposure::Exposure,
    findings::Findings,
    gateway::{Attached, Attachments},
    hosts::Hosts,
    known::{Changed, Known},
    objects::{Objects, address},
    policies::Policies,
    precedence::{self, Precedence},
    ruled::Before,
    rules::Compiler,
    served::Assembled,
    services::{Registry, SharedLabels},
    source::Sources,
    tables::Tables,
};
use crate::{
    config::{Code, Location, Report},
    record::Accounts,
};

/// Which ports a snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Those that are captured, and what must not fall to their rules.
    Captured,
    Everything,
}

/// `kept` is of the configuration before; only what finds objects by host in it is of this one already.
pub(super) fn compile<'a>(
    difference: &'a Difference<'a>,
    kept: &'a Kept,
    labels: &mut SharedLabels,
    accounts: &Accounts,
    report: &mut Report,
    keep: Keep,
) -> Made {
    let objects = &difference.now;
    let before = &kept.made;

    let mut findings = Findings::of(objects, report);
    let registry = Registry::new(difference, &before.registry, labels);
    let registry = registry.map_or_else(|| Arc::clone(&before.registry), Arc::new);
    registry.report(&mut findings);
    let sources = sources(difference, &before.assembled.sources);
    let roots = Roots::new(difference, &before.found, &mut findings);
    let precedence = Precedence { roots: &roots, by_host: &kept.claims };
    let attachments = Attachments::new(objects, &registry, &mut findings);
    let policies = Policies::new(objects, accounts, &mut findings);

    let services = registry.changed(&before.registry);
    let sources_changed = before.assembled.sources.is_empty() != sources.is_empty();
    let changed = Changed::new(difference, services.iter().copied(), sources_changed);
    let everything = sources_changed || difference.any(|objects| &objects.shadow_policies);
    let claimed = newly_claimed(difference, &roots);
    // Of whose hosts the services changed: virtual services whose standing may have.
    let mut new: HashSet<_> = roots.all.iter().filter(|r| r.is_new).map(|r| address(r.written)).collect();
    new.extend(services.iter().flat_map(|service| kept.claims.on(&service.host)));
    // Policies bear on what is compiled for its faults alone, too.
    new.extend(before.idle.keys().filter(|_| everything));

    let known = Known::new(&registry, &kept.rules, difference, !sources.is_empty(), &changed);
    let clusters = Clusters::new(known, &kept.spots);
    let compiler = Compiler { clusters, findings, exposure: Exposure::default(), policies };
    let mut tables = Tables::new(&roots, accounts, compiler, &kept.units);
    let mut ruled_before = Before::new(&before.ruled);
    let mut ruled = Vec::with_capacity(registry.services.len());
    for service in &registry.services {
        let attached = attachments.of(service);
        let before = ruled_before.of(service);
        let same = before.filter(|ruled| {
            let attached = attached.map(Attached::identity).unwrap_or_default();
            !everything
                && !claimed.covers(&service.host)
                && ruled.is_good(&attached, &tables.compiler.clusters.known)
        });
        let it = same.cloned().unwrap_or_else(|| {
            new.extend(kept.claims.on(&service.host));
            Arc::new(tables.rule(service, &precedence, attached, before))
        });
        tables.tell(&it.units, &it.findings);
        ruled.push(it);
    }
    let idle = tables.report_idle(&ruled, new, &before.idle, &registry);
    let (Compiler { clusters, mut findings, exposure, policies }, units) = tables.into_made();
    let loops = exposure.report_loops(&before.loops, &mut findings);
    let served = ruled.iter().map(|ruled| Arc::clone(&ruled.served)).collect();
    let mut assembled = Assembled::assemble(&before.assembled, served, sources, keep);
    assembled.snapshot.markers = policies.markers().into();
    if assembled.snapshot.ports().next().is_none() && !findings.has_errors() {
        let at = at_first_rule(objects);
        let hint = "a VirtualService with `mirror` needs a Service or ServiceEntry for its host, with endpoints and an HTTP port";
        let what = "nothing is mirrored by any rule".to_owned();
        findings.add_general(Code::NothingMirrored, at, what, hint.to_owned());
    }
    findings.report_nearest(&registry);
    let (spots, stale_spots) = clusters.into_made();
    let found = roots.into_found();
    Made { registry, found, units, spots, stale_spots, ruled, idle, loops, assembled }
}

fn sources(difference: &Difference<'_>, before: &Arc<Sources>) -> Arc<Sources> {
    let same =
        !difference.any(|objects| &objects.pods) && !difference.any(|objects| &objects.workload_entries);
    if same { Arc::clone(before) } else { Arc::new(Sources::new(&difference.now)) }
}

/// The hosts on which there may be other claims than before.
fn newly_claimed(difference: &Difference<'_>, roots: &Roots<'_>) -> Hosts {
    let gone = difference.gone.virtual_services.iter().copied();
    let new = roots.all.iter().filter(|root| root.is_new).map(|root| root.written);
    let mut hosts = Hosts::default();
    gone.chain(new).flat_map(precedence::claimed).for_each(|(host, _)| hosts.add(host));
    hosts
}

fn at_first_rule(objects: &Objects<'_>) -> Location {
    let any = objects.virtual_services.first().map(|vs| vs.meta.name.at.clone());
    let any = any.or_else(|| objects.http_routes.first().map(|route| route.meta.name.at.clone()));
    any.unwrap_or_else(|| Location { file: "<configuration>".into(), line: 1, column: 1 })
}
