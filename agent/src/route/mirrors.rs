//! What a rule mirrors, and what keeps it from mirroring.

use super::{
    clusters::Place,
    findings::Site,
    rules::Compiler,
    share::{Share, Written},
};
use crate::config::{
    Code,
    istio::{Destination, HttpRoute},
};

impl<'a> Compiler<'a, '_> {
    /// Every mirror that can get a copy: `mirror`, then `mirrors` in order. `listener` is the service port the rule is
    /// compiled for.
    pub(super) fn mirrors(
        &mut self,
        route: &'a HttpRoute,
        namespace: &str,
        listener: u16,
        site: &Site,
    ) -> Vec<(Place<'a>, Share)> {
        let mut found = Vec::new();
        if let Some(destination) = &route.mirror {
            let place = self.place(destination, namespace, listener, &site.field("mirror"));
            found.extend(place.zip(self.share(&Written::of_rule(route), site)));
        }
        for (index, policy) in route.mirrors.iter().enumerate() {
            let Some(destination) = &policy.destination else { continue };
            let site = site.field(format_args!("mirrors[{index}]"));
            let place = self.place(destination, namespace, listener, &site.field("destination"));
            found.extend(place.zip(self.share(&Written::of_policy(policy), &site)));
        }
        if found.is_empty() || self.answers_by_itself(route, site) {
            return Vec::new();
        }
        if self.has_primary(route, namespace, listener, site) { found } else { Vec::new() }
    }

    fn place(
        &mut self,
        destination: &'a Destination,
        namespace: &str,
        listener: u16,
        site: &Site,
    ) -> Option<Place<'a>> {
        match self.clusters.locate(destination, namespace, listener) {
            Err(fault) => {
                self.findings.add(fault.code, fault.at, &site.field(fault.field), fault.what, fault.hint);
                None
            }
            Ok(place) => {
                if self.clusters.cluster(place).endpoints.is_empty() {
                    let what = format!("`{}` has no endpoints: every copy will be dropped", place.text());
                    let hint = "see `endpoints` of its ServiceEntry and `labels` of the subset".to_owned();
                    self.findings.add(Code::NoEndpoints, &destination.at, site, what, hint);
                }
                Some(place)
            }
        }
    }

    fn share(&mut self, written: &Written<'_>, site: &Site) -> Option<Share> {
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

    fn answers_by_itself(&mut self, route: &HttpRoute, site: &Site) -> bool {
        let redirect = route.redirect.as_ref().map(|answer| ("redirect", &answer.at));
        let answer = redirect.or(route.direct_response.as_ref().map(|answer| ("directResponse", &answer.at)));
        if let Some((field, at)) = answer {
            let what = "answers by itself, so this rule never mirrors";
            self.findings.add(Code::MirrorsNothing, at, &site.field(field), what, None);
        }
        answer.is_some()
    }

    /// Without a cluster for the primary Envoy answers 503 and mirrors nothing. One known destination is enough: which
    /// of them a request went to is not known here.
    fn has_primary(&mut self, route: &'a HttpRoute, namespace: &str, listener: u16, site: &Site) -> bool {
        let several = route.route.len() > 1;
        let mut known = false;
        for (index, primary) in route.route.iter().enumerate() {
            // A single destination's weight means nothing; among several, 0 means it is not there.
            if several && primary.weight.as_ref().is_none_or(|weight| weight.value <= 0) {
                continue;
            }
            match self.clusters.locate(&primary.destination, namespace, listener) {
                Ok(_) => known = true,
                Err(fault) => {
                    let site = site.field(format_args!("route[{index}].destination.{}", fault.field));
                    let what = format!("{}; Istio answers 503 there and mirrors nothing", fault.what);
                    self.findings.add(Code::UnknownPrimary, fault.at, &site, what, fault.hint);
                }
            }
        }
        known
    }
}
