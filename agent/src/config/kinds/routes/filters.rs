//! `filters[]` of a rule or of one of its backends.

use super::references;
use crate::config::{
    Code, Located, Location,
    field::{Faults, Field},
    fields::{Fields, Names::Foreign},
    gateway::{
        Filter, FilterKind, HeaderModifier, MirrorFilter, MirrorShare, PathModifier, RequestRedirect,
        UrlRewrite,
    },
    kinds::refuse_repeated,
};

/// Each filter's type and the field that describes it.
const FIELDS: [(&str, &str); 8] = [
    ("RequestMirror", "requestMirror"),
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("ExtensionRef", "extensionRef"),
    ("URLRewrite", "urlRewrite"),
    ("RequestRedirect", "requestRedirect"),
    ("CORS", "cors"),
    ("ExternalAuth", "externalAuth"),
];
/// The first of them are those of GRPCRoute too.
const GRPC: usize = 4;
const REDIRECT_CODES: &[u16] = &[301, 302, 303, 307, 308];

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Route {
    Http,
    Grpc,
}

pub(super) fn read(faults: &mut Faults<'_>, fields: &mut Fields<'_>, route: Route) -> Vec<Filter> {
    let read = fields.items(faults, "filters", |faults, item| filter(faults, item, route));
    let name = |filter: &Filter| Located { value: type_of(&filter.kind).to_owned(), at: filter.at.clone() };
    let once: Vec<_> = read.iter().map(name).filter(only_once).collect();
    refuse_repeated(faults, &fields.path_of("filters"), "the filter", &once);
    let rewrite = once.iter().find(|name| name.value == "URLRewrite");
    if let (Some(rewrite), true) = (rewrite, redirects(&read)) {
        let what = "`URLRewrite` and `RequestRedirect` exclude each other";
        faults.add(Code::Conflict, &rewrite.at, &fields.path_of("filters"), what);
    }
    read
}

/// True for filters that may stand in a list once.
fn only_once(name: &Located<String>) -> bool {
    !["RequestMirror", "ExtensionRef"].contains(&name.as_str())
}

pub(super) fn redirects(filters: &[Filter]) -> bool {
    filters.iter().any(|filter| matches!(filter.kind, FilterKind::RequestRedirect(_)))
}

fn type_of(kind: &FilterKind) -> &str {
    match kind {
        FilterKind::RequestMirror(_) => "RequestMirror",
        FilterKind::RequestHeaderModifier(_) => "RequestHeaderModifier",
        FilterKind::ResponseHeaderModifier(_) => "ResponseHeaderModifier",
        FilterKind::UrlRewrite(_) => "URLRewrite",
        FilterKind::RequestRedirect(_) => "RequestRedirect",
        FilterKind::Other(name) => name,
    }
}

fn filter(faults: &mut Faults<'_>, field: &Field<'_>, route: Route) -> Option<Filter> {
    field.map(faults, Foreign, |faults, fields, at| {
        fields.ignore(&FIELDS.map(|(_, field)| field));
        let known = if route == Route::Grpc { &FIELDS[..GRPC] } else { &FIELDS[..] };
        let kind = fields.required(faults, "type").and_then(|field| field.one_of(faults, known))?.value;
        for (name, other) in FIELDS.iter().filter(|(_, other)| *other != kind && fields.has(other)) {
            let what = format!("belongs to a filter of type {name}");
            faults.add(Code::Conflict, &at, &fields.path_of(other), what);
        }
        let value = fields.required(faults, kind)?;
        let kind = match kind {
            "requestMirror" => FilterKind::RequestMirror(mirror(faults, &value)?),
            "requestHeaderModifier" => FilterKind::RequestHeaderModifier(modifier(faults, &value)?),
            "responseHeaderModifier" => FilterKind::ResponseHeaderModifier(modifier(faults, &value)?),
            "urlRewrite" => FilterKind::UrlRewrite(rewrite(faults, &value)?),
            "requestRedirect" => FilterKind::RequestRedirect(redirect(faults, &value)?),
            other => {
                let (name, _) = FIELDS.iter().find(|(_, field)| *field == other)?;
                FilterKind::Other((*name).to_owned())
            }
        };
        Some(Filter { at, kind })
    })
}

fn mirror(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<MirrorFilter> {
    field.map(faults, Foreign, |faults, fields, at| {
        let backend = fields.required(faults, "backendRef").and_then(|field| {
            field.map(faults, Foreign, |faults, fields, _| references::object(faults, fields))
        });
        fields.exclusive(faults, &["percent", "fraction"]);
        let percent = fields.integer(faults, "percent", 0..=100);
        let percent = percent.map(|found| Located { value: MirrorShare::Percent(found.value), at: found.at });
        let fraction = fields.child(faults, "fraction", Foreign, fraction);
        Some(MirrorFilter { at, backend: backend?, share: fraction.or(percent) })
    })
}

fn fraction(faults: &mut Faults<'_>, fields: &mut Fields<'_>, at: Location) -> Option<Located<MirrorShare>> {
    let whole = 0..=i32::MAX.unsigned_abs();
    let numerator = fields.required(faults, "numerator")?.integer(faults, whole)?.value;
    let denominator = match fields.get("denominator") {
        Some(field) => field.integer(faults, 1..=i32::MAX.unsigned_abs())?.value,
        None => 100,
    };
    if numerator > denominator {
        let what = format!("{numerator}/{denominator} is more than everything");
        faults
            .add(Code::OutOfRange, &at, fields.path(), what)
            .help("the denominator is 100 where none is written");
        return None;
    }
    Some(Located { value: MirrorShare::Fraction { numerator, denominator }, at })
}

fn modifier(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<HeaderModifier> {
    field.map(faults, Foreign, |faults, fields, _| {
        let pairs = |faults: &mut Faults<'_>, fields: &mut Fields<'_>, name| {
            fields.items(faults, name, |faults, item| {
                item.map(faults, Foreign, |faults, fields, _| {
                    let name = fields.required(faults, "name").and_then(|field| field.text(faults));
                    let value = fields.required(faults, "value").and_then(|field| field.text(faults));
                    let name = name?;
                    if http::HeaderName::from_bytes(name.as_bytes()).is_err() {
                        let what = format!("`{}` is not the name of a header", name.value);
                        faults.add(Code::BadValue, &name.at, &fields.path_of("name"), what);
                        return None;
                    }
                    Some((name, value?))
                })
            })
        };
        Some(HeaderModifier {
            set: pairs(faults, fields, "set"),
            add: pairs(faults, fields, "add"),
            remove: fields.texts(faults, "remove"),
        })
    })
}

fn rewrite(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<UrlRewrite> {
    field.map(faults, Foreign, |faults, fields, _| {
        let hostname = fields.get("hostname").and_then(|field| super::hostname(faults, &field));
        Some(UrlRewrite { hostname, path: path(faults, fields) })
    })
}

fn redirect(faults: &mut Faults<'_>, field: &Field<'_>) -> Option<RequestRedirect> {
    field.map(faults, Foreign, |faults, fields, _| {
        let status_code = fields.get("statusCode").and_then(|field| {
            let code = field.integer(faults, 100..=599)?;
            if !REDIRECT_CODES.contains(&code.value) {
                let what = format!("{} is not a redirect", code.value);
                field.fault(faults, Code::OutOfRange, what).help("one of: 301, 302, 303, 307, 308");
            }
            Some(code)
        });
        Some(RequestRedirect {
            scheme: fields.word(faults, "scheme"),
            hostname: fields.get("hostname").and_then(|field| super::hostname(faults, &field)),
            path: path(faults, fields),
            port: fields.get("port").and_then(|field| field.port(faults)),
            status_code,
        })
    })
}

fn path(faults: &mut Faults<'_>, fields: &mut Fields<'_>) -> Option<Located<PathModifier>> {
    const TYPES: &[(&str, &str)] =
        &[("ReplaceFullPath", "replaceFullPath"), ("ReplacePrefixMatch", "replacePrefixMatch")];
    fields.child(faults, "path", Foreign, |faults, fields, at| {
        let kind = fields.required(faults, "type").and_then(|field| field.one_of(faults, TYPES))?.value;
        fields.exclusive(faults, &["replaceFullPath", "replacePrefixMatch"]);
        // `required` takes an empty text for written, which both of them may be.
        let value = fields.required(faults, kind).and_then(|field| field.text(faults))?.value;
        let value = if kind == "replaceFullPath" {
            PathModifier::ReplaceFullPath(value)
        } else {
            PathModifier::ReplacePrefixMatch(value)
        };
        Some(Located { value, at })
    })
}

/// `replacePrefixMatch` needs a prefix to replace.
pub(super) fn check_prefixes(faults: &mut Faults<'_>, filters: &[Filter], prefixes: bool) {
    for filter in filters.iter().filter(|_| !prefixes) {
        let path = match &filter.kind {
            FilterKind::UrlRewrite(rewrite) => rewrite.path.as_ref(),
            FilterKind::RequestRedirect(redirect) => redirect.path.as_ref(),
            _ => None,
        };
        if let Some(path) = path.filter(|path| matches!(path.value, PathModifier::ReplacePrefixMatch(_))) {
            let what = "replacePrefixMatch needs matches of path type PathPrefix";
            faults.add(Code::Conflict, &path.at, "", what);
        }
    }
}
