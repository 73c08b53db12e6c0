//! What a `targetRefs` entry may name, and what was likely meant by one that names nothing.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    config::{
        Code,
        shadow_policy::{TargetKind, TargetRef},
    },
    route::{
        findings::{Findings, Site},
        objects::Objects,
    },
};

/// Names of rules by kind, namespace and name of their object.
pub(super) struct Known<'a>(BTreeMap<(TargetKind, &'a str, &'a str), BTreeSet<String>>);

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
        let mut known = BTreeMap::<_, BTreeSet<String>>::new();
        let mut add = |kind, meta: &'a crate::config::Meta, names: Vec<Option<&str>>| {
            let sections: BTreeSet<_> =
                names.into_iter().enumerate().map(|(index, name)| section(index, name)).collect();
            known.insert((kind, meta.namespace.as_str(), meta.name.as_str()), sections);
        };
        for vs in &objects.virtual_services {
            add(
                TargetKind::VirtualService,
                &vs.meta,
                vs.http.iter().map(|rule| rule.name.as_deref()).collect(),
            );
        }
        for route in &objects.http_routes {
            add(TargetKind::HttpRoute, &route.meta, route.rules.iter().map(|r| r.name.as_deref()).collect());
        }
        for route in &objects.grpc_routes {
            add(TargetKind::GrpcRoute, &route.meta, route.rules.iter().map(|r| r.name.as_deref()).collect());
        }
        // A rule of a delegate has a name of its own where it is put together: `root-leaf`.
        for root in &objects.virtual_services {
            for rule in root.http.iter().filter(|rule| rule.delegate.is_some()) {
                let (Some(delegate), Some(name)) = (&rule.delegate, &rule.name) else { continue };
                let namespace =
                    delegate.namespace.as_ref().map_or(root.meta.namespace.as_str(), |ns| ns.as_str());
                let found = objects.virtual_services.iter().find(|vs| {
                    vs.hosts.is_empty()
                        && vs.meta.namespace == namespace
                        && vs.meta.name.value == delegate.name.value
                });
                let leaves = found.iter().flat_map(|vs| &vs.http).filter_map(|leaf| leaf.name.as_ref());
                let names: Vec<_> = leaves.map(|leaf| format!("{name}-{leaf}")).collect();
                let key = (TargetKind::VirtualService, root.meta.namespace.as_str(), root.meta.name.as_str());
                known.entry(key).or_default().extend(names);
            }
        }
        Self(known)
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
        let Some(sections) = self.0.get(&(kind, namespace, name)) else {
            let same_kind = self.0.keys().filter(|(other, ..)| *other == kind);
            let hint = match same_kind.clone().find(|(_, _, other)| *other == name) {
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
        let Some(section) =
            target.section_name.as_ref().filter(|section| !sections.contains(section.as_str()))
        else {
            return;
        };
        let what = format!("{} `{namespace}/{name}` has no rule `{}`", self::kind(kind), section.value);
        let hint = match nearest(&section.value, sections.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("its rules: {}", sections.iter().cloned().collect::<Vec<_>>().join(", ")),
        };
        findings.add(Code::UnknownTarget, &section.at, &site.field("sectionName"), what, hint);
    }
}

/// A rule without a name goes by its index, as in metrics.
fn section(index: usize, name: Option<&str>) -> String {
    name.filter(|name| !name.is_empty()).map_or_else(|| index.to_string(), str::to_owned)
}

fn nearest<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let nearest = known.map(|known| (strsim::damerau_levenshtein(name, known), known)).min();
    nearest.filter(|&(distance, _)| distance <= 3).map(|(_, known)| known)
}
