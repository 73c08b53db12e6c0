//! DestinationRule as written (istio/api `destination_rule.proto`): host, subsets, and how they are spoken to.

use super::traffic_policy;
use crate::config::{
    Located, Meta,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    istio::{DestinationRule, Subset},
};

/// None when the host is missing: nothing could refer to it.
pub(in crate::config) fn read(
    faults: &mut Faults<'_>,
    meta: Meta,
    mut spec: Fields<'_>,
) -> Option<DestinationRule> {
    let host = spec.required(faults, "host").and_then(|field| super::one_host(faults, &field));
    let subsets = spec.items(faults, "subsets", subset);
    let names = subsets.iter().map(|subset| &subset.name);
    super::refuse_repeated(faults, "spec.subsets", "the subset", names);
    let traffic_policy = traffic_policy::read(faults, &mut spec).map(Box::new);
    let workload_selector = super::selector(faults, &mut spec, "matchLabels");
    let export_to = spec.texts(faults, "exportTo");
    spec.finish(faults, Foreign);
    Some(DestinationRule { meta, host: host?, subsets, traffic_policy, workload_selector, export_to })
}

fn subset(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Subset> {
    field.map(faults, Foreign, |faults, fields, _| {
        let name = fields.required(faults, "name").and_then(|field| field.text(faults));
        let labels = fields.labels(faults, "labels");
        let traffic_policy = traffic_policy::read(faults, fields).map(Box::new);
        let Located { value: name, at } = name?;
        Some(Subset { name: Located { value: name.into(), at }, labels, traffic_policy })
    })
}
