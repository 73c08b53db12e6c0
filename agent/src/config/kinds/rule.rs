//! One `http` rule of a VirtualService: what it matches, where it routes, what it mirrors.

use super::{matches, one_host};
use crate::config::{
    Code,
    decode::Value,
    field::{Faults, Field},
    fields::{Fields, Names},
    istio::{
        Delegate, Destination, DirectResponse, HttpRoute, MirrorPolicy, Percent, Redirect, RouteDestination,
    },
};

const HEADERS: (&str, &str) = ("headers", "a copy has the headers the client sent");
const RULE: Names = Names::Istio(&[
    ("timeout", "the primary's is left as it is, a copy has that of AgentConfig's spec.shadow.timeout"),
    ("retries", "nothing is retried, neither the primary nor a copy"),
    ("fault", "no fault is injected, and the requests concerned are mirrored"),
    ("rewrite", "a copy has the path and the host the client sent"),
    ("corsPolicy", "preflight requests are mirrored like any other"),
    HEADERS,
]);
const ROUTE: Names = Names::Istio(&[HEADERS]);
const PLAIN: Names = Names::Istio(&[]);

pub(super) fn read(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<HttpRoute> {
    let mut rule = field.fields(faults)?;
    let matched = rule.get("match").map(|field| field.list(faults)).unwrap_or_default();
    let mirrors = rule.get("mirrors");
    let read = HttpRoute {
        at: field.at().clone(),
        name: rule.get("name").and_then(|field| field.text(faults)).map(|name| name.value),
        matches: matched.iter().filter_map(|block| matches::read(faults, block)).collect(),
        route: routes(faults, &mut rule),
        redirect: rule.get("redirect").map(|field| Redirect {
            at: field.at().clone(),
            uri: None,
            prefix_rewrite: None,
            authority: None,
            port: None,
            derive_port: None,
            scheme: None,
            code: None,
        }),
        direct_response: rule.get("directResponse").map(|field| DirectResponse {
            at: field.at().clone(),
            status: field.located(200),
            body: None,
        }),
        delegate: rule.get("delegate").map(|field| Delegate {
            at: field.at().clone(),
            name: field.located(String::new()),
            namespace: None,
        }),
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        cors_policy: None,
        headers: None,
        mirror: rule.get("mirror").and_then(|field| destination(faults, &field)),
        mirrors_at: mirrors.as_ref().map(|field| field.at().clone()),
        mirrors: match mirrors {
            Some(field) => field.list(faults).iter().filter_map(|item| mirror_policy(faults, item)).collect(),
            None => Vec::new(),
        },
        mirror_percent: rule.get("mirrorPercent").and_then(|field| {
            let hint = "write mirrorPercentage: {value: …}";
            faults.add(Code::Deprecated, field.at(), &field.path, "deprecated in Istio's API").help(hint);
            field.integer(faults, 0..=100_u64)
        }),
        mirror_percentage: rule.get("mirrorPercentage").and_then(|field| percent(faults, &field)),
    };
    conflicts(faults, field, &rule);
    rule.finish(faults, RULE);
    Some(read)
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
            faults.add(
                Code::Conflict,
                field.at(),
                &field.path,
                format!("`{one}` and `{other}` exclude each other"),
            );
        }
    }
    if rule.has("delegate") {
        let what = "read but not honoured yet: requests of this rule are not mirrored";
        faults.add(Code::NotHonoured, field.at(), &rule.path_of("delegate"), what);
    } else if !["route", "redirect", "directResponse"].iter().any(|name| rule.has(name)) {
        let hint =
            "a rule that only mirrors still says where its requests go: `route: [{destination: {host: …}}]`";
        let what = "a rule needs `route`, `redirect` or `directResponse`";
        faults.add(Code::Missing, field.at(), &field.path, what).help(hint);
    }
    for percent in ["mirrorPercentage", "mirrorPercent"] {
        if rule.has(percent) && !rule.has("mirror") {
            let fault = faults.add(
                Code::NotHonoured,
                field.at(),
                &rule.path_of(percent),
                "no effect without `mirror`",
            );
            if rule.has("mirrors") {
                fault.help(
                    "each of `mirrors` has a `percentage: {value: …}` of its own; without it all is copied",
                );
            }
        }
    }
}

fn routes(faults: &mut Faults<'_>, rule: &mut Fields<'_>) -> Vec<RouteDestination> {
    let Some(field) = rule.get("route") else { return Vec::new() };
    let items = field.list(faults);
    let read: Vec<_> = items.iter().filter_map(|item| route(faults, item)).collect();
    let sum: i64 = read.iter().filter_map(|route| route.weight.as_ref()).map(|weight| weight.value).sum();
    if items.is_empty() {
        field.fault(faults, Code::Missing, "names no destination");
    } else if items.len() > 1 && read.len() == items.len() && sum == 0 {
        let hint = "without a weight a destination gets nothing once there are several";
        field.fault(faults, Code::OutOfRange, "the weights sum up to 0").help(hint);
    }
    read
}

fn route(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<RouteDestination> {
    let mut fields = field.fields(faults)?;
    let destination = fields.required(faults, "destination").and_then(|field| destination(faults, &field));
    let weight = fields.get("weight").and_then(|field| field.integer(faults, 0..=i64::from(i32::MAX)));
    fields.finish(faults, ROUTE);
    Some(RouteDestination { at: field.at().clone(), destination: destination?, weight, headers: None })
}

fn mirror_policy(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<MirrorPolicy> {
    let mut fields = field.fields(faults)?;
    let destination = fields.required(faults, "destination").and_then(|field| destination(faults, &field));
    let percentage = fields.get("percentage").and_then(|field| percent(faults, &field));
    fields.finish(faults, PLAIN);
    Some(MirrorPolicy { at: field.at().clone(), destination, percentage })
}

fn destination(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Destination> {
    let mut fields = field.fields(faults)?;
    let host = fields.required(faults, "host").and_then(|field| one_host(faults, &field));
    let subset =
        fields.get("subset").and_then(|field| field.text(faults)).filter(|subset| !subset.is_empty());
    let port = fields.get("port").and_then(|field| {
        let mut fields = field.fields(faults)?;
        let number = fields.required(faults, "number").and_then(|field| field.port(faults));
        fields.finish(faults, PLAIN);
        number
    });
    fields.finish(faults, PLAIN);
    Some(Destination { at: field.at().clone(), host: host?, subset, port })
}

fn percent(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Percent> {
    if matches!(field.node.value, Value::Number { .. }) {
        field.wrong_type(faults, "a map").help("write `{value: …}`");
        return None;
    }
    let mut fields = field.fields(faults)?;
    let value = fields.get("value").and_then(|field| {
        let number = field.number(faults)?;
        if (0.0..=100.0).contains(&number.value) {
            return Some(number);
        }
        field.fault(faults, Code::OutOfRange, format!("{} is not within 0..=100", number.value));
        None
    });
    fields.finish(faults, PLAIN);
    Some(Percent { at: field.at().clone(), value })
}
