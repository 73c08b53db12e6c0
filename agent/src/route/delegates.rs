//! `delegate`: a rule whose details are in another VirtualService, one without hosts. Both are merged here, one level
//! deep, as Istio does before anything else (its `mergeVirtualServicesIfNeeded`).

mod merge;

use std::{iter, ops::Deref};

use foldhash::HashMap;

use super::{
    exports,
    findings::{Findings, Site},
    hosts,
    objects::address,
    policies::Object,
};
use crate::config::{
    Code, Located,
    istio::{Delegate, HttpRoute, VirtualService},
};

/// A virtual service with hosts, and its rules with those it delegates to in their place.
#[derive(Debug)]
pub(super) struct Merged<'a> {
    pub(super) written: &'a VirtualService,
    pub(super) rules: Vec<MergedRule<'a>>,
}

#[derive(Debug)]
pub(super) struct MergedRule<'a> {
    pub(super) route: Route<'a>,
    /// Where it was written: in the virtual service itself or in its delegate.
    pub(super) origin: &'a VirtualService,
    /// Its place among `origin`'s rules.
    pub(super) index: usize,
}

/// A rule as it was written, or as it was made of two.
#[derive(Debug)]
pub(super) enum Route<'a> {
    Written(&'a HttpRoute),
    Merged(Box<HttpRoute>),
}

impl Deref for Route<'_> {
    type Target = HttpRoute;

    fn deref(&self) -> &HttpRoute {
        match self {
            Self::Written(route) => route,
            Self::Merged(route) => route,
        }
    }
}

impl Merged<'_> {
    /// Addresses of the delegates its rules come from: with its own they tell it from every other one.
    pub(super) fn delegates(&self) -> Vec<usize> {
        let origins = self.rules.iter().map(|rule| rule.origin);
        origins.filter(|origin| !std::ptr::eq(*origin, self.written)).map(address).collect()
    }
}

impl<'a> Merged<'a> {
    /// Its own and its delegates', as policies name them.
    pub(super) fn objects(&self) -> impl Iterator<Item = Object<'a>> {
        let delegates = self.rules.iter().map(|rule| rule.origin);
        let delegates = delegates.filter(|origin| !std::ptr::eq(*origin, self.written));
        iter::once(self.written).chain(delegates).map(Object::virtual_service)
    }
}

impl MergedRule<'_> {
    /// `spec` of where it was written; the rule is `http[index]` there.
    pub(super) fn root(&self) -> Site<'_> {
        Site::of("VirtualService", &self.origin.meta)
    }
}

/// Virtual services in the order written, delegates left out.
pub(super) fn merge<'a>(
    virtual_services: &[&'a VirtualService],
    findings: &mut Findings<'_>,
) -> Vec<Merged<'a>> {
    let (roots, delegates): (Vec<_>, Vec<_>) =
        virtual_services.iter().copied().partition(|vs: &&VirtualService| !vs.hosts.is_empty());
    let delegates = delegates.into_iter().map(|vs| ((vs.meta.namespace.as_str(), vs.meta.name.as_str()), vs));
    let mut delegates = Delegates { by_name: delegates.collect(), used: Vec::new(), findings };
    let merged = roots.into_iter().map(|root| delegates.merged(root)).collect();
    delegates.report_unused();
    merged
}

struct Delegates<'a, 'f, 'r> {
    by_name: HashMap<(&'a str, &'a str), &'a VirtualService>,
    used: Vec<&'a VirtualService>,
    findings: &'f mut Findings<'r>,
}

impl<'a> Delegates<'a, '_, '_> {
    fn merged(&mut self, root: &'a VirtualService) -> Merged<'a> {
        let mut rules = Vec::with_capacity(root.http.len());
        for (index, route) in root.http.iter().enumerate() {
            match &route.delegate {
                None => rules.push(MergedRule { route: Route::Written(route), origin: root, index }),
                Some(delegate) => self.merge(root, index, delegate, &mut rules),
            }
        }
        Merged { written: root, rules }
    }

    /// Without a delegate that can be seen, and for every rule of it in conflict, nothing comes into being.
    fn merge(
        &mut self,
        root: &'a VirtualService,
        index: usize,
        delegate: &'a Delegate,
        rules: &mut Vec<MergedRule<'a>>,
    ) {
        let site = Site::of("VirtualService", &root.meta);
        let site = site.item("http", index);
        let site = site.field("delegate");
        let own = root.meta.namespace.as_str();
        let namespace = delegate.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str());
        let Some(&found) = self.by_name.get(&(namespace, delegate.name.as_str())) else {
            let what = format!(
                "no VirtualService `{namespace}/{}` without hosts: this rule produces nothing",
                delegate.name.value
            );
            self.findings.add(Code::Delegation, &delegate.at, &site, what, None);
            return;
        };
        self.used.push(found);
        if exports::reach(&found.export_to, namespace, own).is_none() {
            let what = format!(
                "`{namespace}/{}` is not exported to namespace {own}: this rule produces nothing",
                delegate.name.value
            );
            self.findings.add(Code::Delegation, &delegate.at, &site, what, None);
            return;
        }
        let mut above = root.http[index].clone();
        resolve_hosts(&mut above, own);
        for (index, route) in found.http.iter().enumerate() {
            let site = Site::of("VirtualService", &found.meta);
            let site = site.item("http", index);
            if let Some(again) = &route.delegate {
                let what = "a delegate cannot delegate again: this rule produces nothing";
                self.findings.add(Code::Delegation, &again.at, &site.field("delegate"), what, None);
                continue;
            }
            let mut below = route.clone();
            resolve_hosts(&mut below, namespace);
            match merge::rule(&above, below) {
                Ok(merged) => {
                    rules.push(MergedRule { route: Route::Merged(Box::new(merged)), origin: found, index });
                }
                Err(block) => {
                    let what = format!(
                        "no match of {} covers it, so the whole rule is dropped; see {}",
                        root.meta.qualified(),
                        above.at
                    );
                    let at = &route.matches[block].at;
                    self.findings.add(Code::Delegation, at, &site.item("match", block), what, None);
                }
            }
        }
    }

    fn report_unused(&mut self) {
        let unused = |vs: &&&VirtualService| !self.used.iter().any(|used| std::ptr::eq(*used, **vs));
        let mut unused: Vec<_> = self.by_name.values().filter(unused).copied().collect();
        unused.sort_by_key(|vs| &vs.meta.name.at);
        for delegate in unused {
            let what = "has no hosts, and no rule delegates to it: it has no effect";
            let site = Site::of("VirtualService", &delegate.meta);
            self.findings.add(Code::Delegation, &delegate.meta.name.at, &site, what, None);
        }
    }
}

/// Short names belong to the namespace of the object they were written in.
fn resolve_hosts(route: &mut HttpRoute, namespace: &str) {
    let resolve = |host: &mut Located<String>| host.value = hosts::resolve(&host.value, namespace);
    route.route.iter_mut().for_each(|to| resolve(&mut to.destination.host));
    route.mirror.iter_mut().for_each(|mirror| resolve(&mut mirror.host));
    route.mirrors.iter_mut().flat_map(|m| &mut m.destination).for_each(|mirror| resolve(&mut mirror.host));
}
