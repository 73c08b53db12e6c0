//! References from a route to the services it names, and the words in which Gateway API reports those that fail.

use crate::{
    config::{Code, Located, Location, gateway::ObjectRef, istio},
    route::{
        clusters::Place,
        findings::{Hint, Site},
        hosts,
        known::Known,
        rules::Compiler,
    },
};

use super::attach::Route;

/// The reasons of a route's condition `ResolvedRefs=False`.
const NOT_FOUND: &str = "BackendNotFound";
const NOT_PERMITTED: &str = "RefNotPermitted";
const INVALID_KIND: &str = "InvalidKind";

impl<'a> Compiler<'a, '_> {
    /// The place a reference names; otherwise it is reported, and its requests or copies are lost.
    pub(super) fn backend(
        &mut self,
        route: &Route<'a>,
        reference: &ObjectRef,
        listener: u16,
        site: &Site<'_>,
    ) -> Option<Place<'a>> {
        let own = route.meta().namespace.as_str();
        let namespace = reference.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str());
        let host = match (reference.group.as_str(), reference.kind.as_str()) {
            ("" | "core", "Service") => hosts::resolve(&reference.name.value, namespace),
            // Istio's extension: any host of its registry, in any namespace.
            ("networking.istio.io", "Hostname") => reference.name.value.clone(),
            (_, kind) => {
                let what = format!("a {kind} is no backend here");
                self.unresolved(INVALID_KIND, &reference.at, site, &what, None);
                return None;
            }
        };
        if namespace != own
            && reference.kind == "Service"
            && !permitted(&self.clusters.known, route, reference, namespace)
        {
            let what = format!(
                "no ReferenceGrant of namespace {namespace} lets a {} of {own} refer to it",
                route.kind()
            );
            self.unresolved(NOT_PERMITTED, &reference.at, site, &what, None);
            return None;
        }
        let destination = istio::Destination {
            at: reference.at.clone(),
            host: Located { value: host, at: reference.name.at.clone() },
            subset: None,
            port: reference.port.clone(),
        };
        match self.clusters.locate(&destination, own, listener) {
            Ok(place) => Some(place),
            Err(fault) => {
                self.unresolved(NOT_FOUND, &fault.at, site, &fault.what, fault.hint);
                None
            }
        }
    }

    fn unresolved(&mut self, reason: &str, at: &Location, site: &Site<'_>, what: &str, hint: Option<Hint>) {
        let what = format!("ResolvedRefs=False ({reason}): {what}");
        self.findings.add_hinted(Code::UnresolvedRef, at, site, what, hint);
    }
}

fn permitted(known: &Known<'_>, route: &Route<'_>, reference: &ObjectRef, namespace: &str) -> bool {
    let own = route.meta().namespace.as_str();
    known.grants(namespace).any(|grant| {
        let from = grant.from.iter().any(|from| {
            from.group == "gateway.networking.k8s.io" && from.kind == route.kind() && from.namespace == own
        });
        let to = grant.to.iter().any(|to| {
            to.group == reference.group
                && to.kind == reference.kind
                && to.name.as_ref().is_none_or(|name| *name == reference.name.value)
        });
        from && to
    })
}
