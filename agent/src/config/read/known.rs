//! The kinds that are read: by which name, group and versions, and into what.

use super::{Object, Resources, Taken};
use crate::config::{
    Code, Meta,
    field::{Faults, Field},
    fields::Names,
    kinds, umbra,
};

/// A kind that is read.
pub(super) struct Kind {
    pub(super) name: &'static str,
    group: &'static str,
    versions: &'static [&'static str],
    /// How strange fields are taken. None where everything that is not asked for is noise.
    pub(super) names: Option<Names>,
    pub(super) read: fn(&mut Faults<'_>, &mut Object<'_>, &mut Resources),
}

const ISTIO: &str = "networking.istio.io";
const GATEWAY: &str = "gateway.networking.k8s.io";
const UMBRA: &str = "umbra.dev";
const ISTIO_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];

macro_rules! kind {
    ($name:literal, $group:expr, $versions:expr, $names:expr, $list:ident, $read:expr) => {
        Kind {
            name: $name,
            group: $group,
            versions: $versions,
            names: $names,
            read: |faults, object, resources| {
                let read: fn(&mut Faults<'_>, &mut Object<'_>) -> Option<_> = $read;
                let Some(value) = read(faults, object) else { return };
                if is_new(faults, $name, &object.meta, resources.names.get_or_insert_default()) {
                    resources.$list.push(value);
                }
            },
        }
    };
}

const FOREIGN: Option<Names> = Some(Names::Foreign);

const KINDS: &[Kind] = &[
    kind!("VirtualService", ISTIO, ISTIO_VERSIONS, FOREIGN, virtual_services, |faults, object| {
        let spec = object.spec(faults)?;
        Some(kinds::virtual_service::read(faults, object.meta.clone(), spec))
    }),
    kind!("DestinationRule", ISTIO, ISTIO_VERSIONS, FOREIGN, destination_rules, |faults, object| {
        let spec = object.spec(faults)?;
        kinds::destination_rule::read(faults, object.meta.clone(), spec)
    }),
    kind!("ServiceEntry", ISTIO, ISTIO_VERSIONS, FOREIGN, service_entries, |faults, object| {
        let spec = object.spec(faults)?;
        Some(kinds::service_entry::read(faults, object.meta.clone(), spec))
    }),
    kind!("WorkloadEntry", ISTIO, ISTIO_VERSIONS, FOREIGN, workload_entries, |faults, object| {
        let spec = object.spec(faults)?;
        kinds::service_entry::read_workload(faults, object.meta.clone(), spec)
    }),
    kind!("HTTPRoute", GATEWAY, &["v1", "v1beta1"], FOREIGN, http_routes, kinds::routes::http),
    kind!("GRPCRoute", GATEWAY, &["v1", "v1alpha2"], FOREIGN, grpc_routes, kinds::routes::grpc),
    kind!(
        "ReferenceGrant",
        GATEWAY,
        &["v1", "v1beta1"],
        FOREIGN,
        reference_grants,
        kinds::reference_grant::read
    ),
    kind!("Service", "", &["v1"], None, services, kinds::service::read),
    kind!("Pod", "", &["v1"], None, pods, kinds::pod::read),
    kind!("Namespace", "", &["v1"], None, namespaces, kinds::pod::namespace),
    kind!("EndpointSlice", "discovery.k8s.io", &["v1"], None, endpoint_slices, kinds::endpoint_slice::read),
    kind!(
        "ShadowPolicy",
        UMBRA,
        &["v1alpha1"],
        Some(Names::Umbra),
        shadow_policies,
        kinds::shadow_policy::read
    ),
    Kind {
        name: "AgentConfig",
        group: UMBRA,
        versions: &["v1alpha1"],
        names: Some(Names::Umbra),
        read: |faults, object, resources| {
            let Some(spec) = object.spec_or_empty(faults) else { return };
            let read = kinds::agent::read(faults, object.meta.clone(), spec);
            keep_agent(faults, &mut resources.agent, read);
        },
    },
];

/// True for the list form of a kind that is read, such as `PodList`.
pub(super) fn is_list(kind: &str) -> bool {
    kind.strip_suffix("List").is_some_and(|item| KINDS.iter().any(|kind| kind.name == item))
}

/// The kind, if it is read in this version.
pub(super) fn recognise(
    faults: &mut Faults<'_>,
    api: &Field<'_>,
    api_version: &str,
    kind: &Field<'_>,
    name: &str,
) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match KINDS.iter().find(|kind| kind.name == name) {
        Some(known) if group == known.group && known.versions.contains(&version) => Some(known),
        Some(known) => {
            let read_as = known.versions.iter().map(|version| match known.group {
                "" => (*version).to_owned(),
                group => format!("{group}/{version}"),
            });
            let hint = format!("{name} is read as {}", read_as.collect::<Vec<_>>().join(", "));
            let what = match api_version {
                "" => "an object without an apiVersion".to_owned(),
                _ => format!("{name} of {api_version} is not known"),
            };
            api.fault(faults, Code::UnknownKind, what).help(hint);
            None
        }
        None => {
            unknown(faults, api_version, group, kind, name);
            None
        }
    }
}

/// Clusters are full of kinds that say nothing about mirroring; a slip in the name of one that does is an error.
fn unknown(faults: &mut Faults<'_>, api_version: &str, group: &str, kind: &Field<'_>, name: &str) {
    let distance = |known: &&Kind| strsim::damerau_levenshtein(known.name, name);
    let near = KINDS.iter().filter(|_| name.len() <= 64).min_by_key(distance);
    let near = near.filter(|known| distance(known) <= 2);
    let what = format!("`{name}` is not a kind known here");
    if let Some(near) = near {
        kind.fault(faults, Code::UnknownKind, what).help(format!("did you mean {}?", near.name));
    } else if group == UMBRA || api_version.is_empty() {
        let known: Vec<_> = KINDS.iter().map(|kind| kind.name).collect();
        kind.fault(faults, Code::UnknownKind, what).help(format!("known: {}, List", known.join(", ")));
    } else {
        kind.fault(faults, Code::Skipped, format!("{what}: left unread"));
    }
}

/// False, and a fault, when another object of this kind has the name already.
fn is_new(faults: &mut Faults<'_>, kind: &'static str, meta: &Meta, names: &mut Taken) -> bool {
    let key = (kind, meta.namespace.clone(), meta.name.value.clone());
    let first = names.get(&key);
    if let Some(first) = first {
        let hint = format!("the other one is at {first}");
        faults.add(Code::Duplicate, &meta.name.at, "metadata.name", "written twice").help(hint);
        return false;
    }
    names.insert(key, meta.name.at.clone());
    true
}

fn keep_agent(faults: &mut Faults<'_>, kept: &mut Option<Box<umbra::AgentConfig>>, read: umbra::AgentConfig) {
    let place = |config: &umbra::AgentConfig| config.meta.as_ref().map(|meta| meta.name.at.clone());
    match (kept.as_deref().and_then(place), place(&read)) {
        (Some(first), Some(second)) => {
            let hint = format!("the other one is at {first}");
            faults.add(Code::Duplicate, &second, "metadata.name", "a second AgentConfig").help(hint);
        }
        _ => *kept = Some(Box::new(read)),
    }
}
