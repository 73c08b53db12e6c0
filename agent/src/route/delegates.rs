//! `delegate`: a rule whose details are in another VirtualService, one without hosts. Both are merged here, one level
//! deep, as Istio does before anything else (its `mergeVirtualServicesIfNeeded`).

mod merge;

use std::{fmt::Display, ops::Deref, sync::Arc};

use foldhash::{HashMap, HashSet};

use super::{
    difference::Difference,
    exports,
    findings::{Finding, Findings, Site},
    hosts,
    objects::address,
    policies::Object,
    precedence,
};
use crate::config::{
    Code, Located, Location,
    istio::{Delegate, HttpRoute, VirtualService},
};

/// The virtual services with hosts, in the order written.
#[derive(Debug)]
pub(super) struct Roots<'a> {
    pub(super) all: Vec<Root<'a>>,
    by_address: HashMap<usize, usize>,
    delegates: Delegates<'a>,
}

/// A virtual service with hosts. Its rules are put together when something is compiled of them.
#[derive(Debug)]
pub(super) struct Root<'a> {
    pub(super) written: &'a VirtualService,
    found: Option<Arc<Found>>,
    /// It, or a delegate of its, may not have been there before.
    pub(super) is_new: bool,
}

/// What was found of a virtual service, by its address; kept. None for most, which delegate nothing.
pub(super) type AllFound = HashMap<usize, Option<Arc<Found>>>;

#[derive(Debug)]
pub(super) struct Found {
    delegating: bool,
    delegates: Vec<usize>,
    findings: Vec<Finding>,
}

/// The rules of a virtual service, with those it delegates to in their place.
#[derive(Debug, Default)]
struct Merged<'a> {
    rules: Vec<MergedRule<'a>>,
    /// The delegates, those included of which no rule is left.
    used: Vec<usize>,
    findings: Vec<Finding>,
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

impl MergedRule<'_> {
    /// `spec` of where it was written; the rule is `http[index]` there.
    pub(super) fn root(&self) -> Site<'_> {
        Site::of("VirtualService", &self.origin.meta)
    }
}

impl<'a> Roots<'a> {
    /// Looks at those that came, and at all that delegate if some delegate came or went; tells what is found of each.
    pub(super) fn new(difference: &Difference<'a>, kept: &AllFound, findings: &mut Findings<'_>) -> Self {
        let of_delegates = |list: &[&VirtualService]| list.iter().any(|vs| vs.hosts.is_empty());
        let [gone, come] = [&difference.gone, &difference.come].map(|it| of_delegates(&it.virtual_services));
        let virtual_services = &difference.now.virtual_services;
        let delegates = Delegates::of(virtual_services);
        let mut roots = Self { all: Vec::new(), by_address: HashMap::default(), delegates };
        roots.all.reserve(virtual_services.len());
        roots.by_address.reserve(virtual_services.len());
        let mut used = HashSet::default();
        for &written in virtual_services.iter().filter(|vs| !vs.hosts.is_empty()) {
            let stays = |found: &&Option<Arc<Found>>| {
                !found.as_ref().is_some_and(|found| found.delegating && (gone || come))
            };
            let known = kept.get(&address(written)).filter(stays);
            let found = known.cloned().unwrap_or_else(|| roots.delegates.look(written));
            if let Some(found) = &found {
                found.findings.iter().for_each(|finding| findings.tell(finding));
                used.extend(&found.delegates);
            }
            roots.by_address.insert(address(written), roots.all.len());
            roots.all.push(Root { written, found, is_new: known.is_none() });
        }
        roots.delegates.report_unused(&used, findings);
        roots
    }

    /// By the address of what was written.
    pub(super) fn at(&self, address: usize) -> &Root<'a> {
        &self.all[self.by_address[&address]]
    }

    /// To be kept.
    pub(super) fn into_found(self) -> AllFound {
        self.all.into_iter().map(|root| (address(root.written), root.found)).collect()
    }
}
impl<'a> Root<'a> {
    /// Its rules, with those it delegates to in their place.
    pub(super) fn rules(&self, roots: &Roots<'a>) -> Vec<MergedRule<'a>> {
        roots.delegates.merged(self.written).rules
    }

    /// Addresses of the delegates: with its own they tell what it means from everything else.
    pub(super) fn delegates(&self) -> &[usize] {
        self.found.as_ref().map_or(&[], |found| &found.delegates)
    }

    /// It and its delegates, as policies name them.
    pub(super) fn objects(&self, roots: &Roots<'a>) -> Vec<Object<'a>> {
        let mut origins = vec![self.written];
        if !self.delegates().is_empty() {
            let others = self.rules(roots).into_iter().map(|rule| rule.origin);
            origins.extend(others.filter(|origin| !std::ptr::eq(*origin, self.written)));
        }
        origins.into_iter().map(Object::virtual_service).collect()
    }
}

/// Those without hosts, by namespace and name.
#[derive(Debug)]
struct Delegates<'a>(HashMap<(&'a str, &'a str), &'a VirtualService>);

impl<'a> Delegates<'a> {
    fn of(virtual_services: &[&'a VirtualService]) -> Self {
        let delegates = virtual_services.iter().filter(|vs| vs.hosts.is_empty());
        Self(delegates.map(|vs| ((vs.meta.namespace.as_str(), vs.meta.name.as_str()), *vs)).collect())
    }

    fn look(&self, root: &'a VirtualService) -> Option<Arc<Found>> {
        let delegating = root.http.iter().any(|rule| rule.delegate.is_some());
        let Merged { used: delegates, mut findings, .. } = match delegating {
            true => self.merged(root),
            false => Merged::default(),
        };
        if !precedence::for_mesh(root) {
            let what = "names no `mesh`: this is for gateways, whose traffic is not captured";
            let (site, at) = (Site::of("VirtualService", &root.meta), &root.gateways[0].at);
            findings.push(Finding::new(Code::NotHonoured, at, &site.field("gateways"), what, None));
        }
        let found = Found { delegating, delegates, findings };
        (delegating || !found.findings.is_empty()).then(|| Arc::new(found))
    }

    fn merged(&self, root: &'a VirtualService) -> Merged<'a> {
        let rules = Vec::with_capacity(root.http.len());
        let mut merged = Merged { rules, ..Merged::default() };
        for (index, route) in root.http.iter().enumerate() {
            match &route.delegate {
                None => {
                    merged.rules.push(MergedRule { route: Route::Written(route), origin: root, index });
                }
                Some(delegate) => self.merge(root, index, delegate, &mut merged),
            }
        }
        merged
    }

    /// Without a delegate that can be seen, and for every rule of it in conflict, nothing comes into being.
    fn merge(&self, root: &'a VirtualService, index: usize, delegate: &'a Delegate, merged: &mut Merged<'a>) {
        let Merged { rules, used, findings } = merged;
        let mut add = |at: &Location, site: &Site<'_>, what: &dyn Display| {
            findings.push(Finding::new(Code::Delegation, at, site, what, None));
        };
        let site = Site::of("VirtualService", &root.meta);
        let site = site.item("http", index);
        let site = site.field("delegate");
        let own = root.meta.namespace.as_str();
        let namespace = delegate.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str());
        let name = delegate.name.as_str();
        let Some(&found) = self.0.get(&(namespace, name)) else {
            let what =
                format!("no VirtualService `{namespace}/{name}` without hosts: this rule produces nothing");
            return add(&delegate.at, &site, &what);
        };
        used.push(address(found));
        if exports::reach(&found.export_to, namespace, own).is_none() {
            let what = format!(
                "`{namespace}/{name}` is not exported to namespace {own}: this rule produces nothing"
            );
            return add(&delegate.at, &site, &what);
        }
        let mut above = root.http[index].clone();
        resolve_hosts(&mut above, own);
        for (index, route) in found.http.iter().enumerate() {
            let site = Site::of("VirtualService", &found.meta);
            let site = site.item("http", index);
            if let Some(again) = &route.delegate {
                let what = "a delegate cannot delegate again: this rule produces nothing";
                add(&again.at, &site.field("delegate"), &what);
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
                    add(&route.matches[block].at, &site.item("match", block), &what);
                }
            }
        }
    }

    fn report_unused(&self, used: &HashSet<usize>, findings: &mut Findings<'_>) {
        let mut unused: Vec<_> =
            self.0.values().copied().filter(|vs| !used.contains(&address(*vs))).collect();
        unused.sort_by_key(|vs| &vs.meta.name.at);
        for delegate in unused {
            let what = "has no hosts, and no rule delegates to it: it has no effect";
            let site = Site::of("VirtualService", &delegate.meta);
            findings.add(Code::Delegation, &delegate.meta.name.at, &site, what, None);
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
