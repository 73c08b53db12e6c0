//! What is said of an object: conditions in the words of Gateway API, and of a ShadowPolicy for how many mirrors it holds. Pure,
//! and the same on every node: an agent says nothing here that depends on its own pods or its own traffic.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::kinds::{AGENTS, POLICIES};
use super::seen::{CONTROLLER, Finding, Seen};
use crate::{
    config::{Code, Diagnostic},
    record::DropReason,
    route::{Mirroring, Snapshot},
};

/// For a message within a condition, in bytes; the CRD allows 1024 where there is least room.
const LONGEST: usize = 1000;

/// Everything that is known of one object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    pub(super) kind: usize,
    pub(super) seen: &'a Seen,
    /// Why its newest version is not in force, and what is done about it.
    pub(super) fault: Option<(&'a Diagnostic, &'static str)>,
    pub(super) findings: &'a [Finding],
    /// It stands in a file too.
    pub(super) overruled: bool,
    /// Of a policy with mirrors.
    pub(super) tally: Option<&'a Tally>,
}

/// The mirrors that a policy holds for.
#[derive(Debug, Default)]
pub(super) struct Tally {
    mirrors: usize,
    /// Those that send no copies, by the reason: how many, and one of them.
    idle: BTreeMap<&'static str, (usize, String)>,
}

struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: String,
    message: String,
}

/// By the policy's `namespace/name`.
pub(super) type Tallies = BTreeMap<Box<str>, Tally>;

/// Counts the mirrors of each policy.
pub(super) fn tallies(snapshot: &Snapshot) -> Tallies {
    let mut tallies = Tallies::new();
    for mirror in snapshot.mirrors() {
        let Some(policy) = mirror.policy() else { continue };
        // Which endpoints a subset has is known where its copies are sent from alone.
        let without_subset = || Mirroring::new(mirror).subset.is_none();
        let idle = if mirror.is_expired() {
            Some((DropReason::Expired, "the policy's ttl is over"))
        } else if mirror.cluster.endpoints.is_empty() && without_subset() {
            Some((DropReason::NoEndpoint, "no endpoint is ready"))
        } else {
            None
        };
        for name in &policy.of {
            let tally = tallies.entry(Box::from(&**name)).or_default();
            tally.mirrors += 1;
            if let Some((reason, why)) = idle {
                let key = &mirror.account.key;
                let new = || (0, cut(format!("{} {}: {why}", key.rule.virtual_service, key.mirror)));
                tally.idle.entry(reason.as_str()).or_insert_with(new).0 += 1;
            }
        }
    }
    tallies
}

/// What its status is to say in our name, without times; Null for nothing.
pub(super) fn status(known: Known<'_>) -> Value {
    match known.kind {
        POLICIES => {
            let nothing = Tally::default();
            let tally = known.tally.unwrap_or(&nothing);
            let reasons = tally.idle.iter().map(|(reason, (mirrors, message))| {
                json!({"reason": reason, "mirrors": mirrors, "message": message})
            });
            let reasons: Vec<_> = reasons.collect();
            let mut status = object(known, &[accepted(known, "Invalid"), targets(known)]);
            status["mirrors"] = tally.mirrors.into();
            if !reasons.is_empty() {
                status["reasons"] = reasons.into();
            }
            status
        }
        AGENTS => object(known, &[accepted(known, "Invalid")]),
        _ => parents(known),
    }
}

fn object(known: Known<'_>, conditions: &[Condition]) -> Value {
    let generation = known.seen.generation;
    json!({"observedGeneration": generation, "conditions": written(conditions, generation)})
}

fn parents(known: Known<'_>) -> Value {
    let Some(parents) = &known.seen.parents else { return Value::Null };
    let parents: Vec<(usize, Value)> = serde_json::from_str(parents).unwrap_or_default();
    let entries = parents.into_iter().map(|(index, parent)| {
        let path = format!("spec.parentRefs[{index}]");
        let conditions = [attached(known, &path), backends(known)];
        json!({
            "parentRef": parent, "controllerName": CONTROLLER,
            "conditions": written(&conditions, known.seen.generation),
        })
    });
    Value::Array(entries.collect())
}

/// Whether it could be read and is in force.
fn accepted(known: Known<'_>, invalid: &str) -> Condition {
    let of = |status, reason: &str, message| Condition {
        kind: "Accepted",
        status,
        reason: reason.to_owned(),
        message: cut(message),
    };
    if let Some((fault, effect)) = known.fault {
        return of("False", invalid, format!("{} ({}); {effect}", fault.message, fault.code));
    }
    if known.overruled {
        let message = "it stands in a file of the agents too, which is in force instead";
        return of("False", "Overruled", message.to_owned());
    }
    let parts = known.findings.iter().filter(|finding| finding.code == Code::Overruled);
    of("True", "Accepted", all(parts))
}

/// The same of a route at one of its parents.
fn attached(known: Known<'_>, path: &str) -> Condition {
    // The one reason of Gateway API for what is written in a way that cannot be used.
    let mut condition = accepted(known, "UnsupportedValue");
    if condition.status == "False" {
        return condition;
    }
    let at = |finding: &&Finding| finding.message.starts_with(path);
    let missing =
        |finding: &&Finding| at(finding) && matches!(finding.code, Code::UnmatchedHost | Code::Unreachable);
    let shadowed = |finding: &&Finding| finding.code == Code::Shadowed;
    let found = known.findings.iter();
    let lost = found.clone().find(missing).map(|finding| ("NoMatchingParent", finding));
    if let Some((reason, finding)) = lost.or_else(|| Some(("Conflicted", found.clone().find(shadowed)?))) {
        reason.clone_into(&mut condition.reason);
        condition.status = "False";
        condition.message = cut(finding.message.clone());
    }
    condition
}

/// Whether what a route's rules name is there.
fn backends(known: Known<'_>) -> Condition {
    let unresolved = || known.findings.iter().filter(|finding| finding.code == Code::UnresolvedRef);
    // `…backendRef: ResolvedRefs=False (BackendNotFound): no Service has this host`
    let reason = unresolved().find_map(|finding| {
        let (_, rest) = finding.message.split_once("ResolvedRefs=False (")?;
        rest.split_once(')').map(|(reason, _)| reason.to_owned())
    });
    let mut condition = resolved(known, reason, all(unresolved()));
    condition.message = condition.message.replace("ResolvedRefs=False ", "");
    condition
}

/// Whether what a policy names is there.
fn targets(known: Known<'_>) -> Condition {
    let unknown = || known.findings.iter().filter(|finding| finding.code == Code::UnknownTarget);
    let reason = unknown().next().map(|_| "TargetNotFound".to_owned());
    resolved(known, reason, all(unknown()))
}

fn resolved(known: Known<'_>, unresolved: Option<String>, message: String) -> Condition {
    let of = |status, reason, message| Condition { kind: "ResolvedRefs", status, reason, message };
    if known.fault.is_some() || known.overruled {
        let message = "what is not accepted is not looked up".to_owned();
        return of("Unknown", "Pending".to_owned(), message);
    }
    match unresolved {
        Some(reason) => of("False", reason, message),
        None => of("True", "ResolvedRefs".to_owned(), String::new()),
    }
}

fn written(conditions: &[Condition], generation: i64) -> Value {
    let written = conditions.iter().map(|Condition { kind, status, reason, message }| {
        json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation})
    });
    Value::Array(written.collect())
}

fn all<'f>(findings: impl Iterator<Item = &'f Finding>) -> String {
    cut(findings.map(|finding| finding.message.as_str()).collect::<Vec<_>>().join("; "))
}

/// No longer than may be written.
pub(super) fn cut(mut text: String) -> String {
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}
