//! ReferenceGrant (Gateway API v1beta1): who may refer into its namespace.

use crate::config::{
    field::Faults,
    fields::Names::Foreign,
    gateway::{GrantFrom, GrantTo, ReferenceGrant},
    read::Object,
};

pub(in crate::config) fn read(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<ReferenceGrant> {
    let mut spec = object.spec(faults)?;
    spec.required(faults, "from");
    spec.required(faults, "to");
    let from = spec.items(faults, "from", |faults, item| {
        item.map(faults, Foreign, |faults, fields, _| {
            let group = fields.plain(faults, "group").unwrap_or_default();
            let kind = fields.required(faults, "kind").and_then(|field| field.text(faults));
            let namespace = fields.required(faults, "namespace").and_then(|field| field.text(faults));
            Some(GrantFrom { group, kind: kind?.value, namespace: namespace?.value })
        })
    });
    let to = spec.items(faults, "to", |faults, item| {
        item.map(faults, Foreign, |faults, fields, _| {
            let group = fields.plain(faults, "group").unwrap_or_default();
            let kind = fields.required(faults, "kind").and_then(|field| field.text(faults));
            Some(GrantTo { group, kind: kind?.value, name: fields.plain(faults, "name") })
        })
    });
    spec.finish(faults, Foreign);
    Some(ReferenceGrant { meta: object.meta.clone(), from, to })
}
