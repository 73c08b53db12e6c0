//! Services that a ServiceEntry declares.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use super::{Endpoint, HTTP, Kind, Labels, Port, Ports, Service, Target, kube::Workloads, named_after};
use crate::{
    config::{
        Code, Located,
        istio::{MeshLocation, Resolution, ServiceEntry, ServicePort},
    },
    route::{
        findings::{Findings, Site},
        objects::Objects,
    },
};

pub(super) fn service<'a>(
    entry: &'a ServiceEntry,
    host: &Located<String>,
    endpoints: Arc<[Endpoint]>,
) -> Service<'a> {
    let port = |port: &'a ServicePort| Port {
        number: port.number.value,
        name: &port.name,
        speaks_http: speaks_http(port),
        target: Target::Number(port.target_port),
    };
    Service {
        host: host.value.to_ascii_lowercase().into(),
        kind: Kind::Entry,
        meta: &entry.meta,
        ports: entry.ports.iter().map(port).collect(),
        endpoints,
        alias: None,
        external: entry.location == MeshLocation::External,
        export_to: &entry.export_to,
    }
}

/// By protocol, or for a port that only says TCP by its name.
fn speaks_http(port: &ServicePort) -> bool {
    HTTP.iter().any(|p| p.eq_ignore_ascii_case(&port.protocol))
        || port.protocol == "TCP" && named_after(&port.name, &HTTP)
}

pub(super) fn endpoints<'w, 'a: 'w>(
    entry: &ServiceEntry,
    objects: &Objects<'a>,
    workloads: &impl Fn() -> &'w Workloads<'a>,
    shared: &mut Labels,
    site: &Site<'_>,
    findings: &mut Findings<'_>,
) -> Vec<Endpoint> {
    // The address the client dialled is no endpoint.
    if entry.resolution.value == Resolution::None {
        return Vec::new();
    }
    if let Some(selector) = &entry.workload_selector {
        return selected(entry, &selector.value, objects, workloads(), shared);
    }
    if entry.endpoints.is_empty() && entry.resolution.value != Resolution::Static {
        let what = "names are not resolved yet, and no endpoint is written: this service has none";
        findings.add(Code::NotHonoured, &entry.resolution.at, &site.field("resolution"), what, None);
    }
    let mut endpoints = Vec::with_capacity(entry.endpoints.len());
    for (index, written) in entry.endpoints.iter().enumerate() {
        let Ok(address) = written.address.value.parse::<IpAddr>() else {
            let site = site.item("endpoints", index);
            let site = site.field("address");
            let what = format!(
                "`{}` is no IP address and is not used: names are not resolved yet",
                *written.address
            );
            findings.add(Code::NotHonoured, &written.address.at, &site, what, None);
            continue;
        };
        endpoints.push(Endpoint {
            address: address.to_canonical(),
            labels: shared.share(&written.labels),
            ready: true,
            ports: Ports::written(&written.ports),
        });
    }
    endpoints
}

/// `workloadSelector`: the pods and WorkloadEntries of its namespace with these labels.
fn selected(
    entry: &ServiceEntry,
    selector: &BTreeMap<String, String>,
    objects: &Objects<'_>,
    workloads: &Workloads<'_>,
    shared: &mut Labels,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for pod in workloads.selected(&entry.meta.namespace, selector) {
        let ports = Ports::Pod(Arc::new(pod.ports.clone()));
        endpoints.extend(pod.ips.iter().map(|address| Endpoint {
            address: address.to_canonical(),
            labels: shared.share(&pod.meta.labels),
            ready: pod.ready && !pod.terminating,
            ports: ports.clone(),
        }));
    }
    for workload in objects.workload_entries.iter().filter(|w| w.meta.namespace == entry.meta.namespace) {
        let labels = &workload.endpoint.labels;
        if let Ok(address) = workload.endpoint.address.parse::<IpAddr>()
            && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
        {
            endpoints.push(Endpoint {
                address: address.to_canonical(),
                labels: shared.share(labels),
                ready: true,
                ports: Ports::written(&workload.endpoint.ports),
            });
        }
    }
    endpoints
}
