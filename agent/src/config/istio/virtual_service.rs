//! VirtualService (istio/api `virtual_service.proto`).

use std::time::Duration;

use crate::config::{Labels, Located, Location, Meta};

#[derive(Clone, Debug)]
pub struct VirtualService {
    pub meta: Meta,
    /// Empty: a delegate, which only other virtual services refer to.
    pub hosts: Vec<Located<String>>,
    /// Empty means `["mesh"]`.
    pub gateways: Vec<Located<String>>,
    pub http: Vec<HttpRoute>,
    /// Where `tls` and `tcp` stand; nothing there is mirrored.
    pub tls: Option<Location>,
    pub tcp: Option<Location>,
    /// Empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

/// `spec.http[]`: one rule. What few rules have is boxed: rules are kept by the ten thousand.
#[derive(Clone, Debug)]
pub struct HttpRoute {
    pub at: Location,
    pub name: Option<String>,
    /// Any block may match; none at all matches everything.
    pub matches: Vec<HttpMatch>,
    pub route: Vec<RouteDestination>,
    /// Set when the rule answers by itself and so never mirrors.
    pub redirect: Option<Box<Redirect>>,
    pub direct_response: Option<Box<DirectResponse>>,
    pub delegate: Option<Box<Delegate>>,
    pub rewrite: Option<Box<Rewrite>>,
    /// Absent or 0: none (Istio's default, unlike Envoy's 15 s).
    pub timeout: Option<Box<Located<Duration>>>,
    pub retries: Option<Box<Retries>>,
    pub fault: Option<Box<Fault>>,
    pub cors_policy: Option<Box<CorsPolicy>>,
    pub headers: Option<Box<Headers>>,
    pub mirror: Option<Destination>,
    pub mirrors: Vec<MirrorPolicy>,
    /// Where `mirrors` stands, when it was written at all.
    pub mirrors_at: Option<Box<Location>>,
    /// `mirrorPercent` and its alias `mirror_percent`; deprecated, beaten by `mirrorPercentage`.
    pub mirror_percent: Option<Box<Located<u64>>>,
    pub mirror_percentage: Option<Percent>,
}

/// `Percent`: a message without `value` means 0, not 100.
#[derive(Clone, Debug)]
pub struct Percent {
    pub at: Location,
    pub value: Option<Located<f64>>,
}

#[derive(Clone, Debug)]
pub struct MirrorPolicy {
    pub at: Location,
    pub destination: Option<Destination>,
    pub percentage: Option<Percent>,
}

#[derive(Clone, Debug)]
pub struct RouteDestination {
    pub at: Location,
    pub destination: Destination,
    pub weight: Option<Located<i64>>,
    pub headers: Option<Box<Headers>>,
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub at: Location,
    pub host: Located<String>,
    pub subset: Option<Located<String>>,
    pub port: Option<Located<u16>>,
}

/// `spec.http[].match[]`: every condition that is set must hold. What few have is boxed.
#[derive(Clone, Debug)]
pub struct HttpMatch {
    pub at: Location,
    /// It could not be read in full, so what it matches is not known. The configuration is refused.
    pub faulty: bool,
    pub name: Option<String>,
    pub uri: Option<Located<StringMatch>>,
    pub ignore_uri_case: bool,
    pub scheme: Option<Box<Located<StringMatch>>>,
    pub method: Option<Located<StringMatch>>,
    pub authority: Option<Box<Located<StringMatch>>>,
    /// Keys as written.
    pub headers: Vec<(Located<String>, Located<StringMatch>)>,
    pub without_headers: Vec<(Located<String>, Located<StringMatch>)>,
    pub query_params: Vec<(Located<String>, Located<StringMatch>)>,
    pub port: Option<Box<Located<u16>>>,
    pub source_labels: Labels,
    pub source_namespace: Option<String>,
    pub gateways: Vec<Located<String>>,
}

/// `StringMatch`; `{}` or null is [`StringMatch::Empty`], which for headers and query parameters means presence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    Exact(String),
    Prefix(String),
    Regex(String),
    Empty,
}

/// `redirect`: an answer of the proxy's own.
#[derive(Clone, Debug)]
pub struct Redirect {
    pub at: Location,
    pub uri: Option<Located<String>>,
    /// Excludes `uri`.
    pub prefix_rewrite: Option<Located<String>>,
    pub authority: Option<Located<String>>,
    pub port: Option<Located<u16>>,
    /// Excludes `port`.
    pub derive_port: Option<Located<DerivePort>>,
    pub scheme: Option<Located<String>>,
    /// 301 where none was written.
    pub code: Option<Located<u16>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DerivePort {
    FromProtocolDefault,
    FromRequestPort,
}

#[derive(Clone, Debug)]
pub struct DirectResponse {
    pub at: Location,
    pub status: Located<u16>,
    pub body: Option<Located<ResponseBody>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseBody {
    Text(String),
    /// Base64, as written.
    Bytes(String),
}

/// Where the rest of a rule is: a VirtualService without hosts.
#[derive(Clone, Debug)]
pub struct Delegate {
    pub at: Location,
    pub name: Located<String>,
    /// Absent: the namespace of the VirtualService that delegates.
    pub namespace: Option<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct Rewrite {
    pub at: Location,
    /// Replaces what `uri` matched: the prefix, or the whole path.
    pub uri: Option<Located<String>>,
    pub authority: Option<Located<String>>,
    /// Excludes `uri`.
    pub uri_regex: Option<RegexRewrite>,
}

#[derive(Clone, Debug)]
pub struct RegexRewrite {
    pub at: Location,
    pub pattern: Located<String>,
    /// With `\1` for the first group.
    pub rewrite: Located<String>,
}

#[derive(Clone, Debug)]
pub struct Retries {
    pub at: Location,
    pub attempts: Option<Located<i32>>,
    pub per_try_timeout: Option<Located<Duration>>,
    pub retry_on: Option<Located<String>>,
    pub retry_remote_localities: Option<bool>,
    pub retry_ignore_previous_hosts: Option<bool>,
    pub backoff: Option<Located<Duration>>,
}

#[derive(Clone, Debug)]
pub struct Fault {
    pub at: Location,
    pub delay: Option<FaultDelay>,
    pub abort: Option<FaultAbort>,
}

#[derive(Clone, Debug)]
pub struct FaultDelay {
    pub at: Location,
    pub percentage: Option<Percent>,
    /// Deprecated; used where `percentage` is absent, so that neither means never.
    pub percent: Option<Located<u32>>,
    pub fixed: Option<Located<Duration>>,
    /// Unsupported in Istio too.
    pub exponential: Option<Location>,
}

#[derive(Clone, Debug)]
pub struct FaultAbort {
    pub at: Location,
    /// Absent means never (Istio's translation, as for delays).
    pub percentage: Option<Percent>,
    pub error: Option<Located<AbortError>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AbortError {
    HttpStatus(u16),
    GrpcStatus(String),
    Http2Error(String),
}

#[derive(Clone, Debug)]
pub struct CorsPolicy {
    pub at: Location,
    pub allow_origins: Vec<Located<StringMatch>>,
    /// Deprecated; exact origins, used where `allowOrigins` is empty.
    pub allow_origin: Vec<Located<String>>,
    pub allow_methods: Vec<Located<String>>,
    pub allow_headers: Vec<Located<String>>,
    pub expose_headers: Vec<Located<String>>,
    pub max_age: Option<Located<Duration>>,
    pub allow_credentials: Option<bool>,
    pub unmatched_preflights: UnmatchedPreflights,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnmatchedPreflights {
    #[default]
    Forward,
    Ignore,
}

/// `headers`: changes of a message's head.
#[derive(Clone, Debug)]
pub struct Headers {
    pub at: Location,
    pub request: Option<HeaderOperations>,
    pub response: Option<HeaderOperations>,
}

/// Names and values as written; Envoy removes first, then sets, then adds.
#[derive(Clone, Debug)]
pub struct HeaderOperations {
    pub at: Location,
    pub set: Vec<(Located<String>, Located<String>)>,
    pub add: Vec<(Located<String>, Located<String>)>,
    pub remove: Vec<Located<String>>,
}
