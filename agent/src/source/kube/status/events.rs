//! Events (events.k8s.io/v1) for what a person must act on: an object that is not in force as it is written, a reference that
//! leads nowhere. The name of an event follows from what it says: whoever says it again, after a change of writers too, is told
//! that it exists, and nothing is repeated.

use serde_json::{Value, json};
use time::OffsetDateTime;

use super::{
    super::{kinds::KINDS, store::Name},
    conditions::cut,
    lease::micros,
    seen::{CONTROLLER, Seen, digest},
};

/// Of the name of an object, in the name of its events: names have 253 characters at most.
const LONGEST: usize = 200;

/// What somebody must act on.
#[derive(Clone, Debug)]
pub(super) struct Alarm {
    pub(super) kind: usize,
    pub(super) version: &'static str,
    pub(super) name: Name,
    pub(super) reason: &'static str,
    pub(super) note: String,
    /// Of which object, and of which version of it.
    pub(super) uid: Box<str>,
    pub(super) generation: i64,
}

impl Alarm {
    pub(super) fn new(
        (kind, name): &(usize, Name),
        version: &'static str,
        seen: &Seen,
        reason: &'static str,
        note: String,
    ) -> Self {
        let (uid, generation) = (seen.uid.clone(), seen.generation);
        Self { kind: *kind, version, name: name.clone(), reason, note: cut(note), uid, generation }
    }

    /// The same for what is the same.
    pub(super) fn digest(&self) -> u64 {
        digest(&json!([self.uid, self.generation, self.reason, self.note]))
    }

    /// Where events of its namespace are made.
    pub(super) fn path(&self) -> String {
        format!("/apis/events.k8s.io/v1/namespaces/{}/events", self.name.0)
    }

    pub(super) fn event(&self, instance: &str, now: OffsetDateTime) -> Value {
        let (kind, (namespace, name)) = (&KINDS[self.kind], &self.name);
        let short = &name[..name.floor_char_boundary(LONGEST)];
        json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event",
            "metadata": {"name": format!("{short}.{:016x}", self.digest()), "namespace": namespace},
            "eventTime": micros(now), "type": "Warning", "reason": self.reason, "action": "Mirror", "note": self.note,
            "reportingController": CONTROLLER, "reportingInstance": &instance[..instance.floor_char_boundary(128)],
            "regarding": {"apiVersion": format!("{}/{}", kind.group, self.version), "kind": kind.name,
                "namespace": namespace, "name": name, "uid": self.uid},
        })
    }
}
