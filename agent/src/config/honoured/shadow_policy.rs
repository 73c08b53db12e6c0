//! The list of ShadowPolicy.

use super::{HONOURED, Rows};

pub(super) const SHADOW_POLICY: Rows = &[
    ("spec.targetRefs.{group,kind,name,sectionName}", HONOURED),
    (
        "spec.{marker,hostSuffix,authority,headers,redact,methods,upgrades,trace,timeout,body,rateLimit,concurrency}",
        HONOURED,
    ),
    ("spec.{sampling,faults,ttl}", HONOURED),
    ("spec.{compare,record}", "responses of shadows are read and thrown away"),
];
