//! Documents to resources: which kind each one is, its metadata, and that no two share a name. The fields of each
//! kind are read in `kinds`.

#[cfg(test)]
mod tests;

use std::{collections::HashMap, sync::Arc};

use super::{
    Code, Location, Meta, Report,
    decode::{self, Node},
    field::{Faults, Field},
    fields::{Fields, Names},
    gateway, istio, kinds, kubernetes,
    shadow_policy::ShadowPolicy,
    umbra,
};

/// Everything that was written, by kind.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    pub agent: Option<umbra::AgentConfig>,
    pub virtual_services: Vec<istio::VirtualService>,
    pub destination_rules: Vec<istio::DestinationRule>,
    pub service_entries: Vec<istio::ServiceEntry>,
    pub workload_entries: Vec<istio::WorkloadEntry>,
    pub services: Vec<kubernetes::Service>,
    pub endpoint_slices: Vec<kubernetes::EndpointSlice>,
    pub pods: Vec<kubernetes::Pod>,
    pub namespaces: Vec<kubernetes::Namespace>,
    pub http_routes: Vec<gateway::HttpRoute>,
    pub grpc_routes: Vec<gateway::GrpcRoute>,
    pub reference_grants: Vec<gateway::ReferenceGrant>,
    pub shadow_policies: Vec<ShadowPolicy>,
    /// Where each name was first written.
    pub(crate) names: Taken,
}

/// Kind, namespace and name → where it was first written.
pub(crate) type Taken = HashMap<(&'static str, String, String), Location>;

/// Reads the documents of one source into `resources`; faults go to `report`. Objects with faults are kept as far as
/// they could be read, so that what refers to them is not reported too.
pub fn read(file: &str, text: &str, resources: &mut Resources, report: &mut Report) {
    for document in decode::documents(&Arc::from(file), text, report) {
        let mut faults = Faults { report, object: None };
        object(&mut faults, &document, resources);
    }
}

#[derive(Clone, Copy)]
enum Kind {
    VirtualService,
    DestinationRule,
    ServiceEntry,
    AgentConfig,
}

/// An API group and its versions known here.
type Group = (&'static str, &'static [&'static str]);

const ISTIO: Group = ("networking.istio.io", &["v1", "v1beta1", "v1alpha3"]);
const UMBRA: Group = ("umbra.dev", &["v1alpha1"]);
const KINDS: &[(&str, Kind, Group)] = &[
    ("VirtualService", Kind::VirtualService, ISTIO),
    ("DestinationRule", Kind::DestinationRule, ISTIO),
    ("ServiceEntry", Kind::ServiceEntry, ISTIO),
    ("AgentConfig", Kind::AgentConfig, UMBRA),
];

fn object(faults: &mut Faults<'_>, node: &Node, resources: &mut Resources) {
    faults.object = None;
    let field = Field { path: String::new(), node };
    let Some(mut fields) =
        (matches!(node.value, decode::Value::Map(_))).then(|| field.fields(faults)).flatten()
    else {
        let hint = "a document is a map with apiVersion, kind, metadata and spec";
        field.fault(faults, Code::UnknownKind, "not an object").help(hint);
        return;
    };
    let api = fields.get("apiVersion");
    let Some(kind) = fields.get("kind") else {
        let hint = "a document has apiVersion, kind, metadata and spec";
        field.fault(faults, Code::UnknownKind, "an object without a kind").help(hint);
        return;
    };
    let (Some(api_version), Some(kind_name)) = (
        api.as_ref().map_or(Some(String::new()), |api| Some(api.text(faults)?.value)),
        kind.text(faults).map(|kind| kind.value),
    ) else {
        return;
    };
    if kind_name == "List" && api_version == "v1" {
        let items = fields.get("items").map(|items| items.list(faults)).unwrap_or_default();
        for item in items {
            object(faults, item.node, resources);
        }
        return;
    }
    let named = fields.get("metadata").and_then(|metadata| name_in(&metadata));
    faults.object = Some(match named {
        Some(name) => format!("{kind_name} {name}"),
        None => kind_name.clone(),
    });
    let Some(known) = recognise(faults, api.as_ref().unwrap_or(&field), &api_version, &kind, &kind_name)
    else {
        return;
    };
    let Some(metadata) = fields.required(faults, "metadata") else { return };
    let Some(meta) = meta(faults, &metadata) else { return };
    let spec = fields.get("spec");
    if spec.is_none() && !matches!(known, Kind::AgentConfig) {
        faults.add(Code::Missing, fields.at(), "spec", "is required");
        return;
    }
    let spec = match spec {
        Some(spec) => spec.fields(faults),
        None => Some(Fields::new("spec".into(), fields.at(), &[])),
    };
    let Some(spec) = spec else { return };
    match known {
        Kind::VirtualService => {
            let read = kinds::virtual_service::read(faults, meta, spec);
            keep(faults, &mut resources.virtual_services, read, |kept| &kept.meta);
        }
        Kind::DestinationRule => {
            if let Some(read) = kinds::destination_rule::read(faults, meta, spec) {
                keep(faults, &mut resources.destination_rules, read, |kept| &kept.meta);
            }
        }
        Kind::ServiceEntry => {
            let read = kinds::service_entry::read(faults, meta, spec);
            keep(faults, &mut resources.service_entries, read, |kept| &kept.meta);
        }
        Kind::AgentConfig => {
            let read = kinds::agent::read(faults, meta, spec);
            keep_agent(faults, &mut resources.agent, read);
        }
    }
    fields.ignore(&["status"]);
    fields.finish(faults, if matches!(known, Kind::AgentConfig) { Names::Umbra } else { Names::Istio(&[]) });
}

/// The kind, if it is known in this version.
fn recognise(
    faults: &mut Faults<'_>,
    api: &Field<'_>,
    api_version: &str,
    kind: &Field<'_>,
    kind_name: &str,
) -> Option<Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match KINDS.iter().find(|(name, ..)| *name == kind_name) {
        Some((_, known, (own, versions))) if group == *own && versions.contains(&version) => Some(*known),
        Some((_, _, (own, versions))) => {
            let own = format!("{kind_name} is read as {own}/{}", versions.join(&format!(", {own}/")));
            let what = match api_version {
                "" => "an object without an apiVersion".to_owned(),
                _ => format!("{kind_name} of {api_version} is not known"),
            };
            api.fault(faults, Code::UnknownKind, what).help(own);
            None
        }
        None => {
            let known: Vec<_> =
                KINDS.iter().map(|(name, _, (group, _))| format!("{name} ({group})")).collect();
            let what = format!("`{kind_name}` is not a kind known here");
            kind.fault(faults, Code::UnknownKind, what).help(format!("known: {}, List", known.join(", ")));
            None
        }
    }
}

/// `namespace/name` before anything is checked, to name the object in what is said of it.
fn name_in(metadata: &Field<'_>) -> Option<String> {
    let decode::Value::Map(entries) = &metadata.node.value else { return None };
    let text = |name: &str| {
        entries.iter().find(|(key, _)| key.name == name).and_then(|(_, node)| match &node.value {
            decode::Value::Text(text) if !text.is_empty() => Some(text.as_str()),
            _ => None,
        })
    };
    Some(format!("{}/{}", text("namespace").unwrap_or("default"), text("name")?))
}

fn meta(faults: &mut Faults<'_>, metadata: &Field<'_>) -> Option<Meta> {
    let mut fields = metadata.fields(faults)?;
    let name = fields.required(faults, "name").and_then(|field| {
        let name = field.text(faults)?;
        if name.is_empty() {
            field.fault(faults, Code::Missing, "is empty");
        }
        Some(name)
    });
    let mut text = |name| fields.get(name).and_then(|field| field.text(faults)).map(|text| text.value);
    let namespace = text("namespace").filter(|text| !text.is_empty()).unwrap_or_else(|| "default".into());
    let created = text("creationTimestamp");
    let labels = fields.get("labels").map(|field| field.labels(faults)).unwrap_or_default();
    // Annotations, managedFields and the like say nothing about mirroring.
    Some(Meta { name: name?, namespace, labels, created })
}

fn keep<T>(faults: &mut Faults<'_>, kept: &mut Vec<T>, read: T, meta: impl Fn(&T) -> &Meta) {
    let new = meta(&read);
    let same = |old: &&T| meta(old).name.value == new.name.value && meta(old).namespace == new.namespace;
    if let Some(old) = kept.iter().find(same) {
        let first = format!("the other one is at {}", meta(old).name.at);
        faults.add(Code::Duplicate, &new.name.at, "metadata.name", "written twice").help(first);
    } else {
        kept.push(read);
    }
}

fn keep_agent(faults: &mut Faults<'_>, kept: &mut Option<umbra::AgentConfig>, read: umbra::AgentConfig) {
    let place = |config: &umbra::AgentConfig| config.meta.as_ref().map(|meta| meta.name.at.clone());
    match (kept.as_ref().and_then(place), place(&read)) {
        (Some(first), Some(second)) => {
            let hint = format!("the other one is at {first}");
            faults.add(Code::Duplicate, &second, "metadata.name", "a second AgentConfig").help(hint);
        }
        _ => *kept = Some(read),
    }
}
