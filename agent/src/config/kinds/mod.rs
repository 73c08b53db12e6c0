//! One reader per kind: from the fields of a document to the struct of its kind. Validation that needs no other
//! object happens here; the rest is for the compiler of routes.

pub(super) mod agent;
pub(super) mod destination_rule;
pub(super) mod endpoint_slice;
mod matches;
pub(super) mod pod;
pub(super) mod reference_grant;
pub(super) mod routes;
mod rule;
pub(super) mod service;
pub(super) mod service_entry;
pub(super) mod shadow_policy;
#[cfg(test)]
mod tests;
mod traffic_policy;
pub(super) mod virtual_service;

use std::{collections::HashMap, hash::Hash, net::IpAddr};

use super::{
    Code, Labels, Located,
    field::{Faults, Field},
    fields::{Fields, Names},
};

/// A host name as Istio's validation takes it: letters, digits, `-`, `_` and `.`, perhaps one leading `*`; or an IP
/// address.
fn host(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let host = field.text(faults)?;
    let plain = host.strip_prefix('*').unwrap_or(&host.value);
    let letters = plain.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if host.value.is_empty() || (!letters && host.parse::<IpAddr>().is_err()) {
        let fault = field.fault(faults, Code::BadValue, format!("`{}` is not a host name", host.value));
        if plain.contains("://") {
            fault.help("write the host alone: no scheme, no path");
        } else if plain.contains(':') {
            fault.help("write the port apart: `port: {number: …}`");
        }
        return None;
    }
    Some(host)
}

/// Like [`host`], for places that name one service.
fn one_host(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let host = host(faults, field)?;
    if host.value == "*" {
        field.fault(faults, Code::BadValue, "`*` names no host");
        return None;
    }
    Some(host)
}

/// Reports the second and every later item with the same value.
fn refuse_repeated<'v, T: Hash + Eq + 'v>(
    faults: &mut Faults<'_>,
    path: &str,
    what: &str,
    items: impl IntoIterator<Item = &'v Located<T>>,
) {
    let mut seen = HashMap::new();
    for item in items {
        if let Some(first) = seen.get(&item.value) {
            faults
                .add(Code::Duplicate, &item.at, path, format!("{what} is written twice"))
                .help(format!("first at {first}"));
        } else {
            seen.insert(&item.value, &item.at);
        }
    }
}

/// `workloadSelector`, whose labels stand under `name`.
fn selector(faults: &mut Faults<'_>, fields: &mut Fields<'_>, name: &'static str) -> Option<Located<Labels>> {
    fields.child(faults, "workloadSelector", Names::Foreign, |faults, fields, at| {
        Some(Located { value: fields.labels(faults, name), at })
    })
}
