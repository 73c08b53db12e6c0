//! What a route's rule does with its requests: filters and backends.

use http::HeaderValue;

use super::attach::{Route, Spec};
use crate::{
    config::{
        Code,
        gateway::{Filter, FilterKind, HeaderModifier, MirrorFilter, MirrorShare, PathModifier, UrlRewrite},
    },
    route::{
        Action, Destination, Unmirrored,
        alter::{self, Altered, Rewritten, Values},
        clusters::Place,
        findings::Site,
        mirrors::{Meaning, Mirrored, Primary},
        rules::Compiler,
        share::Share,
    },
};

impl<'a> Compiler<'a, '_> {
    pub(super) fn route_meaning(
        &mut self,
        route: &Route<'a>,
        index: usize,
        listener: u16,
        site: &Site<'_>,
    ) -> Meaning<'a> {
        let mut meaning = Meaning { timeout: route.timeout(index), ..Meaning::default() };
        let (mut modifier, mut authority) = (None, None);
        let (mut redirect, mut unresolved) = (None, false);
        for (number, filter) in route.filters(index).iter().enumerate() {
            let site = site.item("filters", number);
            match &filter.kind {
                FilterKind::RequestMirror(mirror) => match self.mirror(route, mirror, listener, &site) {
                    Some(found) => {
                        meaning.mirrors.extend(found.map(|f| Mirrored::new(f, &mirror.at)));
                    }
                    None => unresolved = true,
                },
                FilterKind::RequestHeaderModifier(written) => modifier = Some(written),
                FilterKind::UrlRewrite(UrlRewrite { hostname, path }) => {
                    authority = hostname.as_ref().and_then(|host| HeaderValue::from_str(&host.value).ok());
                    meaning.rewritten = path.as_ref().map(|path| match &path.value {
                        PathModifier::ReplaceFullPath(with) => Rewritten::Whole(with.as_str().into()),
                        PathModifier::ReplacePrefixMatch(with) => Rewritten::Elements(with.as_str().into()),
                    });
                }
                FilterKind::RequestRedirect(_) => redirect = Some(&filter.at),
                // A copy has no response of its own to change.
                FilterKind::ResponseHeaderModifier(_) => {}
                FilterKind::Other(kind) => self.unsupported(kind, filter, &site),
            }
        }
        // Istio: a mirror that does not resolve costs an HTTPRoute that mirror, a GRPCRoute the whole rule.
        if unresolved && matches!(route.spec, Spec::Grpc(_)) {
            meaning.mirrors.clear();
        }
        if redirect.is_some() {
            meaning.action = Action::Redirect;
        } else {
            meaning.primaries = self.backends(route, index, listener, modifier, authority.as_ref(), site);
        }
        if !meaning.mirrors.is_empty() {
            if let Some(at) = redirect {
                let what = "RequestRedirect answers by itself, so this rule never mirrors";
                self.findings.add(Code::MirrorsNothing, at, &site.field("filters"), what, None);
                meaning.unmirrored = Some(Unmirrored::Answered);
            } else if meaning.primaries.is_empty() {
                let what =
                    "no backend of this rule is known: its requests are answered with 500 and not mirrored";
                self.findings.add(Code::UnknownPrimary, rule_at(route, index), site, what, None);
                meaning.unmirrored = Some(Unmirrored::NoPrimary);
            }
        }
        meaning
    }

    /// The outer None: it does not resolve. The inner: its share is nothing.
    #[allow(clippy::option_option, reason = "the caller tells both apart")]
    fn mirror(
        &mut self,
        route: &Route<'a>,
        mirror: &MirrorFilter,
        listener: u16,
        site: &Site<'_>,
    ) -> Option<Option<(Place<'a>, Share)>> {
        let site = site.field("requestMirror");
        let place = self.backend(route, &mirror.backend, listener, &site.field("backendRef"))?;
        self.warn_if_empty(place, &mirror.backend.at, &site);
        let Some(written) = &mirror.share else { return Some(Some((place, Share::ALL))) };
        // A fraction becomes Istio's floating percentage, with its truncation.
        let share = Share::of_percent(match written.value {
            MirrorShare::Percent(percent) => f64::from(percent),
            MirrorShare::Fraction { numerator, denominator } => {
                100.0 * f64::from(numerator) / f64::from(denominator.max(1))
            }
        });
        if share == Share::NONE {
            let what = "comes to nothing: nothing is mirrored";
            self.findings.add(Code::MirrorsNothing, &written.at, &site, what, None);
            return Some(None);
        }
        Some(Some((place, share)))
    }

    fn backends(
        &mut self,
        route: &Route<'a>,
        index: usize,
        listener: u16,
        modifier: Option<&HeaderModifier>,
        authority: Option<&HeaderValue>,
        site: &Site<'_>,
    ) -> Vec<Primary<'a>> {
        let backends = route.backends(index);
        let several = backends.len() > 1;
        let mut primaries = Vec::with_capacity(backends.len());
        for (number, backend) in backends.iter().enumerate() {
            let weight = backend.weight.as_ref().map_or(1, |weight| weight.value);
            let of_backend = site.item("backendRefs", number);
            let own = self.backend_filters(&backend.filters, &of_backend);
            let place = self.backend(route, &backend.target, listener, &of_backend);
            let Some(place) = place.filter(|_| weight > 0) else { continue };
            let of_rule = self.modifier(modifier, site);
            let of_backend = self.modifier(own, &of_backend);
            primaries.push(Primary {
                place,
                destination: Destination::of(place, if several { weight.into() } else { 100 }),
                authority: authority.cloned().or(of_rule.authority).or(of_backend.authority),
                headers: alter::together(of_rule.headers, of_backend.headers, several),
            });
        }
        primaries
    }

    fn backend_filters<'f>(&mut self, filters: &'f [Filter], site: &Site<'_>) -> Option<&'f HeaderModifier> {
        let mut modifier = None;
        for (number, filter) in filters.iter().enumerate() {
            let site = site.item("filters", number);
            match &filter.kind {
                FilterKind::RequestHeaderModifier(written) => modifier = Some(written),
                FilterKind::ResponseHeaderModifier(_) => {}
                // Nor does Istio: "unsupported filter type".
                FilterKind::RequestMirror(_) => self.unsupported("RequestMirror of a backend", filter, &site),
                FilterKind::UrlRewrite(_) => self.unsupported("URLRewrite of a backend", filter, &site),
                FilterKind::RequestRedirect(_) => {
                    self.unsupported("RequestRedirect of a backend", filter, &site);
                }
                FilterKind::Other(kind) => self.unsupported(kind, filter, &site),
            }
        }
        modifier
    }

    fn modifier(&mut self, written: Option<&HeaderModifier>, site: &Site<'_>) -> Altered {
        let Some(HeaderModifier { set, add, remove }) = written else { return Altered::default() };
        let site = site.field("filters");
        let site = site.field("requestHeaderModifier");
        alter::operations_of(set, add, remove, Values::Literal, &site, &mut self.findings)
    }

    fn unsupported(&mut self, kind: &str, filter: &Filter, site: &Site<'_>) {
        let what = format!("{kind} is not honoured: requests are mirrored as if it were not there");
        self.findings.add(Code::NotHonoured, &filter.at, site, what, None);
    }
}

fn rule_at<'a>(route: &Route<'a>, index: usize) -> &'a crate::config::Location {
    match route.spec {
        Spec::Http(route) => &route.rules[index].at,
        Spec::Grpc(route) => &route.rules[index].at,
    }
}
