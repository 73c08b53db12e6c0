//! The list of ShadowPolicy.

use super::{HONOURED, Rows};

pub(super) const SHADOW_POLICY: Rows = &[
    ("spec.targetRefs.{group,kind,name,sectionName}", HONOURED),
    ("spec.marker", "a copy is marked by AgentConfig's spec.shadow.markerHeader"),
    ("spec.{hostSuffix,authority}", "a copy has the Host that the rule gives it"),
    ("spec.headers", "a copy has the headers that the rule gives it"),
    ("spec.redact", "a copy carries every header and query parameter, credentials too"),
    ("spec.methods", "requests of every method are mirrored"),
    ("spec.timeout", "a copy has that of AgentConfig's spec.shadow.timeout"),
    ("spec.body", "a body is limited by AgentConfig's spec.shadow.queue.bytesPerRequest"),
    ("spec.{rateLimit,concurrency}", "copies keep to the limits of AgentConfig's spec.shadow"),
    ("spec.sampling", "each request is drawn for by itself, with the share that the rule says"),
    ("spec.{compare,record}", "responses of shadows are read and thrown away"),
    ("spec.faults", "no copy is delayed or left out"),
    ("spec.ttl", "mirroring goes on until the rule is removed"),
];
