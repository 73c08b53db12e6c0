//! The compilation, top to bottom: services, who speaks for each, tables, ports. Everything Istio would be silent about
//! is reported on the way.

use std::sync::Arc;

use super::{
    clusters::Clusters,
    compilation::{Kept, Made},
    delegates,
    exposure::Exposure,
    findings::Findings,
    gateway::Attachments,
    known::{Changed, Known, Lists},
    objects::Objects,
    policies::Policies,
    precedence::Precedence,
    rules::Compiler,
    served::{Assembled, Served},
    services::{self, Registry, SharedLabels},
    source::Sources,
    tables::Tables,
};
use crate::{
    config::{Code, Location, Report, Resources},
    record::Accounts,
};

/// Which ports a snapshot has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Those that are captured, and what must not fall to their rules.
    Captured,
    Everything,
}

pub(super) fn compile<'a>(
    parts: &[&'a Resources],
    kept: &'a Kept,
    labels: &mut SharedLabels,
    accounts: &Accounts,
    report: &mut Report,
    keep: Keep,
) -> Made {
    let objects = Objects::of(parts.iter().copied());
    let lists = Lists::of(&objects);
    let changed = Changed::between(&kept.made.lists, &lists);
    let before = &kept.made.assembled;

    let mut findings = Findings::new(report);
    let mut endpoints = services::Kept::new(&kept.made.endpoints, labels);
    let registry = Registry::new(&objects, changed, &mut endpoints, &mut findings);
    let sources = match changed.workloads {
        true => Arc::new(Sources::new(&objects)),
        false => Arc::clone(&before.sources),
    };
    let virtual_services = delegates::merge(&objects.virtual_services, &mut findings);
    let precedence = Precedence::new(&virtual_services, &mut findings);
    let attachments = Attachments::new(&objects, &registry, &mut findings);
    let known = Known::new(&registry, &objects, !sources.is_empty(), changed);
    let clusters = Clusters::new(known, &kept.spots);
    let policies = Policies::new(&objects, accounts, &mut findings);
    let compiler = Compiler { clusters, findings, exposure: Exposure::default(), policies };
    let mut tables = Tables::new(&virtual_services, accounts, compiler, &kept.made.units);

    let by_host = before.by_host();
    let mut services = Vec::with_capacity(registry.services.len());
    for service in &registry.services {
        let views = precedence.views(&service.host, service.namespace());
        let attached = attachments.of(service);
        let rulings =
            service.http_ports().map(|port| tables.ruling(service, port.number, &views, attached)).collect();
        services.push(Served::new(service, rulings, by_host.get(&*service.host).map(|(_, known)| *known)));
    }
    tables.report_idle(&registry);
    let Tables { made: units, mut compiler, .. } = tables;
    compiler.exposure.report_loops(&mut compiler.findings);
    let mut assembled = Assembled::assemble(before, services, sources, keep);
    assembled.snapshot.markers = compiler.policies.markers().into();
    if assembled.snapshot.ports().next().is_none() && !compiler.findings.has_errors() {
        let at = at_first_rule(&objects);
        let hint = "a VirtualService with `mirror` needs a Service or ServiceEntry for its host, with endpoints and an HTTP port";
        let what = "nothing is mirrored by any rule".to_owned();
        compiler.findings.add_general(Code::NothingMirrored, at, what, hint.to_owned());
    }
    compiler.findings.report_nearest(&registry);
    let (endpoints, spots) = (endpoints.into_endpoints(), compiler.clusters.into_made());
    Made { endpoints, units, spots, assembled, lists }
}

fn at_first_rule(objects: &Objects<'_>) -> Location {
    let any = objects.virtual_services.first().map(|vs| vs.meta.name.at.clone());
    let any = any.or_else(|| objects.http_routes.first().map(|route| route.meta.name.at.clone()));
    any.unwrap_or_else(|| Location { file: "<configuration>".into(), line: 1, column: 1 })
}
