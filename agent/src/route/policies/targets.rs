//! What a `targetRefs` entry may name, and what was likely meant by one that names nothing.

use std::collections::BTreeSet;

use foldhash::HashMap;

use crate::{
    config::{
        Code, gateway,
        istio::VirtualService,
        shadow_policy::{TargetKind, TargetRef},
    },
    route::{
        findings::{Findings, Site},
        objects::Objects,
    },
};

/// Objects with rules, by kind, namespace and name.
pub(super) struct Known<'a>(HashMap<(TargetKind, &'a str, &'a str), Object<'a>>);

#[derive(Clone, Copy)]
enum Object<'a> {
    VirtualService(&'a VirtualService),
    HttpRoute(&'a gateway::HttpRoute),
    GrpcRoute(&'a gateway::GrpcRoute),
}

pub(super) fn kind(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::VirtualService => "VirtualService",
        TargetKind::HttpRoute => "HTTPRoute",
        TargetKind::GrpcRoute => "GRPCRoute",
        TargetKind::Namespace => "Namespace",
    }
}

impl<'a> Known<'a> {
    pub(super) fn new(objects: &Objects<'a>) -> Self {
        let virtual_services = objects.virtual_services.iter().map(|&vs| Object::VirtualService(vs));
        let http = objects.http_routes.iter().map(|&route| Object::HttpRoute(route));
        let grpc = objects.grpc_routes.iter().map(|&route| Object::GrpcRoute(route));
        Self(virtual_services.chain(http).chain(grpc).map(|object| (object.key(), object)).collect())
    }

    /// The names of an object's rules.
    fn sections(&self, object: Object<'a>) -> BTreeSet<String> {
        let names: Vec<Option<&str>> = match object {
            Object::VirtualService(vs) => vs.http.iter().map(|rule| rule.name.as_deref()).collect(),
            Object::HttpRoute(route) => route.rules.iter().map(|rule| rule.name.as_deref()).collect(),
            Object::GrpcRoute(route) => route.rules.iter().map(|rule| rule.name.as_deref()).collect(),
        };
        let mut sections: BTreeSet<_> =
            names.into_iter().enumerate().map(|(index, name)| section(index, name)).collect();
        if let Object::VirtualService(root) = object {
            sections.extend(self.delegated(root));
        }
        sections
    }

    /// A rule of a delegate has a name of its own where it is put together: `root-leaf`.
    fn delegated(&self, root: &'a VirtualService) -> impl Iterator<Item = String> {
        let named = root.http.iter().filter_map(|rule| Some((rule.delegate.as_ref()?, rule.name.as_ref()?)));
        named.flat_map(|(delegate, name)| {
            let namespace = delegate.namespace.as_ref().map_or(&root.meta.namespace, |namespace| namespace);
            let found = self.0.get(&(TargetKind::VirtualService, namespace, delegate.name.as_str()));
            let leaves = match found {
                Some(Object::VirtualService(vs)) if vs.hosts.is_empty() => vs.http.as_slice(),
                _ => &[],
            };
            leaves.iter().filter_map(move |leaf| Some(format!("{name}-{}", leaf.name.as_ref()?)))
        })
    }

    /// Reports what does not exist.
    pub(super) fn check(
        &self,
        target: &TargetRef,
        namespace: &str,
        site: &Site<'_>,
        findings: &mut Findings<'_>,
    ) {
        let (at, name) = (&target.name.at, target.name.as_str());
        if target.kind.value == TargetKind::Namespace {
            if name != namespace {
                let what = format!("`{name}` is not the policy's own namespace: it holds for nothing there");
                let hint = format!("write `{namespace}`, or move the policy to namespace {name}");
                findings.add(Code::UnknownTarget, at, &site.field("name"), what, hint);
            }
            return;
        }
        let kind = target.kind.value;
        let Some(object) = self.0.get(&(kind, namespace, name)) else {
            let same_kind = self.0.keys().filter(|(other, ..)| *other == kind);
            let elsewhere = same_kind.clone().filter(|(_, _, other)| *other == name).min();
            let hint = match elsewhere {
                Some((_, elsewhere, _)) => Some(format!(
                    "there is one in namespace {elsewhere}; a policy holds for objects of its own namespace"
                )),
                None => {
                    let names = same_kind.filter(|(_, ns, _)| *ns == namespace).map(|(_, _, other)| *other);
                    nearest(name, names).map(|near| format!("the nearest known name is `{near}`"))
                }
            };
            let what = format!("no {} `{namespace}/{name}`", self::kind(kind));
            findings.add(Code::UnknownTarget, at, &site.field("name"), what, hint);
            return;
        };
        let Some(section) = &target.section_name else { return };
        let sections = self.sections(*object);
        if sections.contains(section.as_str()) {
            return;
        }
        let what = format!("{} `{namespace}/{name}` has no rule `{}`", self::kind(kind), section.value);
        let hint = match nearest(&section.value, sections.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its rules: {}", sections.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        findings.add(Code::UnknownTarget, &section.at, &site.field("sectionName"), what, hint);
    }
}

impl<'a> Object<'a> {
    fn key(self) -> (TargetKind, &'a str, &'a str) {
        let (kind, meta) = match self {
            Self::VirtualService(vs) => (TargetKind::VirtualService, &vs.meta),
            Self::HttpRoute(route) => (TargetKind::HttpRoute, &route.meta),
            Self::GrpcRoute(route) => (TargetKind::GrpcRoute, &route.meta),
        };
        (kind, &meta.namespace, &meta.name)
    }
}

/// A rule without a name goes by its index, as in metrics.
fn section(index: usize, name: Option<&str>) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| index.to_string(), str::to_owned)
}

fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    // Of a short name as many letters would be another name altogether.
    nearest.filter(|&(distance, _)| distance <= 3.min(name.len() / 2)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_near_when_most_of_it_is_the_same() {
        for (name, known, expected) in [
            ("my-ap", ["my-app", "other"], Some("my-app")),
            ("carts", ["0", "cart"], Some("cart")),
            ("zz", ["0", "1"], None),
            ("a", ["0", "b"], None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
    }
}
