//! Which ShadowPolicies hold for a rule, and what they make together. A policy holds for objects of its own namespace.
//! The most specific one wins, part by part: of the rule, of its route, of the namespace. Among equals the older wins,
//! then the first by name, as policies of the Gateway API are attached.

mod parts;
mod targets;

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use http::HeaderName;

use super::{
    Policy,
    findings::{Findings, Site},
    objects::{Objects, address},
};
use crate::{
    config::{
        Code, Meta,
        istio::VirtualService,
        shadow_policy::{ShadowPolicy, TargetKind},
    },
    record::Accounts,
};
use parts::PARTS;
use targets::Known;

/// An object with rules: a VirtualService, HTTPRoute or GRPCRoute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Object<'a> {
    pub(super) kind: &'a str,
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Object<'a> {
    pub(super) fn virtual_service(written: &'a VirtualService) -> Self {
        let Meta { namespace, name, .. } = &written.meta;
        Self { kind: "VirtualService", namespace, name }
    }
}

/// What a policy holds for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Target<'a> {
    /// None: the whole namespace.
    object: Option<(&'a str, &'a str)>,
    namespace: &'a str,
    /// One rule only.
    section: Option<&'a str>,
}

/// Kind and name, or None for the whole namespace; and the namespace.
type Held<'a> = (Option<(&'a str, &'a str)>, &'a str);

#[derive(Debug, Default)]
pub(super) struct Policies<'a> {
    /// The strongest first.
    written: Vec<(&'a ShadowPolicy, Policy)>,
    by_target: BTreeMap<Target<'a>, Vec<usize>>,
    /// Whatever holds for some rule of an object, or for all of a namespace.
    by_object: HashMap<Held<'a>, Vec<usize>>,
    /// By the policies it is made of.
    made: RefCell<HashMap<Vec<usize>, Arc<Policy>>>,
}

impl<'a> Policies<'a> {
    /// Reports targets that do not exist, and what of a policy an equally specific one overrules.
    pub(super) fn new(objects: &Objects<'a>, accounts: &Accounts, findings: &mut Findings<'_>) -> Self {
        let mut sorted = objects.shadow_policies.clone();
        sorted.sort_by_key(|policy| {
            let meta = &policy.meta;
            (&meta.created, meta.namespace.as_str(), meta.name.as_str())
        });
        let mut policies = Self::default();
        let known = (!sorted.is_empty()).then(|| Known::new(objects));
        for written in sorted {
            let index = policies.written.len();
            policies.written.push((written, parts::read(written, accounts, findings)));
            for (number, target) in written.targets.iter().enumerate() {
                let site = Site::of("ShadowPolicy", &written.meta);
                let site = site.item("targetRefs", number);
                let own = written.meta.namespace.as_str();
                known.as_ref().inspect(|known| known.check(target, own, &site, findings));
                let object = match target.kind.value {
                    TargetKind::Namespace if target.name.value != own => continue,
                    TargetKind::Namespace => None,
                    kind => Some((targets::kind(kind), target.name.as_str())),
                };
                let section = target.section_name.as_ref().map(|section| section.as_str());
                policies.by_object.entry((object, own)).or_default().push(index);
                let held = policies.by_target.entry(Target { object, namespace: own, section }).or_default();
                if !held.contains(&index) {
                    held.push(index);
                }
            }
        }
        policies.report_overruled(findings);
        policies
    }

    /// What holds for a rule, under any of its names, of a route that was put together from these objects. The one place
    /// where policies are looked up.
    pub(super) fn of(&self, objects: &[Object<'_>], rule: &[&str]) -> Option<Arc<Policy>> {
        if self.by_target.is_empty() {
            return None;
        }
        let of_object = |section| {
            let target = move |object: &Object<'_>| self.held(object.namespace, Some(*object), section);
            objects.iter().flat_map(target)
        };
        let of_rule = rule.iter().flat_map(|name| of_object(Some(*name))).collect();
        let of_route = of_object(None).collect();
        let of_namespace =
            objects.iter().flat_map(|object| self.held(object.namespace, None, None)).collect();
        let mut chosen = Vec::new();
        for mut level in [of_rule, of_route, of_namespace] as [Vec<usize>; 3] {
            level.sort_unstable();
            level.retain(|index| !chosen.contains(index));
            level.dedup();
            chosen.extend(level);
        }
        if chosen.is_empty() {
            return None;
        }
        let mut made = self.made.borrow_mut();
        let merged = made.entry(chosen).or_insert_with_key(|chosen| {
            Arc::new(parts::merge(chosen.iter().map(|&index| &self.written[index].1)))
        });
        Some(Arc::clone(merged))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_object.is_empty()
    }

    /// Addresses of the policies that hold for some rule of an object: where these are the same, so is what [`of`] finds.
    ///
    /// [`of`]: Policies::of
    pub(super) fn touching(&self, object: Object<'_>) -> Vec<usize> {
        if self.by_object.is_empty() {
            return Vec::new();
        }
        let targets = [Some((object.kind, object.name)), None];
        let held = targets.iter().filter_map(|target| self.by_object.get(&(*target, object.namespace)));
        held.flatten().map(|&index| address(self.written[index].0)).collect()
    }

    /// Every marker that some policy names.
    pub(super) fn markers(&self) -> Vec<HeaderName> {
        let markers = self.written.iter().filter_map(|(_, policy)| policy.marker.as_ref()?.header.clone());
        let mut markers: Vec<_> = markers.collect();
        markers.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
        markers.dedup();
        markers
    }

    fn held(&self, namespace: &str, object: Option<Object<'_>>, section: Option<&str>) -> Vec<usize> {
        let object = object.map(|object| (object.kind, object.name));
        self.by_target.get(&Target { object, namespace, section }).cloned().unwrap_or_default()
    }

    fn report_overruled(&self, findings: &mut Findings<'_>) {
        for held in self.by_target.values() {
            for (place, &loser) in held.iter().enumerate() {
                let (written, parts) = &self.written[loser];
                for (field, has) in PARTS {
                    let stronger = held[..place].iter().map(|&winner| &self.written[winner]);
                    let Some((winner, _)) =
                        stronger.into_iter().find(|(_, other)| has(other)).filter(|_| has(parts))
                    else {
                        continue;
                    };
                    let what = format!(
                        "ShadowPolicy {} already says this for the same target and is {}",
                        winner.meta.qualified(),
                        if winner.meta.created == written.meta.created {
                            "the first by name"
                        } else {
                            "older"
                        },
                    );
                    let hint = "make one policy of both, or attach one of them more specifically";
                    let site = Site::of("ShadowPolicy", &written.meta);
                    let at = &written.meta.name.at;
                    findings.add(Code::Overruled, at, &site.field(field), what, hint.to_owned());
                }
            }
        }
    }
}
