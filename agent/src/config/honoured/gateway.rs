//! The lists of `gateway.networking.k8s.io`.

use super::{HONOURED, Rows};

const ANSWERS: &str =
    "the primary's responses are left as they are, those of shadows are read and thrown away";
const SECTION: &str = "the route holds for every section of its parent";
const EXTENSION: &str = "what it does is not known here: requests are mirrored as if it were not there";
const SESSION: &str = "each copy goes to the next endpoint";
const GATEWAYS: &str = "the route holds for the parents it names";

/// What both kinds of routes have.
pub(super) const ROUTE: Rows = &[
    ("spec.hostnames", HONOURED),
    ("spec.parentRefs.{group,kind,namespace,name,port}", HONOURED),
    ("spec.parentRefs.sectionName", SECTION),
    ("spec.useDefaultGateways", GATEWAYS),
    ("spec.rules.backendRefs.{group,kind,namespace,name,port,weight}", HONOURED),
    ("spec.rules.{,backendRefs.}filters.type", HONOURED),
    ("spec.rules.filters.requestMirror.{percent,fraction.numerator,fraction.denominator}", HONOURED),
    ("spec.rules.filters.requestMirror.backendRef.{group,kind,namespace,name,port}", HONOURED),
    (
        "spec.rules.backendRefs.filters.requestMirror",
        "only mirrors of the whole rule get copies, as in Istio",
    ),
    ("spec.rules.{,backendRefs.}filters.requestHeaderModifier.{set,add}.{name,value}", HONOURED),
    ("spec.rules.{,backendRefs.}filters.requestHeaderModifier.remove", HONOURED),
    ("spec.rules.{,backendRefs.}filters.responseHeaderModifier", ANSWERS),
    ("spec.rules.{,backendRefs.}filters.extensionRef", EXTENSION),
    ("spec.rules.sessionPersistence", SESSION),
];

pub(super) const HTTP_ROUTE: Rows = &[
    ("spec.rules.{name,matches.method,matches.path.type,matches.path.value}", HONOURED),
    ("spec.rules.matches.{headers,queryParams}.{type,name,value}", HONOURED),
    ("spec.rules.{,backendRefs.}filters.urlRewrite.hostname", HONOURED),
    ("spec.rules.{,backendRefs.}filters.urlRewrite.path.{type,replaceFullPath,replacePrefixMatch}", HONOURED),
    ("spec.rules.{,backendRefs.}filters.requestRedirect.{scheme,hostname,port,statusCode}", HONOURED),
    (
        "spec.rules.{,backendRefs.}filters.requestRedirect.path.{type,replaceFullPath,replacePrefixMatch}",
        HONOURED,
    ),
    ("spec.rules.{,backendRefs.}filters.cors", "preflight requests are mirrored like any other"),
    ("spec.rules.{,backendRefs.}filters.externalAuth", "requests that it would refuse are mirrored too"),
    ("spec.rules.timeouts.{request,backendRequest}", HONOURED),
    ("spec.rules.retry", "nothing is retried, neither the primary nor a copy"),
];

pub(super) const GRPC_ROUTE: Rows = &[
    ("spec.rules.{name,matches.method.type,matches.method.service,matches.method.method}", HONOURED),
    ("spec.rules.matches.headers.{type,name,value}", HONOURED),
];

pub(super) const REFERENCE_GRANT: Rows =
    &[("spec.from.{group,kind,namespace}", HONOURED), ("spec.to.{group,kind,name}", HONOURED)];
