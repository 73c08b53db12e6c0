//! Warnings about what a mirror does to others: shadows that live traffic reaches too, copies that leave the mesh with
//! credentials or with writes, mirrors that lead back to where they came from.

use std::{mem, sync::Arc};

use foldhash::{HashMap, HashSet};

use http::header::{AUTHORIZATION, COOKIE};

use super::{
    CapturedPort, Policy,
    clusters::Place,
    difference::differing,
    findings::{Finding, Findings, Hint, Site},
    matcher::{Block, Field},
    mirrors::{Meaning, Mirrored},
    objects::address,
    rules::Compiler,
    services::Kind,
    traffic::Policies,
    ways::Members,
};
use crate::config::{Code, Location, Meta};

/// Methods that change something (RFC 9110 §9.2.1).
const WRITES: [&str; 4] = ["POST", "PUT", "PATCH", "DELETE"];

/// How many endpoints of a shadow are followed in search of a loop.
const FOLLOWED: usize = 16;

/// The mirrors in force, as edges from primary to shadow.
#[derive(Debug, Default)]
pub(super) struct Exposure {
    edges: Vec<Arc<Edge>>,
    /// By the places an edge joins: the endpoints of a place are one value throughout.
    known: HashSet<(usize, usize)>,
    /// Of what is being compiled.
    noted: Vec<Exposed>,
}

/// The mirrors in force, to be kept, and whether some lead back to where they came from.
#[derive(Debug, Default)]
pub(super) struct Loops {
    edges: Vec<Arc<Edge>>,
    any: bool,
}

/// A mirror in force, and what is told of it the first time it is seen.
#[derive(Debug)]
pub(super) struct Exposed {
    edge: Arc<Edge>,
    live: Option<Finding>,
}

#[derive(Debug)]
struct Edge {
    from: Members,
    to: Members,
    text: Arc<str>,
    object: String,
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
                let (from, to) = (self.clusters.members(primary.place), self.clusters.members(mirror.place));
                let edge = Edge {
                    from,
                    to,
                    text: self.clusters.text(mirror.place),
                    object: Site::of(kind, meta).object(),
                    at: mirror.at.clone(),
                };
                if !self.exposure.noted.iter().any(|noted| noted.edge.joins() == edge.joins()) {
                    let live = self.live(primary.place, mirror, site);
                    self.exposure.noted.push(Exposed { edge: Arc::new(edge), live });
                }
            }
        }
    }

    /// kube-proxy sends a Service's traffic to all of its pods, whichever subset a rule names.
    fn live(&mut self, primary: Place<'a>, mirror: &Mirrored<'a>, site: &Site<'_>) -> Option<Finding> {
        let shadows = self.clusters.members(mirror.place);
        let by_rule = shared(&shadows, &self.clusters.members(primary));
        let of_all = Policies { subset: None, ..primary.policies };
        let whole = Place { subset: None, policies: of_all, ..primary };
        let service = self.clusters.service_of(primary);
        let of_kubernetes = service.is_some_and(|service| service.kind == Kind::Kubernetes);
        let (endpoint, what) = if let Some(endpoint) = by_rule {
            (endpoint, format!("and the primary `{}` share", primary.text()))
        } else if let Some(endpoint) =
            shared(&shadows, &self.clusters.members(whole)).filter(|_| of_kubernetes)
        {
            (endpoint, format!("is not kept from live traffic: the Service `{}` selects", primary.host))
        } else {
            return None;
        };
        let what = format!("the shadow `{}` {what} {endpoint}", mirror.place.text());
        let hint = "give the shadow a label that the primary's selector leaves out, or a Service of its own";
        Some(Finding::new(Code::LiveShadow, &mirror.at, site, what, Some(Hint::Text(hint.to_owned()))))
    }

    fn leaving(&mut self, mirror: &Mirrored<'a>, meaning: &Meaning<'a>, blocks: &[&Block], site: &Site<'_>) {
        let host = mirror.place.host;
        // A copy goes no further than its request went anyway.
        if meaning.primaries.iter().any(|primary| primary.place.host == host) {
            return;
        }
        if !self.clusters.service_of(mirror.place).is_some_and(|service| service.external) {
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

impl Edge {
    fn joins(&self) -> (usize, usize) {
        (address(&*self.from), address(&*self.to))
    }

    /// The endpoints at which a way may lead on.
    fn followed(&self) -> &[CapturedPort] {
        &self.to[..self.to.len().min(FOLLOWED)]
    }
}

impl Exposure {
    pub(super) fn noted(&mut self) -> Vec<Exposed> {
        let mut noted = mem::take(&mut self.noted);
        noted.shrink_to_fit();
        noted
    }

    /// Takes in what was noted of mirrors in force.
    pub(super) fn tell(&mut self, exposed: &[Exposed], findings: &mut Findings<'_>) {
        for Exposed { edge, live } in exposed {
            if self.known.insert(edge.joins()) {
                live.iter().for_each(|finding| findings.tell(finding));
                self.edges.push(Arc::clone(edge));
            }
        }
    }

    /// Mirrors whose copies would be mirrored, and so on, back to the first. The marker of a copy breaks the ring here,
    /// but nowhere else. Where there was none, only a new mirror can make one.
    pub(super) fn report_loops(self, before: &Loops, findings: &mut Findings<'_>) -> Loops {
        let any = (before.any || self.may_close_one(before)) && self.find_loops(findings);
        Loops { edges: self.edges, any }
    }

    /// Whether some mirror leads to where a new one begins: without that, no new one is part of a ring.
    fn may_close_one(&self, before: &Loops) -> bool {
        let (gone, come) = differing(&before.edges, &self.edges);
        let known: HashSet<_> = gone.iter().map(|edge| edge.joins()).collect();
        let new = come.iter().filter(|edge| !known.contains(&edge.joins()));
        let begin: HashSet<_> = new.flat_map(|edge| &*edge.from).collect();
        !begin.is_empty() && self.edges.iter().flat_map(|edge| edge.followed()).any(|to| begin.contains(to))
    }

    /// Whether there is any.
    fn find_loops(&self, findings: &mut Findings<'_>) -> bool {
        // Most endpoints are no shadow of anything, and no way leads on from there.
        let shadows: HashSet<_> = self.edges.iter().flat_map(|edge| edge.followed()).collect();
        let mut leaving = HashMap::<CapturedPort, Vec<usize>>::default();
        for (index, edge) in self.edges.iter().enumerate() {
            let on_a_way = edge.from.iter().filter(|endpoint| shadows.contains(endpoint));
            on_a_way.for_each(|endpoint| leaving.entry(*endpoint).or_default().push(index));
        }
        let next = |edge: usize| -> Vec<usize> {
            let to = self.edges[edge].followed().iter();
            let mut next: Vec<_> = to.filter_map(|e| leaving.get(e)).flatten().copied().collect();
            next.sort_unstable();
            next.dedup();
            next
        };
        let mut any = false;
        let (mut done, mut on_path) = (vec![false; self.edges.len()], vec![false; self.edges.len()]);
        let starts = if leaving.is_empty() { 0..0 } else { 0..self.edges.len() };
        for start in starts {
            let mut path = if done[start] { Vec::new() } else { vec![(start, next(start))] };
            on_path[start] = !done[start];
            while let Some((edge, left)) = path.last_mut() {
                let edge = *edge;
                match left.pop() {
                    // A shadow that is its own primary is told of as live.
                    Some(following) if following == edge || done[following] => {}
                    Some(following) if on_path[following] => {
                        any = true;
                        self.report_loop(edge, following, findings);
                    }
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
        any
    }

    fn report_loop(&self, last: usize, first: usize, findings: &mut Findings<'_>) {
        let Edge { text, object, at, .. } = &*self.edges[last];
        let what = format!("spec: copies to `{text}` lead back to a mirror at {}", self.edges[first].at);
        let hint = "copies are marked and not mirrored again here; other mirrors do not know the mark";
        let hint = Some(Hint::Text(hint.to_owned()));
        findings.tell(&Finding {
            code: Code::MirrorLoop,
            at: at.clone(),
            object: object.clone(),
            message: what,
            hint,
        });
    }
}
