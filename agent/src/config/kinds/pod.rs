//! core/v1 Pod and Namespace: labels, addresses, readiness.

use std::{collections::BTreeMap, net::IpAddr};

use crate::config::{
    Code,
    field::{Faults, Field},
    fields::Fields,
    kubernetes::{Mesh, Namespace, Pod, PodPhase},
    read::Object,
};

const PHASES: &[(&str, PodPhase)] = &[
    ("Pending", PodPhase::Pending),
    ("Running", PodPhase::Running),
    ("Succeeded", PodPhase::Succeeded),
    ("Failed", PodPhase::Failed),
    ("Unknown", PodPhase::Unknown),
];

/// On the mirror of a static pod: the UID that the kubelet gave the pod itself.
const MIRRORED: &str = "kubernetes.io/config.mirror";

pub(in crate::config) fn read(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<Pod> {
    let mut metadata = object.metadata.fields(faults)?;
    let terminating = metadata.has("deletionTimestamp");
    let uid = metadata.plain(faults, "uid");
    let mut annotations = match metadata.get("annotations") {
        Some(field) => field.fields(faults),
        None => None,
    };
    let mirrored = annotations.as_mut().and_then(|found| found.plain(faults, MIRRORED));
    let mesh = annotations.as_mut().and_then(|found| mesh(faults, found));
    let mut spec = object.spec(faults)?;
    let mut ports = BTreeMap::new();
    // Of two ports with one name the first counts, and containers come before what starts them.
    for list in ["initContainers", "containers"] {
        for found in spec.items(faults, list, named_ports).into_iter().rev().flatten() {
            ports.insert(found.0, found.1);
        }
    }
    let status = match object.fields.get("status") {
        Some(field) => field.fields(faults),
        None => None,
    };
    let mut status = status.unwrap_or_else(|| Fields::new("status".into(), object.fields.at(), &[]));
    let mut ips = status.items(faults, "podIPs", |faults, item| {
        item.fields(faults)?.get("ip").and_then(|field| address(faults, &field))
    });
    if ips.is_empty() {
        ips.extend(status.get("podIP").and_then(|field| address(faults, &field)));
    }
    let conditions = status.items(faults, "conditions", |faults, item| {
        let mut fields = item.fields(faults)?;
        Some((fields.plain(faults, "type")?, fields.plain(faults, "status")?))
    });
    Some(Pod {
        meta: object.meta.clone(),
        uid: mirrored.or(uid),
        ips,
        phase: status.one_of(faults, "phase", PHASES).map_or(PodPhase::Unknown, |found| found.value),
        ready: conditions.iter().any(|(name, status)| name == "Ready" && status == "True"),
        terminating,
        ports,
        node: spec.plain(faults, "nodeName"),
        host_network: spec.flag(faults, "hostNetwork").is_some_and(|flag| flag.value),
        service_account: spec.plain(faults, "serviceAccountName"),
        mesh,
    })
}

fn mesh(faults: &mut Faults<'_>, annotations: &mut Fields<'_>) -> Option<Mesh> {
    if annotations.has("sidecar.istio.io/status") {
        Some(Mesh::IstioSidecar)
    } else if annotations.plain(faults, "ambient.istio.io/redirection").as_deref() == Some("enabled") {
        Some(Mesh::IstioAmbient)
    } else {
        annotations.has("linkerd.io/proxy-version").then_some(Mesh::Linkerd)
    }
}

pub(in crate::config) fn namespace(_: &mut Faults<'_>, object: &mut Object<'_>) -> Option<Namespace> {
    Some(Namespace { meta: object.meta.clone() })
}

fn named_ports(faults: &mut Faults<'_>, container: &Field<'_>) -> Option<Vec<(String, u16)>> {
    let mut ports = container.fields(faults)?.items(faults, "ports", |faults, item| {
        let mut fields = item.fields(faults)?;
        let name = fields.plain(faults, "name")?;
        Some((name, fields.get("containerPort")?.port(faults)?.value))
    });
    ports.reverse();
    Some(ports)
}

pub(super) fn address(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<IpAddr> {
    let text = field.text(faults)?;
    let parsed = text.parse().ok();
    if parsed.is_none() {
        field.fault(faults, Code::BadValue, format!("`{}` is not an IP address", text.value));
    }
    parsed
}
