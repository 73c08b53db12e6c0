//! ServiceEntry as written (istio/api `service_entry.proto`): names, ports and endpoints of a service.

use std::{collections::HashSet, net::IpAddr};

use ipnet::IpNet;

use crate::config::{
    Code, Located, Meta,
    field::{Faults, Field, exactly},
    fields::{Fields, Names::Foreign},
    istio::{
        MeshLocation, Resolution, ServiceEntry, ServicePort, WorkloadEndpoint, WorkloadEntry, WorkloadPlace,
    },
};

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
    let addresses = spec.items(faults, "addresses", virtual_address);
    let ports = spec.items(faults, "ports", port);
    refuse_repeated_ports(faults, &ports);
    let locations = &[("MESH_EXTERNAL", MeshLocation::External), ("MESH_INTERNAL", MeshLocation::Internal)];
    // What cannot be understood is taken for what goes with most, so that nothing is said that only follows from it.
    let (no_location, no_resolution) = (
        if spec.has("location") { MeshLocation::Internal } else { MeshLocation::default() },
        if spec.has("resolution") { Resolution::Dns } else { Resolution::None },
    );
    let location = spec.one_of(faults, "location", locations).map_or(no_location, |found| found.value);
    let resolution = spec
        .one_of(faults, "resolution", RESOLUTIONS)
        .unwrap_or_else(|| Located { value: no_resolution, at: spec.at().clone() });
    let names = ports.iter().map(|port| port.name.as_str()).collect();
    let mut endpoints =
        spec.items(faults, "endpoints", |faults, item| endpoint(faults, item, resolution.value, &names));
    share_labels(&mut endpoints);
    spec.exclusive(faults, &["endpoints", "workloadSelector"]);
    let workload_selector = super::selector(faults, &mut spec, "labels");
    let subject_alt_names = spec.texts(faults, "subjectAltNames");
    let export_to = spec.texts(faults, "exportTo");
    spec.finish(faults, Foreign);
    ServiceEntry {
        meta,
        hosts,
        addresses,
        ports,
        location,
        resolution,
        endpoints,
        workload_selector,
        subject_alt_names,
        export_to,
    }
}

/// An address or a network.
fn virtual_address(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let address = field.text(faults)?;
    if address.parse::<IpAddr>().is_err() && address.parse::<IpNet>().is_err() {
        let what = format!("`{}` is neither an address nor a network", address.value);
        field.fault(faults, Code::BadValue, what);
        return None;
    }
    Some(address)
}

fn hosts(faults: &mut Faults<'_>, field: &Field<'_>) -> Vec<Located<String>> {
    let before = faults.mark();
    let items = field.list(faults);
    if items.is_empty() && !faults.has_errors_since(before) {
        field.fault(faults, Code::Missing, "names no host");
    }
    let hosts = exactly(items.len(), items.iter().filter_map(|item| super::one_host(faults, item)));
    super::refuse_repeated(faults, &field.path, "the host", &hosts);
    hosts
}

fn port(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<ServicePort> {
    field.map(faults, Foreign, |faults, fields, _| {
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
        let number = number?;
        Some(ServicePort {
            target_port: target_port.map_or(number.value, |port| port.value),
            number,
            name: name?.value,
            protocol: protocol.unwrap_or_else(|| "HTTP".into()),
        })
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
    field.map(faults, Foreign, |faults, fields, _| {
        let address =
            fields.required(faults, "address").and_then(|field| address(faults, &field, resolution));
        for (name, field) in fields.get("ports").map(|field| field.entries(faults)).unwrap_or_default() {
            if !ports.contains(name.as_str()) {
                let what = format!("`{}` is not the name of a port in spec.ports", name.value);
                faults.add(Code::BadValue, &name.at, &field.path, what);
            }
        }
        workload(faults, fields, address)
    })
}

/// Endpoints of one workload stand together and have the same labels: they are kept once.
fn share_labels(endpoints: &mut [WorkloadEndpoint]) {
    for next in 1..endpoints.len() {
        if endpoints[next].labels == endpoints[next - 1].labels {
            endpoints[next].labels = endpoints[next - 1].labels.clone();
        }
    }
}

/// WorkloadEntry: an endpoint with a name of its own, for the ServiceEntries whose workloadSelector it matches. Its
/// labels are those of its spec and, before them, those of its metadata (Istio's `ConvertWorkloadEntry`).
pub(in crate::config) fn read_workload(
    faults: &mut Faults<'_>,
    meta: Meta,
    mut spec: Fields<'_>,
) -> Option<WorkloadEntry> {
    let address = spec.required(faults, "address").and_then(|field| {
        let plain = field.text(faults)?;
        // The resolution is that of whoever selects it.
        let by_name = if plain.parse::<IpAddr>().is_ok() { Resolution::Static } else { Resolution::Dns };
        address(faults, &field, by_name)
    });
    let endpoint = workload(faults, &mut spec, address);
    spec.finish(faults, Foreign);
    let mut endpoint = endpoint?;
    endpoint.labels = endpoint.labels.iter().chain(meta.labels.iter()).collect();
    Some(WorkloadEntry { meta, endpoint })
}

/// What endpoints and workload entries have in common.
fn workload(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    address: Option<Located<String>>,
) -> Option<WorkloadEndpoint> {
    let ports = fields.get("ports").map(|field| field.entries(faults)).unwrap_or_default();
    let place = WorkloadPlace {
        network: fields.plain(faults, "network"),
        locality: fields.plain(faults, "locality"),
        service_account: fields.plain(faults, "serviceAccount"),
    };
    let read = WorkloadEndpoint {
        address: Located { value: String::new(), at: fields.at().clone() },
        labels: fields.labels(faults, "labels"),
        weight: fields.integer(faults, "weight", 0..=u32::MAX).map(|weight| weight.value),
        place: (place != WorkloadPlace::default()).then(|| Box::new(place)),
        ports: ports
            .into_iter()
            .filter_map(|(name, field)| Some((name.value, field.port(faults)?.value)))
            .collect(),
    };
    Some(WorkloadEndpoint { address: address?, ..read })
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
