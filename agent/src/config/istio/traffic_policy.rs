//! `trafficPolicy` of a DestinationRule (istio/api `destination_rule.proto`): how endpoints are chosen and spoken to.
//! Numbers are as written; 0 means "Istio's default" for most of them.

use std::{collections::BTreeMap, time::Duration};

use crate::config::{Located, Location};

#[derive(Clone, Debug)]
pub struct TrafficPolicy {
    pub at: Location,
    /// For every port without settings of its own.
    pub blocks: PolicyBlocks,
    /// Each replaces `blocks` wholesale for its port: what it leaves out has defaults.
    pub port_level_settings: Vec<PortPolicy>,
    pub tunnel: Option<Tunnel>,
    pub proxy_protocol: Option<Located<ProxyProtocolVersion>>,
    pub retry_budget: Option<RetryBudget>,
}

/// What a policy and its settings of one port have in common.
#[derive(Clone, Debug, Default)]
pub struct PolicyBlocks {
    pub load_balancer: Option<LoadBalancer>,
    pub connection_pool: Option<ConnectionPool>,
    pub outlier_detection: Option<OutlierDetection>,
    pub tls: Option<ClientTls>,
}

#[derive(Clone, Debug)]
pub struct PortPolicy {
    pub at: Location,
    /// A port of the service.
    pub port: Located<u16>,
    pub blocks: PolicyBlocks,
}

#[derive(Clone, Debug)]
pub struct LoadBalancer {
    pub at: Location,
    pub simple: Option<Located<SimpleLoadBalancer>>,
    /// Excludes `simple`.
    pub consistent_hash: Option<ConsistentHash>,
    pub locality: Option<LocalityLoadBalancer>,
    pub zone_aware: Option<ZoneAware>,
    pub warmup: Option<Warmup>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SimpleLoadBalancer {
    #[default]
    Unspecified,
    /// `LEAST_CONN`, deprecated: the same as `LEAST_REQUEST`.
    LeastConn,
    LeastRequest,
    Random,
    RoundRobin,
    Passthrough,
}

#[derive(Clone, Debug)]
pub struct ConsistentHash {
    pub at: Location,
    pub key: Option<HashKey>,
    /// `ringHash.minimumRingSize`, or the deprecated `minimumRingSize`.
    pub ring_size: Option<Located<u64>>,
    /// `maglev.tableSize`; excludes a ring.
    pub maglev_table_size: Option<Located<u64>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    Header(Located<String>),
    Cookie { name: Located<String>, path: Option<String>, ttl: Option<Duration> },
    SourceIp,
    QueryParameter(Located<String>),
}

/// One at most of `distribute`, `failover` and `failover_priority`.
#[derive(Clone, Debug)]
pub struct LocalityLoadBalancer {
    pub at: Location,
    pub enabled: Option<bool>,
    /// From a locality to localities with their shares in percent.
    pub distribute: Vec<(Located<String>, BTreeMap<String, u32>)>,
    /// From a region to a region.
    pub failover: Vec<Failover>,
    pub failover_priority: Vec<Located<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug)]
pub struct ZoneAware {
    pub at: Location,
    pub enabled: Option<bool>,
    pub min_cluster_size: Option<Located<u64>>,
    pub failover: Vec<Failover>,
}

#[derive(Clone, Debug)]
pub struct Warmup {
    pub at: Location,
    pub duration: Located<Duration>,
    pub minimum_percent: Option<Located<f64>>,
    pub aggression: Option<Located<f64>>,
}

#[derive(Clone, Debug)]
pub struct ConnectionPool {
    pub at: Location,
    pub tcp: TcpPool,
    pub http: HttpPool,
}

#[derive(Clone, Debug, Default)]
pub struct TcpPool {
    pub max_connections: Option<Located<u32>>,
    pub connect_timeout: Option<Located<Duration>>,
    pub max_connection_duration: Option<Located<Duration>>,
    pub idle_timeout: Option<Located<Duration>>,
    pub keepalive: Option<TcpKeepalive>,
}

#[derive(Clone, Debug)]
pub struct TcpKeepalive {
    pub at: Location,
    pub probes: Option<Located<u32>>,
    pub time: Option<Located<Duration>>,
    pub interval: Option<Located<Duration>>,
}

#[derive(Clone, Debug, Default)]
pub struct HttpPool {
    pub http1_max_pending_requests: Option<Located<u32>>,
    pub http2_max_requests: Option<Located<u32>>,
    pub max_requests_per_connection: Option<Located<u32>>,
    pub max_retries: Option<Located<u32>>,
    pub idle_timeout: Option<Located<Duration>>,
    pub h2_upgrade_policy: Option<Located<H2UpgradePolicy>>,
    pub use_client_protocol: Option<Located<bool>>,
    pub max_concurrent_streams: Option<Located<u32>>,
    pub http2_keep_alive: Option<Http2KeepAlive>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum H2UpgradePolicy {
    Default,
    DoNotUpgrade,
    Upgrade,
}

#[derive(Clone, Debug)]
pub struct Http2KeepAlive {
    pub at: Location,
    pub interval: Option<Located<Duration>>,
    pub timeout: Option<Located<Duration>>,
}

#[derive(Clone, Debug)]
pub struct OutlierDetection {
    pub at: Location,
    pub split_external_local_origin_errors: Option<bool>,
    pub consecutive_local_origin_failures: Option<Located<u32>>,
    pub consecutive_gateway_errors: Option<Located<u32>>,
    /// Absent: 5. 0: off.
    pub consecutive_5xx_errors: Option<Located<u32>>,
    /// Deprecated, of no effect in Istio either.
    pub consecutive_errors: Option<Located<u32>>,
    pub interval: Option<Located<Duration>>,
    pub base_ejection_time: Option<Located<Duration>>,
    pub max_ejection_percent: Option<Located<u32>>,
    pub min_health_percent: Option<Located<u32>>,
}

#[derive(Clone, Debug)]
pub struct ClientTls {
    pub at: Location,
    pub mode: Located<TlsMode>,
    pub client_certificate: Option<Located<String>>,
    pub private_key: Option<Located<String>>,
    pub ca_certificates: Option<Located<String>>,
    pub ca_crl: Option<Located<String>>,
    pub credential_name: Option<Located<String>>,
    pub subject_alt_names: Vec<Located<String>>,
    pub sni: Option<Located<String>>,
    pub insecure_skip_verify: Option<Located<bool>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Simple,
    Mutual,
    IstioMutual,
}

#[derive(Clone, Debug)]
pub struct Tunnel {
    pub at: Location,
    pub protocol: Option<Located<String>>,
    pub target_host: Located<String>,
    pub target_port: Located<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyProtocolVersion {
    V1,
    V2,
}

#[derive(Clone, Debug)]
pub struct RetryBudget {
    pub at: Location,
    pub percent: Option<Located<f64>>,
    pub min_retry_concurrency: Option<Located<u32>>,
    pub budget_interval: Option<Located<Duration>>,
}
