//! Services that a ServiceEntry declares.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use super::{
    Address, Endpoint, HTTP, HTTP2, Kind, Port, Ports, Service, SharedLabels, Target, address_of,
    kube::Workloads, meta, named_after, weight,
};
use crate::{
    config::{
        Code, Labels, Located,
        istio::{MeshLocation, Resolution, ServiceEntry, ServicePort, WorkloadEndpoint},
    },
    route::{
        Answers, Protocol,
        findings::{Findings, Site},
        nearness::Nearness,
        objects::Objects,
    },
};

/// One for each host, in order.
pub(super) fn services<'w, 'a: 'w>(
    entry: &ServiceEntry,
    objects: &Objects<'a>,
    workloads: &impl Fn() -> &'w Workloads<'a>,
    labels: &mut SharedLabels,
    findings: &mut Findings<'_>,
) -> Vec<Service> {
    let site = Site::of("ServiceEntry", &entry.meta);
    let endpoints: Arc<[Endpoint]> = endpoints(entry, objects, workloads, labels, &site, findings).into();
    let of_host = |host: &Located<String>| match answers(entry) {
        // Without endpoints the host itself is the name to resolve (a wildcard is none).
        Some(answers) if entry.endpoints.is_empty() && !host.contains('*') => {
            let name = Address::Name(host.as_str().into(), answers);
            service(entry, host, [Endpoint::alone(name, labels)].into(), &objects.opened)
        }
        _ => service(entry, host, Arc::clone(&endpoints), &objects.opened),
    };
    entry.hosts.iter().map(of_host).collect()
}

fn service(entry: &ServiceEntry, host: &str, endpoints: Arc<[Endpoint]>, opened: &Arc<[u16]>) -> Service {
    let port = |port: &ServicePort| Port {
        number: port.number.value,
        name: port.name.as_str().into(),
        speaks_http: is_any(port, &HTTP),
        is_https: port.protocol == "HTTPS",
        opened: Arc::clone(opened),
        protocol: if is_any(port, &HTTP2) { Protocol::Http2 } else { Protocol::Http1 },
        at: port.number.at.clone(),
        target: Target::Number(port.target_port),
    };
    Service {
        host: host.to_ascii_lowercase().into(),
        kind: Kind::Entry,
        meta: meta(&entry.meta),
        ports: entry.ports.iter().map(port).collect(),
        endpoints,
        addresses: addresses(entry),
        headless: false,
        alias: None,
        external: entry.location == MeshLocation::External,
        subject_alt_names: entry.subject_alt_names.clone(),
        export_to: entry.export_to.clone(),
        distribution: None,
    }
}

/// Networks name nothing: Istio makes no virtual host of them.
fn addresses(entry: &ServiceEntry) -> Vec<IpAddr> {
    let single = |text: &Located<String>| {
        let network = text.parse::<IpNet>().ok().filter(|it| it.prefix_len() == it.max_prefix_len());
        text.parse::<IpAddr>().ok().or(network.map(|it| it.addr())).map(|it| it.to_canonical())
    };
    entry.addresses.iter().filter_map(single).collect()
}

/// By protocol, or for a port that only says TCP by its name.
fn is_any(port: &ServicePort, protocols: &[&str]) -> bool {
    protocols.iter().any(|p| p.eq_ignore_ascii_case(&port.protocol))
        || port.protocol == "TCP" && named_after(&port.name, protocols)
}

fn endpoints<'w, 'a: 'w>(
    entry: &ServiceEntry,
    objects: &Objects<'a>,
    workloads: &impl Fn() -> &'w Workloads<'a>,
    shared: &mut SharedLabels,
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
    if let Some(wildcard) = entry.hosts.iter().find(|host| host.contains('*'))
        && entry.endpoints.is_empty()
        && answers(entry).is_some()
    {
        let what = format!("`{}` is no name to resolve, and no endpoint is written: it has none", **wildcard);
        findings.add(Code::NotHonoured, &entry.resolution.at, &site.field("resolution"), what, None);
    }
    let answers = answers(entry).unwrap_or(Answers::All);
    let endpoint = |written: &WorkloadEndpoint| Endpoint {
        address: address_of(&written.address, answers),
        weight: weight(written.weight),
        labels: shared.share(&written.labels),
        ready: true,
        nearness: Nearness::of_workload(&objects.here, written),
        ports: Ports::written(&written.ports),
    };
    entry.endpoints.iter().map(endpoint).collect()
}

/// Which addresses of a name are used; None where names are not resolved at all.
fn answers(entry: &ServiceEntry) -> Option<Answers> {
    match entry.resolution.value {
        Resolution::Dns | Resolution::DynamicDns if entry.workload_selector.is_none() => Some(Answers::All),
        Resolution::DnsRoundRobin if entry.workload_selector.is_none() => Some(Answers::First),
        _ => None,
    }
}

/// `workloadSelector`: the pods and WorkloadEntries of its namespace with these labels.
fn selected(
    entry: &ServiceEntry,
    selector: &Labels,
    objects: &Objects<'_>,
    workloads: &Workloads<'_>,
    shared: &mut SharedLabels,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for pod in workloads.selected(&entry.meta.namespace, selector) {
        let ports = Ports::Pod(Arc::new(pod.ports.clone()));
        endpoints.extend(pod.ips.iter().map(|address| Endpoint {
            address: Address::Ip(address.to_canonical()),
            weight: 1,
            labels: shared.share(&pod.meta.labels),
            ready: pod.ready && !pod.terminating,
            nearness: Nearness::default(),
            ports: ports.clone(),
        }));
    }
    for workload in objects.workload_entries.iter().filter(|w| w.meta.namespace == entry.meta.namespace) {
        let labels = &workload.endpoint.labels;
        if labels.have_all(selector) {
            endpoints.push(Endpoint {
                address: address_of(&workload.endpoint.address, Answers::All),
                weight: weight(workload.endpoint.weight),
                labels: shared.share(labels),
                ready: true,
                nearness: Nearness::of_workload(&objects.here, &workload.endpoint),
                ports: Ports::written(&workload.endpoint.ports),
            });
        }
    }
    endpoints
}
