//! `gateway.networking.k8s.io` as written: HTTPRoute, GRPCRoute, ReferenceGrant. Names and meaning are those of the
//! Gateway API reference; absent values that the API defaults are filled in.

use std::time::Duration;

use super::{Located, Location, Meta};

#[derive(Clone, Debug)]
pub struct HttpRoute {
    pub meta: Meta,
    pub parents: Vec<ParentRef>,
    pub hostnames: Vec<Located<String>>,
    pub rules: Vec<HttpRule>,
}

#[derive(Clone, Debug)]
pub struct GrpcRoute {
    pub meta: Meta,
    pub parents: Vec<ParentRef>,
    pub hostnames: Vec<Located<String>>,
    pub rules: Vec<GrpcRule>,
}

/// What a route is attached to: a Service for a mesh, a Gateway otherwise.
#[derive(Clone, Debug)]
pub struct ParentRef {
    pub at: Location,
    /// `gateway.networking.k8s.io` where none was written.
    pub group: String,
    /// `Gateway` where none was written.
    pub kind: String,
    pub namespace: Option<String>,
    pub name: Located<String>,
    pub section_name: Option<String>,
    pub port: Option<Located<u16>>,
}

#[derive(Clone, Debug)]
pub struct HttpRule {
    pub at: Location,
    pub name: Option<String>,
    /// Any may match; none at all matches every path.
    pub matches: Vec<HttpRouteMatch>,
    pub filters: Vec<Filter>,
    pub backends: Vec<BackendRef>,
    pub timeouts: Option<Timeouts>,
}

/// Every condition that is set must hold.
#[derive(Clone, Debug)]
pub struct HttpRouteMatch {
    pub at: Location,
    /// Absent: the prefix `/`.
    pub path: Option<Located<PathMatch>>,
    pub headers: Vec<KeyMatch>,
    pub query_params: Vec<KeyMatch>,
    pub method: Option<Located<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    Exact(String),
    /// By whole path elements, unlike a VirtualService's.
    Prefix(String),
    Regex(String),
}

/// A condition on the header or the query parameter `name`; of two with the same name the first counts.
#[derive(Clone, Debug)]
pub struct KeyMatch {
    pub name: Located<String>,
    pub value: Located<ValueMatch>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ValueMatch {
    Exact(String),
    Regex(String),
}

#[derive(Clone, Debug)]
pub struct GrpcRule {
    pub at: Location,
    pub name: Option<String>,
    pub matches: Vec<GrpcMatch>,
    pub filters: Vec<Filter>,
    pub backends: Vec<BackendRef>,
}

#[derive(Clone, Debug)]
pub struct GrpcMatch {
    pub at: Location,
    pub method: Option<GrpcMethod>,
    pub headers: Vec<KeyMatch>,
}

/// `/service/method`; at least one of them is set.
#[derive(Clone, Debug)]
pub struct GrpcMethod {
    pub at: Location,
    pub service: Option<Located<ValueMatch>>,
    pub method: Option<Located<ValueMatch>>,
}

#[derive(Clone, Debug)]
pub struct Timeouts {
    pub at: Location,
    pub request: Option<Located<Duration>>,
    pub backend_request: Option<Located<Duration>>,
}

#[derive(Clone, Debug)]
pub struct BackendRef {
    pub target: ObjectRef,
    /// Absent: 1.
    pub weight: Option<Located<u32>>,
    pub filters: Vec<Filter>,
}

/// `group` is empty and `kind` is `Service` where none was written.
#[derive(Clone, Debug)]
pub struct ObjectRef {
    pub at: Location,
    pub group: String,
    pub kind: String,
    pub namespace: Option<Located<String>>,
    pub name: Located<String>,
    pub port: Option<Located<u16>>,
}

#[derive(Clone, Debug)]
pub struct Filter {
    pub at: Location,
    pub kind: FilterKind,
}

#[derive(Clone, Debug)]
pub enum FilterKind {
    RequestMirror(MirrorFilter),
    RequestHeaderModifier(HeaderModifier),
    ResponseHeaderModifier(HeaderModifier),
    UrlRewrite(UrlRewrite),
    RequestRedirect(RequestRedirect),
    /// CORS, ExternalAuth, ExtensionRef, …: its type.
    Other(String),
}

#[derive(Clone, Debug)]
pub struct MirrorFilter {
    pub at: Location,
    pub backend: ObjectRef,
    /// Absent: every request.
    pub share: Option<Located<MirrorShare>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorShare {
    /// 0 to 100.
    Percent(u32),
    /// `numerator` ≤ `denominator`, which is 1 at least.
    Fraction { numerator: u32, denominator: u32 },
}

#[derive(Clone, Debug, Default)]
pub struct HeaderModifier {
    pub set: Vec<(Located<String>, Located<String>)>,
    pub add: Vec<(Located<String>, Located<String>)>,
    pub remove: Vec<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct UrlRewrite {
    pub hostname: Option<Located<String>>,
    pub path: Option<Located<PathModifier>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathModifier {
    ReplaceFullPath(String),
    ReplacePrefixMatch(String),
}

#[derive(Clone, Debug)]
pub struct RequestRedirect {
    pub scheme: Option<Located<String>>,
    pub hostname: Option<Located<String>>,
    pub path: Option<Located<PathModifier>>,
    pub port: Option<Located<u16>>,
    /// 302 where none was written.
    pub status_code: Option<Located<u16>>,
}

/// Allows references from other namespaces into its own.
#[derive(Clone, Debug)]
pub struct ReferenceGrant {
    pub meta: Meta,
    pub from: Vec<GrantFrom>,
    pub to: Vec<GrantTo>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantFrom {
    pub group: String,
    pub kind: String,
    pub namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantTo {
    pub group: String,
    pub kind: String,
    /// Absent: all of the kind.
    pub name: Option<String>,
}
