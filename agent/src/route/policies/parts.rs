//! One ShadowPolicy as written, made ready; and several made into one, part by part.

use http::{HeaderName, HeaderValue};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    config::{
        Code, Located,
        istio::{HeaderOperations, Percent},
        shadow_policy::{self as written, SamplingMode, ShadowPolicy},
    },
    record::{Accounts, Pace},
    route::{
        Share,
        alter::{self, Altered, Values},
        findings::{Findings, Site},
        policy::{
            Adaptive, BodyLimit, CopyFaults, Coverage, DrawnFor, HostChange, Marker, Policy, Redact,
            Sampling, Ttl,
        },
    },
};

/// How many kinds of requests are told apart where nothing is written.
const KINDS: u32 = 4096;

/// A field, and whether a policy has it.
type Part = (&'static str, fn(&Policy) -> bool);

/// What one policy says as a whole or not at all.
pub(super) const PARTS: [Part; 14] = [
    ("marker", |policy| policy.marker.is_some()),
    ("{hostSuffix,authority}", |policy| policy.host.is_some()),
    ("headers", |policy| policy.headers.is_some()),
    ("redact", |policy| policy.redact.is_some()),
    ("methods", |policy| !policy.methods.is_empty()),
    ("upgrades", |policy| policy.upgrades.is_some()),
    ("trace", |policy| policy.trace.is_some()),
    ("timeout", |policy| policy.timeout.is_some()),
    ("body", |policy| policy.body.is_some()),
    ("rateLimit", |policy| policy.rate.is_some()),
    ("concurrency", |policy| policy.concurrency.is_some()),
    ("sampling", |policy| policy.sampling.is_some()),
    ("faults", |policy| policy.faults.is_some()),
    ("ttl", |policy| policy.ttl.is_some()),
];

/// Each part from the first that has it.
pub(super) fn merge<'p>(policies: impl Iterator<Item = &'p Policy>) -> Policy {
    let mut merged = Policy::default();
    for Policy {
        of,
        marker,
        host,
        headers,
        redact,
        methods,
        upgrades,
        trace,
        timeout,
        body,
        rate,
        concurrency,
        sampling,
        faults,
        ttl,
    } in policies
    {
        merged.of.extend(of.iter().cloned());
        merged.marker = merged.marker.or_else(|| marker.clone());
        merged.host = merged.host.or_else(|| host.clone());
        merged.headers = merged.headers.or_else(|| headers.clone());
        merged.redact = merged.redact.or_else(|| redact.clone());
        if merged.methods.is_empty() {
            merged.methods.clone_from(methods);
        }
        merged.upgrades = merged.upgrades.or(*upgrades);
        merged.trace = merged.trace.or(*trace);
        merged.timeout = merged.timeout.or(*timeout);
        merged.body = merged.body.or(*body);
        merged.rate = merged.rate.or(*rate);
        merged.concurrency = merged.concurrency.or(*concurrency);
        merged.sampling = merged.sampling.or_else(|| sampling.clone());
        merged.faults = merged.faults.or(*faults);
        merged.ttl = merged.ttl.or_else(|| ttl.clone());
    }
    merged
}

/// `compare` and `record` are no matter of the copy.
pub(super) fn read(policy: &ShadowPolicy, accounts: &Accounts, findings: &mut Findings<'_>) -> Policy {
    let site = Site::of("ShadowPolicy", &policy.meta);
    let name = policy.meta.qualified();
    let Altered { headers, authority } = policy
        .headers
        .as_ref()
        .map(|HeaderOperations { at: _, set, add, remove }| {
            alter::operations_of(set, add, remove, Values::Templates, &site.field("headers"), findings)
        })
        .unwrap_or_default();
    // `headers.set.host` is a rewrite of the host, as in Istio; the fields meant for it come first.
    let written = policy.authority.as_ref().and_then(value).map(HostChange::Authority);
    let suffix = policy.host_suffix.as_ref().map(|suffix| HostChange::Suffix(suffix.as_str().into()));
    Policy {
        marker: policy.marker.as_ref().map(|marker| Marker {
            header: marker.header.as_ref().and_then(|name| HeaderName::from_bytes(name.as_bytes()).ok()),
            value: marker.value.as_ref().and_then(value),
        }),
        host: written.or(suffix).or(authority.map(HostChange::Authority)),
        headers: policy.headers.is_some().then_some(headers),
        redact: policy.redact.as_ref().map(|redact| self::redact(redact, &site.field("redact"), findings)),
        methods: policy.methods.iter().map(|method| method.value.clone()).collect(),
        upgrades: policy.upgrades.as_ref().map(|upgrades| upgrades.value),
        trace: policy.trace.as_ref().map(|trace| trace.value),
        timeout: policy.timeout.as_ref().map(|timeout| timeout.value),
        body: policy.body.as_ref().map(|body| BodyLimit {
            max: body.max.value.try_into().unwrap_or(u64::MAX),
            on_exceed: body.on_exceed,
        }),
        rate: policy.rate_limit.as_ref().map(|limit| {
            Pace::new(limit.requests_per_second.value, limit.burst.as_ref().map(|burst| burst.value))
        }),
        concurrency: policy.concurrency.as_ref().map(|limit| limit.value),
        sampling: policy.sampling.as_ref().map(sampling),
        faults: policy.faults.as_ref().map(|faults| CopyFaults {
            delay: faults.delay.as_ref().map(|delay| (share(delay.percentage.as_ref()), delay.fixed.value)),
            abort: faults.abort.as_ref().map(|abort| share(abort.percentage.as_ref())),
        }),
        ttl: policy.ttl.as_ref().map(|lasts| Ttl {
            lasts: lasts.value,
            since: accounts.since(&name),
            created: created(policy, findings),
        }),
        of: vec![name.into()],
    }
}

/// None, and a warning, for a timestamp that is none.
fn created(policy: &ShadowPolicy, findings: &mut Findings<'_>) -> Option<i64> {
    let text = policy.meta.created.as_ref()?;
    let parsed = OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp);
    if parsed.is_none() {
        let site = Site::of("ShadowPolicy", &policy.meta);
        let what =
            format!("`{text}` of metadata.creationTimestamp is no time: counts from the agent's start");
        findings.add(Code::NotHonoured, &policy.meta.name.at, &site.field("ttl"), what, None);
    }
    parsed
}

fn redact(written: &written::Redact, site: &Site<'_>, findings: &mut Findings<'_>) -> Redact {
    let headers = alter::names(&written.headers, &site.field("headers"), findings);
    Redact {
        headers,
        query: written.query_params.iter().map(|name| name.as_str().into()).collect(),
        replacement: written.replacement.as_ref().and_then(value),
    }
}

fn sampling(written: &written::Sampling) -> Sampling {
    Sampling {
        drawn_for: match (written.mode.value, &written.sticky) {
            (SamplingMode::Connection, _) => DrawnFor::Connection,
            (_, Some(key)) => DrawnFor::Key(key.value.clone()),
            (_, None) => DrawnFor::Request,
        },
        adaptive: written.adaptive.as_ref().map(|adaptive| {
            let floor = part(adaptive.floor.as_ref()).unwrap_or(0.01);
            Adaptive {
                floor,
                ceiling: part(adaptive.ceiling.as_ref()).unwrap_or(1.0).max(floor),
                max_latency: adaptive.max_latency.as_ref().map(|latency| latency.value),
                max_errors: part(adaptive.max_errors.as_ref()),
                max_cpu_pressure: part(adaptive.max_cpu_pressure.as_ref()).map(|part| part * 100.0),
            }
        }),
        coverage: written.coverage.as_ref().map(|coverage| Coverage {
            copies_per_second: coverage.copies_per_second.value,
            kinds: coverage.kinds.as_ref().map_or(KINDS, |kinds| kinds.value),
        }),
    }
}

/// Of 1. Istio's `Percent`: a message without a value means 0.
fn part(percent: Option<&Percent>) -> Option<f64> {
    percent.map(|percent| percent.value.as_ref().map_or(0.0, |value| value.value) / 100.0)
}

/// Absent: all.
fn share(percent: Option<&Percent>) -> Share {
    percent.map_or(Share::ALL, |percent| {
        Share::of_percent(percent.value.as_ref().map_or(0.0, |value| value.value))
    })
}

/// The reader has made sure that it is one.
fn value(text: &Located<String>) -> Option<HeaderValue> {
    HeaderValue::from_str(&text.value).ok()
}
