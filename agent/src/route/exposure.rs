//! Warnings about what a mirror does to others: shadows that live traffic reaches too, copies that leave the mesh with
//! credentials or with writes, mirrors that lead back to where they came from.

use std::collections::{HashMap, HashSet};

use http::header::{AUTHORIZATION, COOKIE};

use super::{
    CapturedPort, Policy,
    clusters::Place,
    findings::{Findings, Site},
    matcher::{Block, Field},
    mirrors::{Meaning, Mirrored},
    rules::Compiler,
    services::Kind,
    ways::Members,
};
use crate::config::{Code, Location, Meta};

/// Methods that change something (RFC 9110 §9.2.1).
const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// How many endpoints of a shadow are followed in search of a loop.
const FOLLOWED: usize = 16;

/// The mirrors in force, as edges from primary to shadow.
#[derive(Debug, Default)]
pub(super) struct Exposure<'a> {
    edges: Vec<Edge<'a>>,
    known: HashSet<(Place<'a>, Place<'a>)>,
}

#[derive(Debug)]
struct Edge<'a> {
    from: Members,
    to: Members,
    text: String,
    kind: &'static str,
    meta: &'a Meta,
    at: Location,
}

impl<'a> Compiler<'a, '_> {
    /// Looks at a rule in force.
    pub(super) fn expose(
        &mut self,
        meaning: &Meaning<'a>,
        blocks: &[&Block],
        site: &Site<'_>,
        (kind, meta): (&'static str, &'a Meta),
    ) {
        if meaning.unmirrored.is_some() {
            return;
        }
        for mirror in &meaning.mirrors {
            self.leaving(mirror, meaning, blocks, site);
            for primary in &meaning.primaries {
                if self.exposure.known.insert((primary.place, mirror.place)) {
                    self.live(primary.place, mirror, site);
                    let (from, to) =
                        (self.clusters.members(primary.place), self.clusters.members(mirror.place));
                    let (text, at) = (mirror.place.text(), mirror.at.clone());
                    self.exposure.edges.push(Edge { from, to, text, kind, meta, at });
                }
            }
        }
    }

    /// kube-proxy sends a Service's traffic to all of its pods, whichever subset a rule names.
    fn live(&mut self, primary: Place<'a>, mirror: &Mirrored<'a>, site: &Site<'_>) {
        let shadows = self.clusters.members(mirror.place);
        let by_rule = shared(&shadows, &self.clusters.members(primary));
        let whole = Place { subset: None, ..primary };
        let service = self.clusters.registry().get(primary.host);
        let of_kubernetes = service.is_some_and(|service| service.kind == Kind::Kubernetes);
        let (endpoint, what) = if let Some(endpoint) = by_rule {
            (endpoint, format!("and the primary `{}` share", primary.text()))
        } else if let Some(endpoint) =
            shared(&shadows, &self.clusters.members(whole)).filter(|_| of_kubernetes)
        {
            (endpoint, format!("is not kept from live traffic: the Service `{}` selects", primary.host))
        } else {
            return;
        };
        let what = format!("the shadow `{}` {what} {endpoint}", mirror.place.text());
        let hint = "give the shadow a label that the primary's selector leaves out, or a Service of its own";
        self.findings.add(Code::LiveShadow, &mirror.at, site, what, hint.to_owned());
    }

    fn leaving(&mut self, mirror: &Mirrored<'a>, meaning: &Meaning<'a>, blocks: &[&Block], site: &Site<'_>) {
        let host = mirror.place.host;
        // A copy goes no further than its request went anyway.
        if meaning.primaries.iter().any(|primary| primary.place.host == host) {
            return;
        }
        if !self.clusters.registry().get(host).is_some_and(|service| service.external) {
            return;
        }
        let removed = |name| {
            let of_all = |primary: &super::mirrors::Primary<'_>| {
                primary.headers.iter().any(|step| step.remove.contains(name))
            };
            let by_policy = meaning.policy.as_ref().is_some_and(|policy| !policy.lets_pass(name));
            by_policy || meaning.primaries.iter().all(of_all)
        };
        let kept: Vec<_> = [("Authorization", &AUTHORIZATION), ("Cookie", &COOKIE)]
            .into_iter()
            .filter_map(|(text, name)| (!removed(name)).then_some(text))
            .collect();
        if !kept.is_empty() {
            let what = format!("copies go to `{host}`, outside of the mesh, with {}", kept.join(" and "));
            let hint = "redact them by a ShadowPolicy, or declare the host MESH_INTERNAL";
            self.findings.add(Code::SecretsExposed, &mirror.at, site, what, hint.to_owned());
        }
        let policy = meaning.policy.as_deref();
        if blocks.iter().any(|block| lets_writes_pass(block, policy)) {
            let what = format!("requests that write are copied to `{host}`, outside of the mesh");
            let hint = "match `method` GET, or name the methods to copy in a ShadowPolicy";
            self.findings.add(Code::ExternalWrites, &mirror.at, site, what, hint.to_owned());
        }
    }
}

fn lets_writes_pass(block: &Block, policy: Option<&Policy>) -> bool {
    let conditions = || block.fields.iter().filter(|condition| matches!(condition.field, Field::Method));
    let passes = |method: &&str| {
        conditions().all(|c| c.text.holds(method.as_bytes()) != c.without)
            && policy.is_none_or(|policy| policy.allows(method))
    };
    WRITES.iter().any(passes)
}

fn shared(few: &Members, many: &Members) -> Option<CapturedPort> {
    let common =
        |endpoint: &&CapturedPort| endpoint.address.is_some() && many.binary_search(endpoint).is_ok();
    few.iter().find(common).copied()
}

impl Exposure<'_> {
    /// Mirrors whose copies would be mirrored, and so on, back to the first. The marker of a copy breaks the ring here,
    /// but nowhere else.
    pub(super) fn report_loops(&self, findings: &mut Findings<'_>) {
        let mut leaving = HashMap::<CapturedPort, Vec<usize>>::new();
        for (index, edge) in self.edges.iter().enumerate() {
            edge.from.iter().for_each(|endpoint| leaving.entry(*endpoint).or_default().push(index));
        }
        let next = |edge: usize| -> Vec<usize> {
            let to = self.edges[edge].to.iter().take(FOLLOWED);
            let mut next: Vec<_> = to.filter_map(|e| leaving.get(e)).flatten().copied().collect();
            next.sort_unstable();
            next.dedup();
            next
        };
        let (mut done, mut on_path) = (vec![false; self.edges.len()], vec![false; self.edges.len()]);
        for start in 0..self.edges.len() {
            let mut path = if done[start] { Vec::new() } else { vec![(start, next(start))] };
            on_path[start] = !done[start];
            while let Some((edge, left)) = path.last_mut() {
                let edge = *edge;
                match left.pop() {
                    // A shadow that is its own primary is told of as live.
                    Some(following) if following == edge || done[following] => {}
                    Some(following) if on_path[following] => self.report_loop(edge, following, findings),
                    Some(following) => {
                        on_path[following] = true;
                        path.push((following, next(following)));
                    }
                    None => {
                        (done[edge], on_path[edge]) = (true, false);
                        path.pop();
                    }
                }
            }
        }
    }

    fn report_loop(&self, last: usize, first: usize, findings: &mut Findings<'_>) {
        let Edge { text, kind, meta, at, .. } = &self.edges[last];
        let what = format!("copies to `{text}` lead back to a mirror at {}", self.edges[first].at);
        let hint = "copies are marked and not mirrored again here; other mirrors do not know the mark";
        findings.add(Code::MirrorLoop, at, &Site::of(kind, meta), what, hint.to_owned());
    }
}
