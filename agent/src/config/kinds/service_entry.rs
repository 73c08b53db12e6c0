//! ServiceEntry as written (istio/api `service_entry.proto`): names, ports and endpoints of a service.

use std::{
    collections::{BTreeMap, HashSet},
    net::IpAddr,
};

use crate::config::{
    Code, Located, Meta,
    field::{Faults, Field},
    fields::{Fields, Names},
    istio::{MeshLocation, Resolution, ServiceEntry, ServicePort, WorkloadEndpoint},
};

const ENTRY: Names = Names::Istio(&[
    ("addresses", "connections are captured at the endpoints, not at virtual addresses"),
    ("workloadSelector", "only the endpoints listed here are known"),
    ("subjectAltNames", "copies are sent unencrypted, no certificate is checked"),
]);
const ENDPOINT: Names = Names::Istio(&[
    ("network", "the address is dialled as it stands"),
    ("locality", "every endpoint is taken to be equally near"),
    ("serviceAccount", "copies are sent unencrypted, no identity is checked"),
]);
const PLAIN: Names = Names::Istio(&[]);

const RESOLUTIONS: &[(&str, Resolution)] = &[
    ("NONE", Resolution::None),
    ("STATIC", Resolution::Static),
    ("DNS", Resolution::Dns),
    ("DNS_ROUND_ROBIN", Resolution::DnsRoundRobin),
    ("DYNAMIC_DNS", Resolution::DynamicDns),
];
/// The names Istio's `protocol.Parse` knows.
const PROTOCOLS: &[&str] = &[
    "HTTP",
    "HTTP2",
    "HTTPS",
    "GRPC",
    "GRPC-WEB",
    "HTTP_PROXY",
    "TCP",
    "TLS",
    "UDP",
    "MONGO",
    "REDIS",
    "MYSQL",
    "HBONE",
];

pub(in crate::config) fn read(faults: &mut Faults<'_>, meta: Meta, mut spec: Fields<'_>) -> ServiceEntry {
    let hosts = spec.required(faults, "hosts").map(|field| hosts(faults, &field)).unwrap_or_default();
    let ports: Vec<ServicePort> = match spec.get("ports") {
        Some(field) => field.list(faults).iter().filter_map(|item| port(faults, item)).collect(),
        None => Vec::new(),
    };
    refuse_repeated_ports(faults, &ports);
    let location = spec.get("location");
    location.and_then(|field| field.one_of(faults, &[("MESH_EXTERNAL", ()), ("MESH_INTERNAL", ())]));
    let resolution = match spec.get("resolution") {
        Some(field) => field.one_of(faults, RESOLUTIONS),
        None => None,
    }
    .unwrap_or_else(|| Located { value: Resolution::None, at: spec.at().clone() });
    let endpoints = match spec.get("endpoints") {
        Some(field) => {
            let items = field.list(faults);
            let names = ports.iter().map(|port| port.name.as_str()).collect();
            let read = |item| endpoint(faults, item, resolution.value, &names);
            items.iter().filter_map(read).collect()
        }
        None => Vec::new(),
    };
    let export_to = spec.get("exportTo").map(|field| field.texts(faults)).unwrap_or_default();
    spec.finish(faults, ENTRY);
    ServiceEntry {
        meta,
        hosts,
        addresses: Vec::new(),
        ports,
        location: MeshLocation::External,
        resolution,
        endpoints,
        workload_selector: None,
        subject_alt_names: Vec::new(),
        export_to,
    }
}

fn hosts(faults: &mut Faults<'_>, field: &Field<'_>) -> Vec<Located<String>> {
    let items = field.list(faults);
    if items.is_empty() {
        field.fault(faults, Code::Missing, "names no host");
    }
    let hosts: Vec<_> = items.iter().filter_map(|item| super::one_host(faults, item)).collect();
    super::refuse_repeated(faults, &field.path, "the host", &hosts);
    hosts
}

fn port(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<ServicePort> {
    let mut fields = field.fields(faults)?;
    let number = fields.required(faults, "number").and_then(|field| field.port(faults));
    let name = fields.required(faults, "name").and_then(|field| field.text(faults));
    let protocol = fields.get("protocol").and_then(|field| {
        let protocol = field.text(faults)?.value.to_ascii_uppercase();
        if !PROTOCOLS.contains(&protocol.as_str()) {
            let hint = format!("one of: {}", PROTOCOLS.join(", "));
            field.fault(faults, Code::BadValue, format!("`{protocol}` is not a protocol")).help(hint);
        }
        Some(protocol)
    });
    let target_port = fields.get("targetPort").and_then(|field| field.port(faults));
    fields.finish(faults, PLAIN);
    let number = number?;
    Some(ServicePort {
        target_port: target_port.map_or(number.value, |port| port.value),
        number,
        name: name?.value,
        protocol: protocol.unwrap_or_else(|| "HTTP".into()),
    })
}

fn refuse_repeated_ports(faults: &mut Faults<'_>, ports: &[ServicePort]) {
    let at = |port: &ServicePort, value| Located { value, at: port.number.at.clone() };
    let numbers: Vec<_> = ports.iter().map(|port| at(port, port.number.value.to_string())).collect();
    super::refuse_repeated(faults, "spec.ports", "the number", &numbers);
    let names: Vec<_> = ports.iter().map(|port| at(port, port.name.clone())).collect();
    super::refuse_repeated(faults, "spec.ports", "the name", &names);
}

fn endpoint(
    faults: &mut Faults<'_>,
    field: &Field<'_>,
    resolution: Resolution,
    ports: &HashSet<&str>,
) -> Option<WorkloadEndpoint> {
    let mut fields = field.fields(faults)?;
    let address = fields.required(faults, "address").and_then(|field| address(faults, &field, resolution));
    let labels = fields.get("labels").map(|field| field.labels(faults)).unwrap_or_default();
    let entries = fields.get("ports").map(|field| field.entries(faults)).unwrap_or_default();
    let weight = fields.get("weight").and_then(|field| field.integer(faults, 0..=u32::MAX));
    fields.finish(faults, ENDPOINT);
    let mut own_ports = BTreeMap::new();
    for (name, field) in entries {
        if !ports.contains(name.as_str()) {
            let what = format!("`{}` is not the name of a port in spec.ports", name.value);
            faults.add(Code::BadValue, &name.at, &field.path, what);
        }
        if let Some(port) = field.port(faults) {
            own_ports.insert(name.value, port.value);
        }
    }
    Some(WorkloadEndpoint {
        address: address?,
        labels,
        ports: own_ports,
        weight: weight.map(|weight| weight.value),
        network: None,
        locality: None,
        service_account: None,
    })
}

fn address(faults: &mut Faults<'_>, field: &Field<'_>, resolution: Resolution) -> Option<Located<String>> {
    let address = field.text(faults)?;
    if address.starts_with("unix://") {
        field.fault(
            faults,
            Code::NotHonoured,
            "sockets in the file system are not reached: the endpoint is left out",
        );
        return None;
    }
    match resolution {
        Resolution::Static if address.parse::<IpAddr>().is_err() => {
            let what = format!("`{}` is not an IP address, which resolution STATIC needs", address.value);
            let fault = field.fault(faults, Code::BadValue, what);
            if address.contains(':') {
                fault.help("the port goes into spec.ports[].targetPort or into `ports` of the endpoint");
            } else {
                fault.help("for a name write `resolution: DNS`");
            }
            None
        }
        Resolution::None => {
            field
                .fault(faults, Code::Conflict, "resolution NONE takes no endpoints")
                .help("write `resolution: STATIC`");
            Some(address)
        }
        Resolution::Static => Some(address),
        _ => super::one_host(faults, field),
    }
}
