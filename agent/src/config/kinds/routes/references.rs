//! References of routes to other objects: parents and backends.

use super::filters;
use crate::config::{
    Code,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    gateway::{BackendRef, ObjectRef, ParentRef},
};

pub(super) const GROUP: &str = "gateway.networking.k8s.io";
const MAX_WEIGHT: u32 = 1_000_000;

pub(super) fn parent(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<ParentRef> {
    field.map(faults, Foreign, |faults, fields, at| {
        // An empty group is the core one; an absent group is that of gateways.
        let group = fields.text(faults, "group").map_or_else(|| GROUP.into(), |group| group.value);
        let kind = fields.plain(faults, "kind").unwrap_or_else(|| "Gateway".into());
        let namespace = fields.plain(faults, "namespace");
        let name = fields.required(faults, "name").and_then(|field| field.text(faults));
        let section_name = fields.plain(faults, "sectionName");
        let port = fields.get("port").and_then(|field| field.port(faults));
        Some(ParentRef { at, group, kind, namespace, name: name?, section_name, port })
    })
}

pub(super) fn backends(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    route: filters::Route,
) -> Vec<BackendRef> {
    fields.items(faults, "backendRefs", |faults, item| {
        item.map(faults, Foreign, |faults, fields, _| {
            let target = object(faults, fields);
            let weight = fields.integer(faults, "weight", 0..=MAX_WEIGHT);
            let filters = filters::read(faults, fields, route);
            Some(BackendRef { target: target?, weight, filters })
        })
    })
}

/// The reference that a map's fields make.
pub(super) fn object(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<ObjectRef> {
    let group = fields.plain(faults, "group").unwrap_or_default();
    let kind = fields.plain(faults, "kind").unwrap_or_else(|| "Service".into());
    let namespace = fields.word(faults, "namespace");
    let name = fields.required(faults, "name").and_then(|field| field.text(faults));
    let port = fields.get("port").and_then(|field| field.port(faults));
    if group.is_empty() && kind == "Service" && !fields.has("port") {
        faults.add(Code::Missing, fields.at(), &fields.path_of("port"), "is required for a Service");
    }
    Some(ObjectRef { at: fields.at().clone(), group, kind, namespace, name: name?, port })
}
