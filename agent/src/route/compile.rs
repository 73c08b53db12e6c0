//! The compilation, top to bottom: services, who speaks for each, tables, ports. Everything Istio would be silent about
//! is reported on the way.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    CapturedPort, Snapshot,
    clusters::Clusters,
    findings::Findings,
    hosts::ServiceHost,
    ports::{Owner, PortRules},
    precedence::Precedence,
    rules::Compiler,
    services::Registry,
    subsets::Subsets,
    table::Table,
    tables::Tables,
};
use crate::{
    config::{Code, Location, Report, Resources},
    record::Accounts,
};

pub(super) fn compile(resources: &Resources, accounts: &Accounts, report: &mut Report) -> Snapshot {
    let virtual_services = resources.virtual_services.as_slice();
    let mut findings = Findings::new(report);
    let registry = Registry::new(&resources.service_entries, &mut findings);
    let precedence = Precedence::new(virtual_services, &mut findings);
    let clusters = Clusters::new(&registry, Subsets::new(&resources.destination_rules));
    let mut tables = Tables::new(virtual_services, accounts, Compiler { clusters, findings });

    let mut ports = BTreeMap::<CapturedPort, PortRules>::new();
    let nothing = Arc::new(Table::default());
    for service in &registry.services {
        let host = Arc::new(ServiceHost::new(&service.host));
        let (name, namespace) = (Arc::from(service.host.as_str()), Arc::from(service.namespace()));
        for port in service.http_ports() {
            let claims = precedence.claims(&service.host, service.namespace());
            let table = tables.winner(&claims, port.number.value).unwrap_or_else(|| Arc::clone(&nothing));
            for endpoint in &*service.endpoints {
                let socket = endpoint.socket(port);
                let address = Some(socket.ip()).filter(|ip| !ip.is_unspecified());
                let rules = ports.entry(CapturedPort { address, port: socket.port() }).or_default();
                rules.add(&name, port.number.value, &table, || Owner {
                    service: Arc::clone(&name),
                    namespace: Arc::clone(&namespace),
                    labels: Arc::clone(&endpoint.labels),
                    host: Arc::clone(&host),
                    tables: Vec::new(),
                });
            }
        }
    }
    tables.report_idle(&registry);
    let snapshot = index(ports);
    if snapshot.captured_ports().is_empty() && !tables.compiler.findings.has_errors() {
        let any = virtual_services.first().map(|vs| vs.meta.name.at.clone());
        let at = any.unwrap_or_else(|| Location { file: "<configuration>".into(), line: 1, column: 1 });
        let hint = "a VirtualService with `mirror` needs a ServiceEntry for its host, with endpoints and an HTTP port";
        let what = "nothing is mirrored by any rule".to_owned();
        tables.compiler.findings.add_general(Code::NothingMirrored, at, what, hint.to_owned());
    }
    snapshot
}

/// Keeps what is captured, and exact addresses that must not fall to rules for every address.
fn index(ports: BTreeMap<CapturedPort, PortRules>) -> Snapshot {
    let mut snapshot = Snapshot::default();
    // None sorts before every address: the rules for every address come first.
    for (CapturedPort { address, port }, rules) in ports {
        match address {
            None if rules.mirrors() => drop(snapshot.any.insert(port, Arc::new(rules))),
            Some(address) if rules.mirrors() || snapshot.any.contains_key(&port) => {
                snapshot.exact.insert((address, port), Arc::new(rules));
            }
            _ => {}
        }
    }
    snapshot
}
