//! core/v1 Service, as far as it says which pods serve which port.

use std::net::IpAddr;

use crate::config::{
    Located,
    decode::Value,
    field::{Faults, Field},
    fields::Fields,
    kubernetes::{KubePort, Service, ServiceType, TargetPort, TrafficDistribution, Transport},
    read::Object,
};

/// Istio's annotation for what `exportTo` is elsewhere.
const EXPORT_TO: &str = "networking.istio.io/exportTo";

pub(in crate::config) fn read(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<Service> {
    let mut spec = object.spec(faults)?;
    let types = &[
        ("ClusterIP", ServiceType::ClusterIp),
        ("NodePort", ServiceType::NodePort),
        ("LoadBalancer", ServiceType::LoadBalancer),
        ("ExternalName", ServiceType::ExternalName),
    ];
    let mut addresses = spec.texts(faults, "clusterIPs");
    if addresses.is_empty() {
        addresses.extend(spec.word(faults, "clusterIP"));
    }
    Some(Service {
        meta: object.meta.clone(),
        kind: spec.one_of(faults, "type", types).map_or(ServiceType::ClusterIp, |found| found.value),
        ports: spec.items(faults, "ports", port),
        selector: spec.labels(faults, "selector"),
        headless: addresses.iter().any(|address| address.value == "None"),
        cluster_ips: addresses.iter().filter_map(|address| address.parse::<IpAddr>().ok()).collect(),
        external_name: spec.word(faults, "externalName"),
        publish_not_ready_addresses: spec
            .flag(faults, "publishNotReadyAddresses")
            .is_some_and(|flag| flag.value),
        traffic_distribution: distribution(spec.plain(faults, "trafficDistribution").as_deref()),
        export_to: export_to(faults, &object.metadata),
    })
}

/// Whoever implements Services takes a value that is not known for none (API reference of ServiceSpec).
fn distribution(written: Option<&str>) -> Option<TrafficDistribution> {
    match written? {
        "PreferClose" | "PreferSameZone" => Some(TrafficDistribution::PreferSameZone),
        "PreferSameNode" => Some(TrafficDistribution::PreferSameNode),
        _ => None,
    }
}

fn port(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<KubePort> {
    let mut fields = field.fields(faults)?;
    let number = fields.required(faults, "port").and_then(|field| field.port(faults));
    let target = fields.get("targetPort").and_then(|field| match field.node.value {
        Value::Text(_) => field.text(faults).map(|name| TargetPort::Name(name.value)),
        _ => field.integer(faults, 0..=u16::MAX).map(|port| TargetPort::Number(port.value)),
    });
    let name = fields.plain(faults, "name").unwrap_or_default();
    let transport = transport(faults, &mut fields);
    let app_protocol = fields.plain(faults, "appProtocol");
    let number = number?;
    // 0 is how an absent number looks in Go.
    let target = target.filter(|target| *target != TargetPort::Number(0));
    let target = target.unwrap_or(TargetPort::Number(number.value));
    Some(KubePort { number, name, transport, target, app_protocol })
}

pub(super) fn transport(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Transport {
    let names = &[("TCP", Transport::Tcp), ("UDP", Transport::Udp), ("SCTP", Transport::Sctp)];
    fields.one_of(faults, "protocol", names).map_or(Transport::Tcp, |found| found.value)
}

/// `.,shop` → `.` and `shop`.
fn export_to(faults: &mut Faults<'_>, metadata: &Field<'_>) -> Vec<Located<String>> {
    let annotations = metadata.fields(faults).and_then(|mut fields| fields.get("annotations"));
    let Some(mut annotations) = annotations.and_then(|field| field.fields(faults)) else { return Vec::new() };
    let Some(written) = annotations.word(faults, EXPORT_TO) else { return Vec::new() };
    let parts = written.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| Located { value: part.to_owned(), at: written.at.clone() }).collect()
}
