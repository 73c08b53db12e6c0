//! What a rule mirrors, what keeps it from mirroring, and where its requests go.

use std::{sync::Arc, time::Duration};

use super::{
    Action, Destination, Policy, Unmirrored,
    alter::{self, Rewritten},
    changes::HeaderChanges,
    clusters::Place,
    conditions,
    findings::Site,
    matcher::Text,
    rules::Compiler,
    share::{Share, Written},
};
use crate::config::{
    Code, Location,
    istio::{self, CorsPolicy, HttpRoute, UnmatchedPreflights},
};
use http::HeaderValue;

/// A rule but for its matches.
#[derive(Debug, Default)]
pub(super) struct Meaning<'a> {
    pub(super) action: Action,
    pub(super) mirrors: Vec<Mirrored<'a>>,
    pub(super) primaries: Vec<Primary<'a>>,
    pub(super) rewritten: Option<Rewritten>,
    pub(super) cors: Option<Cors>,
    pub(super) unmirrored: Option<Unmirrored>,
    /// The rule's own; zero means none, as in Istio.
    pub(super) timeout: Option<Duration>,
    pub(super) policy: Option<Arc<Policy>>,
}

/// A mirror that can get copies.
#[derive(Debug)]
pub(super) struct Mirrored<'a> {
    pub(super) place: Place<'a>,
    pub(super) share: Share,
    pub(super) at: Location,
}

/// A destination of the rule that exists, and what is changed on the way there, the path aside.
#[derive(Debug)]
pub(super) struct Primary<'a> {
    pub(super) place: Place<'a>,
    pub(super) destination: Destination,
    pub(super) authority: Option<HeaderValue>,
    pub(super) headers: Vec<HeaderChanges>,
}

#[derive(Debug)]
pub(super) struct Cors {
    pub(super) origins: Vec<Text>,
    pub(super) answers_all: bool,
}

impl<'a> Mirrored<'a> {
    pub(super) fn new((place, share): (Place<'a>, Share), at: &Location) -> Self {
        Self { place, share, at: at.clone() }
    }
}

impl<'a> Compiler<'a, '_> {
    /// Every mirror that can get a copy: `mirror`, then `mirrors` in order. `listener` is the service port the rule is
    /// compiled for.
    pub(super) fn meaning(
        &mut self,
        route: &HttpRoute,
        namespace: &str,
        listener: u16,
        site: &Site<'_>,
    ) -> Meaning<'a> {
        let mut mirrors = Vec::new();
        if let Some(destination) = &route.mirror {
            let place = self.place(destination, namespace, listener, &site.field("mirror"));
            let found = place.zip(self.share(&Written::of_rule(route), site));
            mirrors.extend(found.map(|found| Mirrored::new(found, &destination.at)));
        }
        for (index, policy) in route.mirrors.iter().enumerate() {
            let Some(destination) = &policy.destination else { continue };
            let site = site.item("mirrors", index);
            let place = self.place(destination, namespace, listener, &site.field("destination"));
            let found = place.zip(self.share(&Written::of_policy(policy), &site));
            mirrors.extend(found.map(|found| Mirrored::new(found, &destination.at)));
        }
        let timeout =
            route.timeout.as_ref().map(|timeout| timeout.value).filter(|timeout| !timeout.is_zero());
        let mut meaning = Meaning { mirrors, timeout, ..Meaning::default() };
        meaning.action = match (&route.redirect, &route.direct_response) {
            (Some(_), _) => Action::Redirect,
            (None, Some(_)) => Action::DirectResponse,
            (None, None) => Action::Route,
        };
        meaning.rewritten = route
            .rewrite
            .as_ref()
            .and_then(|written| alter::rewrite(written, &site.field("rewrite"), &mut self.findings));
        meaning.cors = route.cors_policy.as_ref().map(|cors| self.cors(cors, site));
        if meaning.action == Action::Route {
            meaning.primaries = self.primaries(route, namespace, listener, !meaning.mirrors.is_empty(), site);
        }
        if !meaning.mirrors.is_empty() {
            meaning.unmirrored = self.obstacle(route, &meaning, site);
        }
        meaning
    }

    fn place(
        &mut self,
        destination: &istio::Destination,
        namespace: &str,
        listener: u16,
        site: &Site<'_>,
    ) -> Option<Place<'a>> {
        match self.clusters.locate(destination, namespace, listener) {
            Err(fault) => {
                let site = site.field(fault.field);
                self.findings.add_hinted(fault.code, &fault.at, &site, fault.what, fault.hint);
                None
            }
            Ok(place) => {
                self.warn_if_empty(place, &destination.at, site);
                Some(place)
            }
        }
    }

    pub(super) fn warn_if_empty(&mut self, place: Place<'a>, at: &Location, site: &Site<'_>) {
        if self.clusters.introduce(place, &mut self.findings).endpoints.is_empty() {
            let what = format!("`{}` has no endpoints: every copy will be dropped", place.text());
            let hint = "see the endpoints of its service, whether they are ready, and `labels` of the subset";
            self.findings.add(Code::NoEndpoints, at, site, what, hint.to_owned());
        }
    }

    fn share(&mut self, written: &Written<'_>, site: &Site<'_>) -> Option<Share> {
        if let (Share::NONE, Some(at)) = (written.share, written.at) {
            let (what, hint) = match written.percent {
                None => ("has no value, which means 0".to_owned(), Some("leave it out for 100 %")),
                Some(0.0) => ("is 0".to_owned(), None),
                Some(percent) => (format!("{percent} rounds to 0"), Some("the smallest share is 0.0001 %")),
            };
            let (what, site) = (format!("{what}: nothing is mirrored"), site.field(&written.field));
            self.findings.add(Code::MirrorsNothing, at, &site, what, hint.map(str::to_owned));
            return None;
        }
        Some(written.share)
    }

    /// What keeps a rule that names mirrors from mirroring at all.
    fn obstacle(&mut self, route: &HttpRoute, meaning: &Meaning<'_>, site: &Site<'_>) -> Option<Unmirrored> {
        let redirect = route.redirect.as_ref().map(|answer| ("redirect", &answer.at));
        let answer = redirect.or(route.direct_response.as_ref().map(|answer| ("directResponse", &answer.at)));
        if let Some((field, at)) = answer {
            let what = "answers by itself, so this rule never mirrors";
            self.findings.add(Code::MirrorsNothing, at, &site.field(field), what, None);
            return Some(Unmirrored::Answered);
        }
        // The client's proxy aborts before it routes. A smaller share needs nothing here: an aborted request never
        // arrives where it would be captured, and every one that arrives was let through. (Without a mesh nobody
        // aborts, and all are the rule's requests.)
        let abort = route.fault.as_ref().and_then(|fault| fault.abort.as_ref());
        let share = abort.and_then(|abort| abort.percentage.as_ref()?.value.as_ref());
        if let Some(share) = share.filter(|share| share.value >= 100.0) {
            let what = "every request is aborted, so this rule never mirrors";
            let site = site.field("fault");
            self.findings.add(Code::MirrorsNothing, &share.at, &site.field("abort"), what, None);
            return Some(Unmirrored::Aborted);
        }
        meaning.primaries.is_empty().then_some(Unmirrored::NoPrimary)
    }

    /// The destinations that exist. Without a cluster for the primary Envoy answers 503 and mirrors nothing; one known
    /// destination of several is enough.
    fn primaries(
        &mut self,
        route: &HttpRoute,
        namespace: &str,
        listener: u16,
        mirrors: bool,
        site: &Site<'_>,
    ) -> Vec<Primary<'a>> {
        let several = route.route.len() > 1;
        let mut primaries = Vec::with_capacity(route.route.len());
        let rewrite = route.rewrite.as_ref().and_then(|rewrite| rewrite.authority.as_ref());
        let rewrite = rewrite.and_then(|authority| HeaderValue::from_str(&authority.value).ok());
        for (index, primary) in route.route.iter().enumerate() {
            // A single destination's weight means nothing; among several, 0 means it is not there.
            let weight = primary.weight.as_ref().map_or(0, |weight| weight.value);
            if several && weight <= 0 {
                continue;
            }
            let of_primary = site.item("route", index);
            let place = match self.clusters.locate(&primary.destination, namespace, listener) {
                Ok(place) => place,
                Err(fault) if mirrors => {
                    let destination = of_primary.field("destination");
                    let what = format!("{}; Istio answers 503 there and mirrors nothing", fault.what);
                    let site = destination.field(fault.field);
                    self.findings.add_hinted(Code::UnknownPrimary, &fault.at, &site, what, fault.hint);
                    continue;
                }
                Err(_) => continue,
            };
            let of_rule = alter::of_headers(route.headers.as_deref(), site, &mut self.findings);
            let of_destination =
                alter::of_headers(primary.headers.as_deref(), &of_primary, &mut self.findings);
            primaries.push(Primary {
                place,
                destination: Destination::of(place, if several { weight } else { 100 }),
                authority: rewrite.clone().or(of_rule.authority).or(of_destination.authority),
                headers: alter::together(of_rule.headers, of_destination.headers, several),
            });
        }
        primaries
    }

    fn cors(&mut self, cors: &CorsPolicy, site: &Site<'_>) -> Cors {
        let site = site.field("corsPolicy");
        let mut origins = Vec::new();
        for origin in &cors.allow_origins {
            let site = site.field("allowOrigins");
            origins.extend(conditions::text(origin, &site, &mut self.findings));
        }
        if cors.allow_origins.is_empty() {
            // The deprecated list; `*` stands for every origin.
            origins.extend(cors.allow_origin.iter().map(|origin| match origin.as_str() {
                "*" => Text::Present,
                origin => Text::Exact(origin.as_bytes().into()),
            }));
        }
        Cors { origins, answers_all: cors.unmatched_preflights == UnmatchedPreflights::Ignore }
    }
}
