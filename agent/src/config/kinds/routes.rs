//! HTTPRoute and GRPCRoute, with the validation of the Gateway API's CRDs.

mod conditions;
mod filters;
mod references;

use conditions::{grpc_match, http_match};

use crate::config::{
    Code, Located, Location,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    gateway::{GrpcRoute, GrpcRule, HttpRoute, HttpRouteMatch, HttpRule, PathMatch, Timeouts},
    read::Object,
};

pub(in crate::config) fn http(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<HttpRoute> {
    let mut spec = object.spec(faults)?;
    let read = HttpRoute {
        meta: object.meta.clone(),
        parents: spec.items(faults, "parentRefs", references::parent),
        hostnames: spec.items(faults, "hostnames", hostname),
        rules: spec.items(faults, "rules", http_rule),
    };
    refuse_same_names(faults, read.rules.iter().filter_map(|rule| Some((rule.name.as_ref()?, &rule.at))));
    spec.finish(faults, Foreign);
    Some(read)
}

pub(in crate::config) fn grpc(faults: &mut Faults<'_>, object: &mut Object<'_>) -> Option<GrpcRoute> {
    let mut spec = object.spec(faults)?;
    let read = GrpcRoute {
        meta: object.meta.clone(),
        parents: spec.items(faults, "parentRefs", references::parent),
        hostnames: spec.items(faults, "hostnames", hostname),
        rules: spec.items(faults, "rules", |faults, item| {
            item.map(faults, Foreign, |faults, fields, at| {
                Some(GrpcRule {
                    at,
                    name: fields.plain(faults, "name"),
                    matches: fields.items(faults, "matches", grpc_match),
                    filters: filters::read(faults, fields, filters::Route::Grpc),
                    backends: references::backends(faults, fields, filters::Route::Grpc),
                })
            })
        }),
    };
    refuse_same_names(faults, read.rules.iter().filter_map(|rule| Some((rule.name.as_ref()?, &rule.at))));
    spec.finish(faults, Foreign);
    Some(read)
}

/// "Rule name must be unique within the route".
fn refuse_same_names<'r>(faults: &mut Faults<'_>, names: impl Iterator<Item = (&'r String, &'r Location)>) {
    let names: Vec<_> = names.map(|(name, at)| Located { value: name.clone(), at: at.clone() }).collect();
    super::refuse_repeated(faults, "spec.rules", "the rule name", &names);
}

/// A name, or one below a `*.`; no address.
fn hostname(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<Located<String>> {
    let name = super::one_host(faults, field)?;
    let plain = name.strip_prefix("*.").unwrap_or(&name.value);
    if plain.contains('*') || plain.parse::<std::net::IpAddr>().is_ok() {
        let what = format!("`{}` is not a host name", name.value);
        field.fault(faults, Code::BadValue, what).help("write a name, or `*.` and a name");
        return None;
    }
    Some(name)
}

fn http_rule(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<HttpRule> {
    field.map(faults, Foreign, |faults, fields, at| {
        let matches = fields.items(faults, "matches", http_match);
        let filters = filters::read(faults, fields, filters::Route::Http);
        filters::check_prefixes(faults, &filters, only_prefix(&matches));
        let backends = references::backends(faults, fields, filters::Route::Http);
        if filters::redirects(&filters) && !backends.is_empty() {
            let what = "a RequestRedirect filter and `backendRefs` exclude each other";
            faults.add(Code::Conflict, &at, fields.path(), what);
        }
        Some(HttpRule {
            at,
            name: fields.plain(faults, "name"),
            matches,
            filters,
            backends,
            timeouts: timeouts(faults, fields),
        })
    })
}

/// True where every match is on a path prefix: what `replacePrefixMatch` replaces.
fn only_prefix(matches: &[HttpRouteMatch]) -> bool {
    matches
        .iter()
        .all(|block| block.path.as_ref().is_none_or(|path| matches!(path.value, PathMatch::Prefix(_))))
}

fn timeouts(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Timeouts> {
    fields.child(faults, "timeouts", Foreign, |faults, fields, at| {
        let request = fields.duration(faults, "request");
        let backend_request = fields.duration(faults, "backendRequest");
        if let (Some(whole), Some(part)) = (&request, &backend_request)
            && part.value > whole.value
            && !whole.is_zero()
        {
            let what = "is longer than `request`, of which it is a part";
            faults.add(Code::OutOfRange, &part.at, &fields.path_of("backendRequest"), what);
        }
        Some(Timeouts { at, request, backend_request })
    })
}
