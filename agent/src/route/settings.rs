//! How a cluster is spoken to: what a DestinationRule's `trafficPolicy` means, with Istio's defaults filled in. Plain
//! values; two clusters of one name and equal settings are one to the shadow plane, over every reload.

use std::{path::PathBuf, time::Duration};

use crate::config::{Located, istio::TcpKeepalive};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The DestinationRules that speak, as `namespace/name`: of two namespaces with rules of their own for one host,
    /// each has its own connections and ejections.
    pub rules: Vec<String>,
    pub balance: Balance,
    pub connections: Connections,
    /// None: nothing is ever ejected.
    pub outliers: Option<Outliers>,
    pub security: Security,
}

/// `loadBalancer.simple`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The less busy of two drawn at random.
    #[default]
    LeastRequest,
    RoundRobin,
    Random,
}

/// `connectionPool`. None: no limit beyond the agent's own, or its own value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// `tcp.maxConnections`
    pub max: Option<usize>,
    /// `http.http1MaxPendingRequests`: copies that wait for a connection.
    pub max_pending: Option<usize>,
    /// `http.http2MaxRequests`: copies that have one, whatever the version of HTTP.
    pub max_requests: Option<usize>,
    /// `http.maxRequestsPerConnection`
    pub requests_per_connection: Option<u32>,
    /// `tcp.connectTimeout`, TLS included.
    pub connect_timeout: Option<Duration>,
    /// `http.idleTimeout`; zero is for ever.
    pub idle_timeout: Option<Duration>,
    /// `tcp.maxConnectionDuration`
    pub max_age: Option<Duration>,
    pub keepalive: Option<Keepalive>,
}

/// `tcp.tcpKeepalive`. None: the kernel's own value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keepalive {
    pub probes: Option<u32>,
    pub time: Option<Duration>,
    pub interval: Option<Duration>,
}

/// `outlierDetection`. A count of 0 turns its kind of error off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outliers {
    pub consecutive_5xx: u32,
    /// 502, 503 and 504.
    pub consecutive_gateway_errors: u32,
    /// Failures to get an answer count apart from bad answers; otherwise they count as 503, or 504 for a timeout.
    pub split_local_errors: bool,
    pub consecutive_local_failures: u32,
    pub interval: Duration,
    /// Times the number of ejections.
    pub base_ejection: Duration,
    pub max_ejected_percent: u32,
    /// With fewer endpoints in force, ejections are disregarded (Envoy's panic threshold).
    pub min_healthy_percent: u32,
}

/// `tls`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Security {
    #[default]
    Plain,
    Tls(Box<Tls>),
    /// TLS is asked for in a way that is impossible here: every copy fails.
    Impossible(Impossible),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Impossible {
    /// `ISTIO_MUTUAL`
    NoIdentity,
    /// `credentialName`
    NoSecrets,
}

/// TLS with certificates from files. They are read when a connection is made, and again when they have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// `DestinationRule default/my-app`
    pub object: String,
    /// `spec.trafficPolicy.tls`
    pub path: String,
    /// The name asked for (SNI), and the one that the certificate must have unless `names` says otherwise.
    pub server_name: Located<String>,
    /// `subjectAltNames`, else those of the ServiceEntry: one of them must be in the certificate.
    pub names: Vec<String>,
    /// Certificate and key of the client (`MUTUAL`).
    pub identity: Option<(Located<PathBuf>, Located<PathBuf>)>,
    /// None: the system's.
    pub authorities: Option<Located<PathBuf>>,
    /// Revoked certificates.
    pub revoked: Option<Located<PathBuf>>,
    /// `insecureSkipVerify`: whoever answers is believed.
    pub unverified: bool,
}

impl Tls {
    /// Every file, with the name of its field.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &Located<PathBuf>)> {
        let identity = self.identity.as_ref();
        let identity = identity.map(|(chain, key)| [("clientCertificate", chain), ("privateKey", key)]);
        let authorities = self.authorities.iter().map(|file| ("caCertificates", file));
        let revoked = self.revoked.iter().map(|file| ("caCrl", file));
        identity.into_iter().flatten().chain(authorities).chain(revoked)
    }
}

impl Impossible {
    /// For a person: why, and what to do.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoIdentity => "ISTIO_MUTUAL needs an identity of the mesh, which the agent does not have",
            Self::NoSecrets => "credentialName names a Secret of Kubernetes, which the agent does not read",
        }
    }
}

impl From<&TcpKeepalive> for Keepalive {
    fn from(written: &TcpKeepalive) -> Self {
        Self {
            probes: written.probes.as_ref().map(|probes| probes.value).filter(|&probes| probes > 0),
            time: written.time.as_ref().map(|time| time.value).filter(|time| !time.is_zero()),
            interval: written.interval.as_ref().map(|every| every.value).filter(|every| !every.is_zero()),
        }
    }
}
