//! The compilation, top to bottom: services, who speaks for each, tables, ports. Everything Istio would be silent about
//! is reported on the way.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    CapturedPort, Snapshot,
    clusters::Clusters,
    delegates,
    exposure::Exposure,
    findings::Findings,
    gateway::Attachments,
    guests,
    hosts::ServiceHost,
    policies::Policies,
    ports::{Owner, PortRules},
    precedence::Precedence,
    rules::Compiler,
    services::Registry,
    source::Sources,
    subsets::Subsets,
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

pub(super) fn compile(
    resources: &Resources,
    accounts: &Accounts,
    report: &mut Report,
    keep: Keep,
) -> Snapshot {
    let mut findings = Findings::new(report);
    let registry = Registry::new(resources, &mut findings);
    let sources = Arc::new(Sources::new(resources));
    let virtual_services = delegates::merge(&resources.virtual_services, &mut findings);
    let precedence = Precedence::new(&virtual_services, &mut findings);
    let attachments = Attachments::new(resources, &registry, &mut findings);
    let clusters = Clusters::new(&registry, Subsets::new(&resources.destination_rules));
    let policies = Policies::new(resources, accounts, &mut findings);
    let grants = &resources.reference_grants;
    let compiler = Compiler {
        clusters,
        findings,
        sources_known: !sources.is_empty(),
        grants,
        exposure: Exposure::default(),
        policies,
    };
    let mut tables = Tables::new(&virtual_services, accounts, compiler);

    let mut ports = BTreeMap::<CapturedPort, PortRules>::new();
    let mut guests = Vec::new();
    for service in &registry.services {
        let host = Arc::new(ServiceHost::new(&service.host, &service.addresses, service.headless));
        let namespace = Arc::from(service.namespace());
        let views = precedence.views(&service.host, service.namespace());
        let attached = attachments.of(service);
        let mut leaving = Vec::new();
        for port in service.http_ports() {
            let ruling = tables.ruling(service, port.number, &views, attached);
            if ruling.of_others(&service.host).next().is_some() {
                leaving.push((port.number, Arc::clone(&ruling)));
            }
            for endpoint in &*service.endpoints {
                let Some(at) = endpoint.socket(port).map(CapturedPort::of) else { continue };
                let rules = ports.entry(at).or_insert_with(|| PortRules::new(at));
                rules.add(&service.host, port.number, &ruling, &sources, || Owner {
                    service: Arc::clone(&service.host),
                    namespace: Arc::clone(&namespace),
                    labels: Arc::clone(&endpoint.labels),
                    host: Arc::clone(&host),
                    rulings: Vec::with_capacity(1),
                });
            }
        }
        if !leaving.is_empty() {
            let (service, labels) = (Arc::clone(&service.host), Arc::default());
            guests.push(Arc::new(Owner { service, namespace, labels, host, rulings: leaving }));
        }
    }
    guests.iter().for_each(|guest| guests::seat(guest, &mut ports, &sources));
    tables.report_idle(&registry);
    let Compiler { exposure, findings, clusters, .. } = &mut tables.compiler;
    exposure.report_loops(findings);
    let clusters = clusters.all();
    let markers = tables.compiler.policies.markers();
    let snapshot = Snapshot { markers, clusters, ..index(ports, keep) };
    if snapshot.captured_ports().is_empty() && !tables.compiler.findings.has_errors() {
        let any = resources.virtual_services.first().map(|vs| vs.meta.name.at.clone());
        let any = any.or_else(|| resources.http_routes.first().map(|route| route.meta.name.at.clone()));
        let at = any.unwrap_or_else(|| Location { file: "<configuration>".into(), line: 1, column: 1 });
        let hint = "a VirtualService with `mirror` needs a Service or ServiceEntry for its host, with endpoints and an HTTP port";
        let what = "nothing is mirrored by any rule".to_owned();
        tables.compiler.findings.add_general(Code::NothingMirrored, at, what, hint.to_owned());
    }
    snapshot
}

/// Keeps what is captured, and exact addresses that must not fall to rules for every address.
fn index(ports: BTreeMap<CapturedPort, PortRules>, keep: Keep) -> Snapshot {
    let all = keep == Keep::Everything;
    let mut snapshot = Snapshot::default();
    // None sorts before every address: the rules for every address come first.
    for (CapturedPort { address, port }, rules) in ports {
        match address {
            None if all || rules.mirrors() => drop(snapshot.any.insert(port, Arc::new(rules))),
            Some(address) if all || rules.mirrors() || snapshot.any.contains_key(&port) => {
                snapshot.exact.insert((address, port), Arc::new(rules));
            }
            _ => {}
        }
    }
    snapshot
}
