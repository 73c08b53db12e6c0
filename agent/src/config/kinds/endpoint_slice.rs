//! `discovery.k8s.io/v1` EndpointSlice: where the pods of a service are, and whether they are ready.

use super::{pod, service};
use crate::config::{
    Code,
    field::{Faults, Field},
    fields::Fields,
    kubernetes::{EndpointSlice, PodRef, SliceEndpoint, SlicePort},
    read::Object,
};

/// The label that ties a slice to its service.
const SERVICE: &str = "kubernetes.io/service-name";

#[derive(Clone, Copy, PartialEq, Eq)]
enum AddressType {
    Ip,
    Name,
}

pub(in crate::config) fn read(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<EndpointSlice> {
    let types = &[("IPv4", AddressType::Ip), ("IPv6", AddressType::Ip), ("FQDN", AddressType::Name)];
    let fields = &mut object.fields;
    let kind = fields.required(faults, "addressType").and_then(|field| field.one_of(faults, types));
    if let Some(names) = kind.as_ref().filter(|kind| kind.value == AddressType::Name) {
        let what = "names are not resolved: the endpoints of this slice are left out";
        faults.add(Code::NotHonoured, &names.at, "addressType", what);
    }
    let endpoints = match kind?.value {
        AddressType::Ip => {
            fields.items(faults, "endpoints", |faults, item| endpoint(faults, item, &object.meta.namespace))
        }
        AddressType::Name => Vec::new(),
    };
    let ports = fields.items(faults, "ports", port);
    let service = object.meta.labels.get(SERVICE).map(str::to_owned);
    Some(EndpointSlice { meta: object.meta.clone(), service, endpoints, ports })
}

fn endpoint(faults: &mut Faults<'_>, field: &Field<'_>, namespace: &str) -> Option<SliceEndpoint> {
    let mut fields = field.fields(faults)?;
    let mut conditions = fields.get("conditions").and_then(|field| field.fields(faults));
    let mut condition = |faults: &mut Faults<'_>, name| {
        conditions
            .as_mut()
            .and_then(|fields: &mut Fields<'_>| fields.flag(faults, name))
            .map(|flag| flag.value)
    };
    let ready = condition(faults, "ready").unwrap_or(true);
    let serving = condition(faults, "serving").unwrap_or(ready);
    let terminating = condition(faults, "terminating").unwrap_or(false);
    let mut hints = fields.get("hints").and_then(|field| field.fields(faults));
    let mut hinted = |faults: &mut Faults<'_>, name| {
        let name_of = |faults: &mut Faults<'_>, item: &Field<'_>| item.fields(faults)?.plain(faults, "name");
        hints.as_mut().map(|hints: &mut Fields<'_>| hints.items(faults, name, name_of)).unwrap_or_default()
    };
    let (for_zones, for_nodes) = (hinted(faults, "forZones"), hinted(faults, "forNodes"));
    Some(SliceEndpoint {
        addresses: fields.items(faults, "addresses", pod::address),
        ready,
        serving,
        terminating,
        pod: fields.get("targetRef").and_then(|field| pod_ref(faults, &field, namespace)),
        node: fields.plain(faults, "nodeName"),
        zone: fields.plain(faults, "zone"),
        for_zones,
        for_nodes,
    })
}

fn pod_ref(faults: &mut Faults<'_>, field: &Field<'_>, namespace: &str) -> Option<PodRef> {
    let mut fields = field.fields(faults)?;
    let kind = fields.plain(faults, "kind")?;
    let name = fields.plain(faults, "name")?;
    let namespace = fields.plain(faults, "namespace").unwrap_or_else(|| namespace.to_owned());
    (kind == "Pod").then_some(PodRef { namespace, name })
}

fn port(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<SlicePort> {
    let mut fields = field.fields(faults)?;
    Some(SlicePort {
        name: fields.plain(faults, "name").unwrap_or_default(),
        port: fields.get("port").and_then(|field| field.port(faults)).map(|port| port.value),
        transport: service::transport(faults, &mut fields),
        app_protocol: fields.plain(faults, "appProtocol"),
    })
}
