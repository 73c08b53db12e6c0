//! ShadowPolicy: every key is optional but `targetRefs`, none has a synonym.

mod responses;
mod sampling;

use std::time::Duration;

use super::rule::{changes::operations, percent};
use crate::config::{
    Code, Located,
    decode::Value,
    field::{Faults, Field},
    fields::{Fields, Names::Umbra},
    read::Object,
    shadow_policy::{
        AbortCopy, BodyPolicy, CopyTrace, DelayCopy, Faults as CopyFaults, Marker, OnExceed, RateLimit,
        Redact, ShadowPolicy, TargetKind, TargetRef,
    },
    values::{self, brief},
};

const QUANTITY: &str = "write bytes like 64Mi, 500k or 4096";
const KINDS: &[(&str, TargetKind, &str)] = &[
    ("VirtualService", TargetKind::VirtualService, "networking.istio.io"),
    ("HTTPRoute", TargetKind::HttpRoute, "gateway.networking.k8s.io"),
    ("GRPCRoute", TargetKind::GrpcRoute, "gateway.networking.k8s.io"),
    ("Namespace", TargetKind::Namespace, ""),
];
/// Longer than any shadow is waited for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
const MAX_CONCURRENCY: u32 = 1_000_000;
const MAX_RATE: f64 = 1_000_000.0;

pub(in crate::config) fn read(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<ShadowPolicy> {
    let mut spec = object.spec(faults)?;
    let targets = spec.items(faults, "targetRefs", target);
    let any = spec
        .get("targetRefs")
        .is_some_and(|field| !matches!(&field.node.value, Value::List(items) if items.is_empty()));
    if !any {
        let hint = "write targetRefs: [{kind: VirtualService, name: …}]";
        faults.add(Code::Missing, spec.at(), "spec.targetRefs", "names nothing to hold for").help(hint);
    }
    spec.exclusive(faults, &["hostSuffix", "authority"]);
    let timeout =
        spec.get("timeout").and_then(|field| span(faults, &field, Duration::from_millis(1)..=LONGEST));
    let year = Duration::from_secs(366 * 24 * 3600);
    let ttl = spec.get("ttl").and_then(|field| span(faults, &field, Duration::from_secs(1)..=year));
    let read = ShadowPolicy {
        meta: object.meta.clone(),
        targets,
        marker: marker(faults, &mut spec),
        host_suffix: spec.get("hostSuffix").and_then(|field| suffix(faults, &field)),
        authority: spec.get("authority").and_then(|field| authority(faults, &field)),
        headers: operations(faults, &mut spec, "headers", Umbra),
        redact: redact(faults, &mut spec),
        methods: spec.items(faults, "methods", method),
        upgrades: spec.flag(faults, "upgrades"),
        trace: spec.one_of(faults, "trace", TRACES),
        timeout,
        body: body(faults, &mut spec),
        rate_limit: rate_limit(faults, &mut spec),
        concurrency: spec.integer(faults, "concurrency", 1..=MAX_CONCURRENCY),
        sampling: sampling::read(faults, &mut spec),
        compare: responses::compare(faults, &mut spec),
        record: responses::record(faults, &mut spec),
        faults: copy_faults(faults, &mut spec),
        ttl,
    };
    super::refuse_repeated(faults, "spec.methods", "the method", &read.methods);
    spec.finish(faults, Umbra);
    Some(read)
}

const TRACES: &[(&str, CopyTrace)] =
    &[("Unsampled", CopyTrace::Unsampled), ("Own", CopyTrace::Own), ("Keep", CopyTrace::Keep)];

fn target(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<TargetRef> {
    field.map(faults, Umbra, |faults, fields, at| {
        let names: Vec<_> = KINDS.iter().map(|&(name, kind, _)| (name, kind)).collect();
        let kind = fields.required(faults, "kind").and_then(|field| field.one_of(faults, &names));
        let group = fields.text(faults, "group");
        let name = fields.required(faults, "name").and_then(|field| field.text(faults));
        let section_name = fields.word(faults, "sectionName");
        let kind = kind?;
        let (_, _, own) = KINDS.iter().find(|(_, known, _)| *known == kind.value)?;
        if let Some(group) = group.filter(|group| group.value != *own) {
            let what = format!("`{}` is not the group of this kind", group.value);
            faults
                .add(Code::BadValue, &group.at, &fields.path_of("group"), what)
                .help(format!("write `{own}`, or leave it out"));
        }
        if let Some(section) = section_name.as_ref().filter(|_| kind.value == TargetKind::Namespace) {
            let what = "a namespace has no rules";
            faults.add(Code::Conflict, &section.at, &fields.path_of("sectionName"), what);
        }
        Some(TargetRef { at, kind, name: name?, section_name })
    })
}

fn marker(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<Marker> {
    spec.child(faults, "marker", Umbra, |faults, fields, at| {
        let header = fields.get("header").and_then(|field| super::agent::marker(faults, &field));
        let value = fields.get("value").and_then(|field| {
            let value = field.text(faults)?;
            if http::HeaderValue::from_str(&value).is_err() || value.is_empty() {
                let what = format!("`{}` cannot be the value of a header", value.value);
                field.fault(faults, Code::BadValue, what);
                return None;
            }
            Some(value)
        });
        Some(Marker { at, header, value })
    })
}

fn suffix(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let suffix = field.text(faults)?;
    if !suffix.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_')) {
        let what = format!("`{}` cannot end a host name", suffix.value);
        field.fault(faults, Code::BadValue, what).help("write letters, digits, `-` and `.`, such as -shadow");
        return None;
    }
    Some(suffix)
}

/// A host, perhaps with a port.
fn authority(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let authority = field.text(faults)?;
    let parsed = authority.parse::<http::uri::Authority>();
    if parsed.is_err() || authority.contains('@') {
        let what = format!("`{}` is not a host with or without a port", authority.value);
        field.fault(faults, Code::BadValue, what);
        return None;
    }
    Some(authority)
}

fn redact(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<Redact> {
    spec.child(faults, "redact", Umbra, |faults, fields, at| {
        let headers = fields.items(faults, "headers", header);
        let query_params = fields.texts(faults, "queryParams");
        let replacement = fields.get("replacement").and_then(|field| {
            let text = field.text(faults)?;
            if !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')) {
                let what = format!("`{}` would have to be escaped in a URL", text.value);
                field
                    .fault(faults, Code::BadValue, what)
                    .help("write letters, digits, `-`, `.`, `_` and `~`");
                return None;
            }
            Some(text)
        });
        Some(Redact { at, headers, query_params, replacement })
    })
}

/// The name of a header, in lower case.
fn header(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let name = field.text(faults)?;
    let Ok(lower) = http::HeaderName::from_bytes(name.as_bytes()) else {
        field.fault(faults, Code::BadValue, format!("`{}` is not the name of a header", name.value));
        return None;
    };
    Some(Located { value: lower.as_str().to_owned(), at: name.at })
}

fn method(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let method = field.text(faults)?;
    let upper = method.to_ascii_uppercase();
    if http::Method::from_bytes(method.as_bytes()).is_err() || upper == "CONNECT" {
        field.fault(faults, Code::BadValue, format!("`{}` is no method that is mirrored", method.value));
        return None;
    }
    if upper != method.value {
        let what = format!("`{}` matches nothing: methods have a case", method.value);
        field.fault(faults, Code::BadValue, what).help(format!("write {upper}"));
        return None;
    }
    Some(method)
}

fn body(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<BodyPolicy> {
    spec.child(faults, "body", Umbra, |faults, fields, at| {
        let max =
            fields.required(faults, "max").and_then(|field| field.parsed(faults, QUANTITY, values::quantity));
        let names = &[("Drop", OnExceed::Drop), ("Truncate", OnExceed::Truncate)];
        let on_exceed = fields.one_of(faults, "onExceed", names).map_or(OnExceed::Drop, |found| found.value);
        Some(BodyPolicy { at, max: max?, on_exceed })
    })
}

fn rate_limit(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<RateLimit> {
    spec.child(faults, "rateLimit", Umbra, |faults, fields, at| {
        let rate = fields.required(faults, "requestsPerSecond");
        let rate = rate.and_then(|field| field.within(faults, 0.001..=MAX_RATE));
        let burst = fields.integer(faults, "burst", 1..=MAX_CONCURRENCY);
        Some(RateLimit { at, requests_per_second: rate?, burst })
    })
}

fn copy_faults(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<CopyFaults> {
    spec.child(faults, "faults", Umbra, |faults, fields, at| {
        let delay = fields.child(faults, "delay", Umbra, |faults, fields, at| {
            let percentage = percent(faults, fields, "percentage", Umbra);
            let fixed = fields.required(faults, "fixedDelay");
            let fixed = fixed.and_then(|field| span(faults, &field, Duration::ZERO..=LONGEST));
            Some(DelayCopy { at, percentage, fixed: fixed? })
        });
        let abort = fields.child(faults, "abort", Umbra, |faults, fields, at| {
            Some(AbortCopy { at, percentage: percent(faults, fields, "percentage", Umbra) })
        });
        Some(CopyFaults { at, delay, abort })
    })
}

fn span(
    faults: &mut Faults<'_>,
    field: &Field<'_>,
    range: std::ops::RangeInclusive<Duration>,
) -> Option<Located<Duration>> {
    let read = field.duration(faults)?;
    if !range.contains(&read.value) {
        let [value, start, end] = [read.value, *range.start(), *range.end()].map(brief);
        let what = format!("{value} is not within {start}..={end}");
        field.fault(faults, Code::OutOfRange, what);
        return None;
    }
    Some(read)
}
