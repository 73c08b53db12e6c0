//! `sampling`: what is drawn for, and by how much the share may move.

use std::time::Duration;

use super::{header, percent, span};
use crate::config::{
    Code, Located,
    field::{Faults, Field},
    fields::{Fields, Names::Umbra},
    shadow_policy::{Adaptive, Coverage, Sampling, SamplingMode, StickyKey},
};

const KEYS: &[&str] = &["header", "cookie", "queryParam", "sourceAddress"];
const MAX_KINDS: u32 = 1_000_000;
const MAX_COPIES: f64 = 1_000_000.0;

pub(super) fn read(faults: &mut Faults<'_>, spec: &mut Fields<'_>) -> Option<Sampling> {
    let modes = &[
        ("Request", SamplingMode::Request),
        ("Sticky", SamplingMode::Sticky),
        ("Connection", SamplingMode::Connection),
    ];
    spec.child(faults, "sampling", Umbra, |faults, fields, at| {
        let mode = fields.one_of(faults, "mode", modes);
        let sticky = fields.get("sticky").and_then(|field| sticky(faults, &field));
        let stuck = mode.as_ref().is_some_and(|mode| mode.value == SamplingMode::Sticky);
        if stuck != fields.has("sticky") {
            let what = "`mode: Sticky` and `sticky` go together";
            faults.add(Code::Conflict, &at, fields.path(), what).help("write sticky: {cookie: session}");
        }
        fields.exclusive(faults, &["adaptive", "coverage"]);
        let mode = mode.unwrap_or_else(|| Located { value: SamplingMode::Request, at: at.clone() });
        Some(Sampling {
            at,
            mode,
            sticky,
            adaptive: adaptive(faults, fields),
            coverage: coverage(faults, fields),
        })
    })
}

fn sticky(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<StickyKey>> {
    field.map(faults, Umbra, |faults, fields, at| {
        fields.exclusive(faults, KEYS);
        if !KEYS.iter().any(|name| fields.has(name)) {
            faults.add(Code::Missing, &at, fields.path(), format!("needs one of {}", KEYS.join(", ")));
        }
        let name = fields.get("header").and_then(|field| header(faults, &field));
        let cookie = fields.plain(faults, "cookie").map(StickyKey::Cookie);
        let query = fields.plain(faults, "queryParam").map(StickyKey::QueryParam);
        let source = fields.flag(faults, "sourceAddress").filter(|flag| flag.value);
        let source = source.map(|_| StickyKey::SourceAddress);
        let key = name.map(|name| StickyKey::Header(name.value)).or(cookie).or(query).or(source);
        Some(Located { value: key?, at })
    })
}

fn adaptive(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Adaptive> {
    fields.child(faults, "adaptive", Umbra, |faults, fields, at| {
        let read = Adaptive {
            at,
            floor: percent(faults, fields, "floor", Umbra),
            ceiling: percent(faults, fields, "ceiling", Umbra),
            max_latency: fields
                .get("maxLatency")
                .and_then(|field| span(faults, &field, Duration::from_millis(1)..=Duration::from_secs(3600))),
            max_errors: percent(faults, fields, "maxErrors", Umbra),
            max_cpu_pressure: percent(faults, fields, "maxCpuPressure", Umbra),
        };
        let value = |percent: &Option<crate::config::istio::Percent>| {
            percent.as_ref().and_then(|percent| percent.value.as_ref()).map(|value| value.value)
        };
        if let (Some(floor), Some(ceiling)) = (value(&read.floor), value(&read.ceiling))
            && floor > ceiling
        {
            let what = format!("{floor} is above the ceiling of {ceiling}");
            faults.add(Code::OutOfRange, fields.at(), &fields.path_of("floor"), what);
        }
        Some(read)
    })
}

fn coverage(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Coverage> {
    fields.child(faults, "coverage", Umbra, |faults, fields, at| {
        let copies = fields.required(faults, "copiesPerSecond");
        let copies = copies.and_then(|field| field.within(faults, 0.001..=MAX_COPIES));
        let kinds = fields.integer(faults, "kinds", 1..=MAX_KINDS);
        Some(Coverage { at, copies_per_second: copies?, kinds })
    })
}
