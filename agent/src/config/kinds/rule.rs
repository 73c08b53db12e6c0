//! One `http` rule of a VirtualService: what it matches, where it routes, what it mirrors. Validation is that of
//! Istio's webhook (`validateHTTPRoute`).

mod answers;
pub(super) mod changes;
mod faults;

use super::{matches, one_host};
use crate::config::{
    Code,
    decode::Value,
    field::{Faults, Field, exactly},
    fields::{
        Fields,
        Names::{self, Foreign},
    },
    istio::{Destination, HttpRoute, MirrorPolicy, Percent, RouteDestination},
};

/// `merged` for the rules of a delegate, which are read together with the rule that delegates.
pub(super) fn read(faults: &mut Faults<'_>, field: &Field<'_>, merged: bool) -> Option<HttpRoute> {
    field.map(faults, Foreign, |faults, rule, at| {
        let read = HttpRoute {
            at,
            name: rule.plain(faults, "name"),
            matches: rule.get("match").map(|field| matches::all(faults, &field)).unwrap_or_default(),
            route: routes(faults, rule),
            redirect: answers::redirect(faults, rule).map(Box::new),
            direct_response: answers::direct_response(faults, rule).map(Box::new),
            delegate: answers::delegate(faults, rule).map(Box::new),
            rewrite: changes::rewrite(faults, rule).map(Box::new),
            timeout: rule.duration(faults, "timeout").map(Box::new),
            retries: faults::retries(faults, rule).map(Box::new),
            fault: faults::fault(faults, rule).map(Box::new),
            cors_policy: answers::cors(faults, rule).map(Box::new),
            headers: changes::headers(faults, rule).map(Box::new),
            mirror: rule.get("mirror").and_then(|field| destination(faults, &field)),
            mirrors_at: rule.get("mirrors").map(|field| Box::new(field.at().clone())),
            mirrors: rule.items(faults, "mirrors", mirror_policy),
            mirror_percent: rule.get("mirrorPercent").and_then(|field| {
                let hint = "write mirrorPercentage: {value: …}";
                faults.add(Code::Deprecated, field.at(), &field.path, "deprecated in Istio's API").help(hint);
                field.integer(faults, 0..=100_u64).map(Box::new)
            }),
            mirror_percentage: percent(faults, rule, "mirrorPercentage", Foreign),
        };
        conflicts(faults, field, rule);
        if !merged && !rule.has("delegate") {
            idle_percentages(faults, field, rule);
        }
        changes::one_authority(faults, &read);
        Some(read)
    })
}

/// Istio's `validateHTTPRouteConflict`, and percentages that apply to nothing.
fn conflicts(faults: &mut Faults<'_>, field: &Field<'_>, rule: &Fields<'_>) {
    for (one, others) in [
        ("redirect", &["route", "directResponse", "fault", "rewrite"][..]),
        ("directResponse", &["route", "fault", "rewrite"]),
        ("delegate", &["route", "redirect"]),
        ("mirror", &["mirrors"]),
    ] {
        for other in others.iter().filter(|other| rule.has(one) && rule.has(other)) {
            let what = format!("`{one}` and `{other}` exclude each other");
            faults.add(Code::Conflict, field.at(), &field.path, what);
        }
    }
    if !["route", "redirect", "directResponse", "delegate"].iter().any(|name| rule.has(name)) {
        let hint =
            "a rule that only mirrors still says where its requests go: `route: [{destination: {host: …}}]`";
        let what = "a rule needs `route`, `redirect` or `directResponse`";
        faults.add(Code::Missing, field.at(), &field.path, what).help(hint);
    }
}

fn idle_percentages(faults: &mut Faults<'_>, field: &Field<'_>, rule: &Fields<'_>) {
    for percent in ["mirrorPercentage", "mirrorPercent"] {
        if rule.has(percent) && !rule.has("mirror") {
            let what = "no effect without `mirror`";
            let fault = faults.add(Code::NotHonoured, field.at(), &rule.path_of(percent), what);
            if rule.has("mirrors") {
                let hint =
                    "each of `mirrors` has a `percentage: {value: …}` of its own; without it all is copied";
                fault.help(hint);
            }
        }
    }
}

fn routes(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Vec<RouteDestination> {
    let Some(field) = rule.get("route") else { return Vec::new() };
    let before = faults.mark();
    let items = field.list(faults);
    let read = exactly(items.len(), items.iter().filter_map(|item| route(faults, item)));
    let sum: i64 = read.iter().filter_map(|route| route.weight.as_ref()).map(|weight| weight.value).sum();
    if faults.has_errors_since(before) {
        return read;
    }
    if items.is_empty() {
        field.fault(faults, Code::Missing, "names no destination");
    } else if items.len() > 1 && sum == 0 {
        let hint = "without a weight a destination gets nothing once there are several";
        field.fault(faults, Code::OutOfRange, "the weights sum up to 0").help(hint);
    }
    read
}

fn route(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<RouteDestination> {
    field.map(faults, Foreign, |faults, fields, at| {
        let destination =
            fields.required(faults, "destination").and_then(|field| destination(faults, &field));
        let weight = fields.integer(faults, "weight", 0..=i64::from(i32::MAX));
        let headers = changes::headers(faults, fields).map(Box::new);
        Some(RouteDestination { at, destination: destination?, weight, headers })
    })
}

fn mirror_policy(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<MirrorPolicy> {
    field.map(faults, Foreign, |faults, fields, at| {
        let destination =
            fields.required(faults, "destination").and_then(|field| destination(faults, &field));
        Some(MirrorPolicy { at, destination, percentage: percent(faults, fields, "percentage", Foreign) })
    })
}

fn destination(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Destination> {
    field.map(faults, Foreign, |faults, fields, at| {
        let host = fields.required(faults, "host").and_then(|field| one_host(faults, &field));
        let subset = fields.word(faults, "subset");
        let port = fields.child(faults, "port", Foreign, |faults, fields, _| {
            fields.required(faults, "number").and_then(|field| field.port(faults))
        });
        Some(Destination { at, host: host?, subset, port })
    })
}

pub(super) fn percent(
    faults: &mut Faults<'_>,
    fields: &mut Fields<'_>,
    name: &'static str,
    names: Names,
) -> Option<Percent> {
    let field = fields.get(name)?;
    if matches!(field.node.value, Value::Number { .. }) {
        field.wrong_type(faults, "a map").help("write `{value: …}`");
        return None;
    }
    field.map(faults, names, |faults, fields, at| {
        // One that cannot be understood is not taken for 0, which is what none stands for.
        let value = match fields.get("value") {
            Some(field) => Some(field.within(faults, 0.0..=100.0)?),
            None => None,
        };
        Some(Percent { at, value })
    })
}
