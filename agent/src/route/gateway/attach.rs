//! Which routes are attached to which service.

use std::{collections::BTreeMap, time::Duration};

use foldhash::HashMap;

use crate::{
    config::{
        Code, Meta,
        gateway::{BackendRef, Filter, FilterKind, GrpcRoute, HttpRoute, ParentRef},
    },
    route::{
        exports::Reach,
        findings::{Findings, Hint, Site},
        hosts,
        objects::{Objects, address},
        policies::Object,
        precedence::Rank,
        services::{Registry, Service},
    },
};

/// A route and the parent it is attached by.
#[derive(Clone, Copy, Debug)]
pub(in crate::route) struct Route<'a> {
    pub(super) spec: Spec<'a>,
    parent: &'a ParentRef,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Spec<'a> {
    Http(&'a HttpRoute),
    Grpc(&'a GrpcRoute),
}

/// The routes of one service, the oldest first.
#[derive(Debug, Default)]
pub(in crate::route) struct Attached<'a> {
    /// Of the service's own namespace: for every client.
    producers: Vec<Route<'a>>,
    /// By their namespace: for its clients.
    consumers: BTreeMap<&'a str, Vec<Route<'a>>>,
}

/// By the service's host.
#[derive(Debug, Default)]
pub(in crate::route) struct Attachments<'a>(HashMap<String, Attached<'a>>);

impl<'a> Attachments<'a> {
    pub(in crate::route) fn new(
        objects: &Objects<'a>,
        registry: &Registry,
        findings: &mut Findings<'_>,
    ) -> Self {
        let http = objects.http_routes.iter().map(|&r| (Spec::Http(r), &r.parents, &r.hostnames));
        let grpc = objects.grpc_routes.iter().map(|&r| (Spec::Grpc(r), &r.parents, &r.hostnames));
        let mut routes: Vec<_> = http.chain(grpc).collect();
        routes.sort_by_key(|(spec, ..)| {
            let meta = spec.meta();
            (&meta.created, &meta.namespace, &meta.name.value)
        });
        let mut attachments = Self::default();
        for (spec, parents, hostnames) in routes {
            let site = Site::of(spec.kind(), spec.meta());
            for (index, parent) in parents.iter().enumerate() {
                let attached = attachments.attach(
                    Route { spec, parent },
                    registry,
                    &site.item("parentRefs", index),
                    findings,
                );
                if let (true, Some(hostname)) = (attached, hostnames.first()) {
                    let what = "have no effect for a route attached to a Service, whose own names hold";
                    findings.add(Code::NotHonoured, &hostname.at, &site.field("hostnames"), what, None);
                }
            }
        }
        attachments
    }

    pub(in crate::route) fn of(&self, service: &Service) -> Option<&Attached<'a>> {
        self.0.get(&*service.host)
    }

    fn attach(
        &mut self,
        route: Route<'a>,
        registry: &Registry,
        site: &Site<'_>,
        findings: &mut Findings<'_>,
    ) -> bool {
        let ParentRef { at, group, kind, namespace, name, .. } = route.parent;
        let own = route.meta().namespace.as_str();
        let namespace = namespace.as_deref().unwrap_or(own);
        if kind != "Service" || !matches!(group.as_str(), "" | "core") {
            let what = match kind.as_str() {
                "Gateway" => {
                    "is a Gateway, whose traffic is not captured: nothing is mirrored for this parent".into()
                }
                kind => format!("a {kind} is no parent of mesh traffic: nothing is mirrored for it"),
            };
            let hint = "attach the route to the Service whose requests are to be mirrored: kind: Service, group: \"\"";
            findings.add(Code::NotHonoured, at, site, what, hint.to_owned());
            return false;
        }
        let host = hosts::resolve(&name.value, namespace);
        let Some(service) = registry.get(&host) else {
            let what = format!("no Service `{namespace}/{}`", name.value);
            let hint = Some(Hint::Nearest(host));
            findings.add_hinted(Code::UnmatchedHost, &name.at, &site.field("name"), what, hint);
            return false;
        };
        if let Some(port) = route.parent.port.as_ref().filter(|port| service.port(port.value).is_none()) {
            let what = format!("`{host}` has no port {}", port.value);
            findings.add(Code::Unreachable, &port.at, &site.field("port"), what, None);
        }
        let attached = self.0.entry(host).or_default();
        match namespace == own {
            true => attached.producers.push(route),
            false => attached.consumers.entry(own).or_default().push(route),
        }
        true
    }
}

impl<'a> Attached<'a> {
    pub(in crate::route) fn producers(&self) -> Vec<Route<'a>> {
        self.producers.clone()
    }

    pub(in crate::route) fn consumers(&self) -> impl Iterator<Item = (&'a str, Vec<Route<'a>>)> {
        self.consumers.iter().map(|(&namespace, routes)| (namespace, routes.clone()))
    }

    /// What tells the routes, and who they are for, from all others.
    pub(in crate::route) fn identity(&self) -> Vec<usize> {
        let consumers = self.consumers.values().flatten();
        self.producers.iter().chain(consumers).flat_map(Route::identity).collect()
    }

    /// The oldest producer's, as that of the virtual service Istio would make of them; None without any.
    pub(in crate::route) fn rank(&self) -> Option<Rank<'a>> {
        let meta = self.producers.first()?.meta();
        Some((Reach::Public, meta.created.as_deref(), meta.name.as_str(), meta.namespace.as_str()))
    }
}

/// A virtual service that is older speaks for the service.
pub(in crate::route) fn report_shadowed(route: &Route<'_>, winner: &str, findings: &mut Findings<'_>) {
    let site = Site::of(route.kind(), route.meta());
    let what = format!("{winner} already speaks for this service");
    let hint = "a VirtualService and the routes of a service are not merged: the older speaks, then by name";
    findings.add(Code::Shadowed, &route.parent.at, &site.field("parentRefs"), what, hint.to_owned());
}

impl<'a> Spec<'a> {
    fn meta(self) -> &'a Meta {
        match self {
            Self::Http(route) => &route.meta,
            Self::Grpc(route) => &route.meta,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Http(_) => "HTTPRoute",
            Self::Grpc(_) => "GRPCRoute",
        }
    }
}

impl<'a> Route<'a> {
    pub(in crate::route) fn meta(&self) -> &'a Meta {
        self.spec.meta()
    }

    pub(in crate::route) fn kind(&self) -> &'static str {
        self.spec.kind()
    }

    /// What tells it from every other route and parent.
    pub(in crate::route) fn identity(&self) -> [usize; 2] {
        [address(self.meta()), address(self.parent)]
    }

    /// A parent without a port means all of them.
    pub(super) fn is_for(&self, listener: u16) -> bool {
        self.parent.port.as_ref().is_none_or(|port| port.value == listener)
    }

    pub(super) fn rules(&self) -> usize {
        match self.spec {
            Spec::Http(route) => route.rules.len(),
            Spec::Grpc(route) => route.rules.len(),
        }
    }

    /// Whether any of its rules is to mirror.
    pub(super) fn mirrors(&self) -> bool {
        let mut filters = (0..self.rules()).flat_map(|index| self.filters(index));
        filters.any(|filter| matches!(filter.kind, FilterKind::RequestMirror(_)))
    }

    pub(super) fn rule_name(&self, index: usize) -> Option<&'a str> {
        match self.spec {
            Spec::Http(route) => route.rules[index].name.as_deref(),
            Spec::Grpc(route) => route.rules[index].name.as_deref(),
        }
    }

    /// As policies name it.
    pub(in crate::route) fn object(&self) -> Object<'a> {
        let Meta { namespace, name, .. } = self.meta();
        Object { kind: self.kind(), namespace, name }
    }

    /// A copy is one request to one backend: the shorter of both holds. Zero means none.
    pub(super) fn timeout(&self, index: usize) -> Option<Duration> {
        let Spec::Http(route) = self.spec else { return None };
        let timeouts = route.rules[index].timeouts.as_ref()?;
        let written = [&timeouts.request, &timeouts.backend_request].into_iter().flatten();
        written.map(|timeout| timeout.value).filter(|timeout| !timeout.is_zero()).min()
    }

    pub(super) fn filters(&self, index: usize) -> &'a [Filter] {
        match self.spec {
            Spec::Http(route) => &route.rules[index].filters,
            Spec::Grpc(route) => &route.rules[index].filters,
        }
    }

    pub(super) fn backends(&self, index: usize) -> &'a [BackendRef] {
        match self.spec {
            Spec::Http(route) => &route.rules[index].backends,
            Spec::Grpc(route) => &route.rules[index].backends,
        }
    }
}
