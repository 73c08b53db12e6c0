//! Documents to resources: which kind each one is, its metadata, and that no two share a name. The fields of each
//! kind are read in `kinds`.

mod known;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use super::{
    Code, Diagnostic, Location, Meta, Report,
    decode::{self, Documents, Node},
    field::{Faults, Field},
    fields::Fields,
    gateway,
    honoured::Honoured,
    istio, kubernetes,
    shadow_policy::ShadowPolicy,
    umbra,
};

/// Everything that was written, by kind.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    pub agent: Option<Box<umbra::AgentConfig>>,
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
    /// Where each name was first written. Boxed, for a part of a configuration has none.
    pub(crate) names: Option<Box<Taken>>,
}

/// Kind, namespace and name → where it was first written.
pub(crate) type Taken = HashMap<(&'static str, String, String), Location>;

/// Reads the documents of one source into `resources`; faults go to `report`. Objects with faults are kept as far as
/// they could be read, so that what refers to them is not reported too.
pub fn read(file: &str, text: &str, resources: &mut Resources, report: &mut Report) {
    let name = file.into();
    let mut documents = Documents::of(&name, text, report);
    let (before, mut any) = (report.diagnostics.len(), false);
    while let Some(document) = documents.next(report) {
        any |= !document.is_empty();
        let mut faults = Faults { report, object: None, honoured: Honoured::of("") };
        let listed = document.text("apiVersion").zip(document.text("kind"));
        if listed.is_some_and(|(api_version, kind)| is_list(api_version, kind)) {
            document.into_items().for_each(|item| object(&mut faults, &item, resources));
        } else {
            object(&mut faults, &document.into_node(), resources);
        }
    }
    if !any && report.diagnostics.len() == before {
        let at = Location { file: name, line: 1, column: 1 };
        let message = format!("{file} holds no document: nothing is read from it");
        report.push(Diagnostic { code: Code::NothingRead, at, object: None, message, hint: None });
    }
}

/// Reads one source as a part of a configuration, to be kept: no larger than it must be. Whether another part has an
/// object of the same name is for the caller to see, by [`Resources::metas`].
pub fn read_part(file: &str, text: &str) -> (Resources, Report) {
    let (mut resources, mut report) = (Resources::default(), Report::default());
    read(file, text, &mut resources, &mut report);
    resources.names = None;
    resources.shrink();
    (resources, report)
}

macro_rules! lists {
    ($($list:ident: $kind:literal,)+) => {
        impl Resources {
            /// The kind and the metadata of every object but the agent's.
            pub fn metas(&self) -> impl Iterator<Item = (&'static str, &Meta)> {
                std::iter::empty()$(.chain(self.$list.iter().map(|object| ($kind, &object.meta))))+
            }

            fn shrink(&mut self) {
                $(self.$list.shrink_to_fit();)+
            }
        }
    };
}

lists! {
    virtual_services: "VirtualService",
    destination_rules: "DestinationRule",
    service_entries: "ServiceEntry",
    workload_entries: "WorkloadEntry",
    services: "Service",
    endpoint_slices: "EndpointSlice",
    pods: "Pod",
    namespaces: "Namespace",
    http_routes: "HTTPRoute",
    grpc_routes: "GRPCRoute",
    reference_grants: "ReferenceGrant",
    shadow_policies: "ShadowPolicy",
}

/// `kubectl get` prints `List`, the API itself `PodList`.
fn is_list(api_version: &str, kind: &str) -> bool {
    kind == "List" && api_version == "v1" || known::is_list(kind)
}

/// A document of a known kind, being read.
pub(super) struct Object<'n> {
    pub(super) meta: Meta,
    pub(super) metadata: Field<'n>,
    /// What stands beside `metadata`.
    pub(super) fields: Fields<'n>,
}

impl<'n> Object<'n> {
    /// The fields of `spec`, which must be there.
    pub(super) fn spec(&mut self, faults: &mut Faults<'_>) -> Option<Fields<'n>> {
        self.fields.required(faults, "spec")?.fields(faults)
    }

    /// The fields of `spec`, or none.
    pub(super) fn spec_or_empty(&mut self, faults: &mut Faults<'_>) -> Option<Fields<'n>> {
        match self.fields.get("spec") {
            Some(spec) => spec.fields(faults),
            None => Some(Fields::new("spec".into(), self.fields.at(), &[])),
        }
    }
}

fn object(faults: &mut Faults<'_>, node: &Node, resources: &mut Resources) {
    (faults.object, faults.honoured) = (None, Honoured::of(""));
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
    if is_list(&api_version, &kind_name) && (kind_name == "List" || fields.has("items")) {
        for item in fields.get("items").map(|items| items.list(faults)).unwrap_or_default() {
            object(faults, item.node, resources);
        }
        return;
    }
    let named = fields.get("metadata").and_then(|metadata| name_in(&metadata));
    faults.object = Some(match named {
        Some(name) => format!("{kind_name} {name}"),
        None => kind_name.clone(),
    });
    let api = api.as_ref().unwrap_or(&field);
    let Some(known) = known::recognise(faults, api, &api_version, &kind, &kind_name) else { return };
    faults.honoured = Honoured::of(known.name);
    let Some(metadata) = fields.required(faults, "metadata") else { return };
    let Some(meta) = meta(faults, &metadata) else { return };
    let mut object = Object { meta, metadata, fields };
    (known.read)(faults, &mut object, resources);
    if let Some(names) = known.names {
        object.fields.ignore(&["status"]);
        object.fields.finish(faults, names);
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
    let namespace = fields.plain(faults, "namespace").unwrap_or_else(|| "default".into());
    let created = fields.text(faults, "creationTimestamp").map(|text| text.value);
    let labels = fields.labels(faults, "labels");
    // Annotations, managedFields and the like say nothing about mirroring.
    Some(Meta { name: name?, namespace, labels, created })
}
