//! DestinationRule as written (istio/api `destination_rule.proto`): host and subsets.

use std::collections::BTreeMap;

use crate::config::{
    Meta,
    field::{Faults, Field},
    fields::{Fields, Names},
    istio::{DestinationRule, Subset},
};

const POLICY: (&str, &str) =
    ("trafficPolicy", "copies go to the endpoints in turn, unencrypted, within AgentConfig's spec.shadow");
const RULE: Names = Names::Istio(&[POLICY, ("workloadSelector", "the subsets hold for every client")]);
const SUBSET: Names = Names::Istio(&[POLICY]);

/// None when the host is missing: nothing could refer to it.
pub(in crate::config) fn read(
    faults: &mut Faults<'_>,
    meta: Meta,
    mut spec: Fields<'_>,
) -> Option<DestinationRule> {
    let host = spec.required(faults, "host").and_then(|field| super::one_host(faults, &field));
    let subsets: Vec<_> = match spec.get("subsets") {
        Some(field) => field.list(faults).iter().filter_map(|item| subset(faults, item)).collect(),
        None => Vec::new(),
    };
    let names = subsets.iter().map(|subset| &subset.name);
    super::refuse_repeated(faults, "spec.subsets", "the subset", names);
    let export_to = spec.get("exportTo").map(|field| field.texts(faults)).unwrap_or_default();
    spec.finish(faults, RULE);
    Some(DestinationRule {
        meta,
        host: host?,
        subsets,
        traffic_policy: None,
        workload_selector: None,
        export_to,
    })
}

fn subset(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Subset> {
    let mut fields = field.fields(faults)?;
    let name = fields.required(faults, "name").and_then(|field| field.text(faults));
    let labels = fields.get("labels").map_or_else(BTreeMap::new, |field| field.labels(faults));
    fields.finish(faults, SUBSET);
    Some(Subset { name: name?, labels, traffic_policy: None })
}
