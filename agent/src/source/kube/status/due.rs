//! What should be said and is not: a look at everything that is known, while no watch can change it.

use std::collections::HashSet;

use super::{
    super::{
        kinds::{AGENTS, KINDS, POLICIES, ROUTES},
        shared::Inner,
        store::Name,
    },
    conditions::{Known, Tallies, status},
    events::Alarm,
    seen::{Finding, digest},
    write::Statement,
};

/// Of an alarm, whatever it says.
type Raised = (usize, Name, &'static str);

/// The first of the objects whose status does not say what it should, of those that are `fresh`: place and digest.
pub(super) fn statements(
    inner: &Inner,
    tallies: &Tallies,
    fresh: impl Fn(&(usize, Name), u64) -> bool,
    at_most: usize,
) -> Vec<Statement> {
    let mut due = Vec::new();
    for kind in [POLICIES, AGENTS, ROUTES[0], ROUTES[1]] {
        let Some(version) = inner.kinds[kind].version else { continue };
        for (name, entry) in inner.ledger.objects(kind) {
            let (place, seen) = ((kind, name.clone()), &entry.seen);
            let fault = inner.store.fault(&place);
            // Something newer is about to be compiled.
            if fault.is_none() && !inner.ledger.is_in_force(entry) {
                continue;
            }
            let known = Known {
                kind,
                seen,
                fault,
                findings: inner.ledger.findings(&place),
                overruled: inner.is_overruled(&place),
                tally: tallies.get(&*format!("{}/{}", name.0, name.1)).filter(|_| kind == POLICIES),
            };
            let status = status(known);
            let digest = digest(&status);
            if digest != seen.said && fresh(&place, digest) {
                let (name, generation) = (name.clone(), seen.generation);
                due.push(Statement { kind, version, name, generation, status, digest });
                if due.len() == at_most {
                    return due;
                }
            }
        }
    }
    due
}

/// What somebody must act on, as far as it is `fresh`; and all of it by name.
pub(super) fn alarms(inner: &Inner, fresh: impl Fn(&Alarm) -> bool) -> (Vec<Alarm>, HashSet<Raised>) {
    let mut all = Vec::new();
    let raise = |place: &(usize, Name), reason, note: String| {
        let seen = inner.ledger.seen(place.0, &place.1)?;
        Some(Alarm::new(place, inner.kinds[place.0].version?, seen, reason, note))
    };
    for (place, fault, effect) in inner.store.faulty_objects() {
        let note = format!("{} ({}); {effect}", fault.message, fault.code);
        all.extend(raise(place, "Invalid", note));
    }
    for (place, findings) in inner.ledger.all_findings() {
        let dangling: Vec<_> = findings.iter().filter(|finding| finding.is_dangling()).map(told).collect();
        if !dangling.is_empty() && KINDS[place.0].written && !inner.is_overruled(place) {
            all.extend(raise(place, "RefNotFound", dangling.join("; ")));
        }
    }
    let raised = all.iter().map(|alarm| (alarm.kind, alarm.name.clone(), alarm.reason)).collect();
    all.retain(fresh);
    (all, raised)
}

fn told(finding: &Finding) -> String {
    format!("{} ({})", finding.message, finding.code)
}
