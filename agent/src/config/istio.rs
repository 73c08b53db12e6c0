//! `networking.istio.io` as written: VirtualService, DestinationRule, ServiceEntry. Field names are Istio's; the
//! meaning of each is in Istio's reference of the kind. Fields whose meaning is not honoured are not kept: reading
//! reports each by name (UMB0201).

use std::collections::BTreeMap;

use super::{Located, Location, Meta};

#[derive(Clone, Debug)]
pub struct VirtualService {
    pub meta: Meta,
    pub hosts: Vec<Located<String>>,
    /// Empty means `["mesh"]`.
    pub gateways: Vec<Located<String>>,
    pub http: Vec<HttpRoute>,
    /// Empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

/// `spec.http[]`: one rule.
#[derive(Clone, Debug)]
pub struct HttpRoute {
    pub at: Location,
    pub name: Option<String>,
    /// Any block may match; none at all matches everything.
    pub matches: Vec<HttpMatch>,
    pub route: Vec<RouteDestination>,
    /// Set when the rule answers by itself and so never mirrors.
    pub redirect: Option<Location>,
    pub direct_response: Option<Location>,
    pub delegate: Option<Location>,
    pub mirror: Option<Destination>,
    pub mirrors: Vec<MirrorPolicy>,
    /// Where `mirrors` stands, when it was written at all.
    pub mirrors_at: Option<Location>,
    /// `mirrorPercent` and its alias `mirror_percent`; deprecated, beaten by `mirrorPercentage`.
    pub mirror_percent: Option<Located<u64>>,
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
}

#[derive(Clone, Debug)]
pub struct Destination {
    pub at: Location,
    pub host: Located<String>,
    pub subset: Option<Located<String>>,
    pub port: Option<Located<u16>>,
}

/// `spec.http[].match[]`: every condition that is set must hold.
#[derive(Clone, Debug)]
pub struct HttpMatch {
    pub at: Location,
    pub name: Option<String>,
    pub uri: Option<Located<StringMatch>>,
    pub ignore_uri_case: bool,
    pub scheme: Option<Located<StringMatch>>,
    pub method: Option<Located<StringMatch>>,
    pub authority: Option<Located<StringMatch>>,
    /// Keys as written.
    pub headers: Vec<(Located<String>, Located<StringMatch>)>,
    pub without_headers: Vec<(Located<String>, Located<StringMatch>)>,
    pub query_params: Vec<(Located<String>, Located<StringMatch>)>,
    pub port: Option<Located<u16>>,
    pub source_labels: BTreeMap<String, String>,
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

#[derive(Clone, Debug)]
pub struct DestinationRule {
    pub meta: Meta,
    pub host: Located<String>,
    pub subsets: Vec<Subset>,
    pub export_to: Vec<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct Subset {
    pub name: Located<String>,
    pub labels: BTreeMap<String, String>,
}

#[derive(Clone, Debug)]
pub struct ServiceEntry {
    pub meta: Meta,
    pub hosts: Vec<Located<String>>,
    pub ports: Vec<ServicePort>,
    pub resolution: Located<Resolution>,
    pub endpoints: Vec<WorkloadEndpoint>,
    pub export_to: Vec<Located<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    None,
    Static,
    Dns,
    DnsRoundRobin,
    DynamicDns,
}

#[derive(Clone, Debug)]
pub struct ServicePort {
    pub number: Located<u16>,
    pub name: String,
    /// Upper case; `HTTP` where none was written.
    pub protocol: String,
    /// Equals `number` where none was written.
    pub target_port: u16,
}

#[derive(Clone, Debug)]
pub struct WorkloadEndpoint {
    /// An IP address for STATIC. `0.0.0.0` or `::` stands for every local address of a captured namespace.
    pub address: Located<String>,
    pub labels: BTreeMap<String, String>,
    /// Service port name → the port this endpoint listens on.
    pub ports: BTreeMap<String, u16>,
    pub weight: Option<u32>,
}
