//! Which `trafficPolicy` a destination has, and what it means: a subset's overrides the host's block by block, and
//! `portLevelSettings` replace what they are part of wholesale for their port.

use std::{
    fmt,
    hash::{Hash, Hasher},
    path::PathBuf,
    time::Duration,
};

use super::{
    findings::{Findings, Site},
    services::{Port, Service},
    settings::{Balance, Connections, Impossible, Outliers, Pings, Protocol, Security, Settings, Tls},
};
use crate::config::{
    Code, Located, Location,
    istio::{
        ClientTls, ConnectionPool, DestinationRule, H2UpgradePolicy, Http2KeepAlive, LoadBalancer,
        LocalityLoadBalancer, OutlierDetection, PolicyBlocks, SimpleLoadBalancer, TlsMode, TrafficPolicy,
    },
};

/// What speaks for a destination, as written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Policies<'a> {
    pub(super) host: Option<Policy<'a>>,
    pub(super) subset: Option<Policy<'a>>,
}

/// One `trafficPolicy` of a rule: the host's, or that of the subset with this index.
#[derive(Clone, Copy)]
pub(super) struct Policy<'a> {
    rule: &'a DestinationRule,
    subset: Option<usize>,
    written: &'a TrafficPolicy,
}

/// A block with the policy it stands in, and the index of its port's settings if it stands there.
struct Block<'a, T> {
    written: &'a T,
    policy: Policy<'a>,
    port: Option<usize>,
}

impl<'a> Policy<'a> {
    pub(super) fn of_host(rule: &'a DestinationRule) -> Option<Self> {
        Some(Self { rule, subset: None, written: rule.traffic_policy.as_ref()? })
    }

    pub(super) fn of_subset(rule: &'a DestinationRule, index: usize) -> Option<Self> {
        let written = rule.subsets.get(index)?.traffic_policy.as_ref()?;
        Some(Self { rule, subset: Some(index), written })
    }

    /// The blocks for a port, and the index of its settings if it has any.
    fn blocks(&self, port: u16) -> (&'a PolicyBlocks, Option<usize>) {
        let of_port =
            self.written.port_level_settings.iter().position(|settings| settings.port.value == port);
        match of_port {
            Some(index) => (&self.written.port_level_settings[index].blocks, Some(index)),
            None => (&self.written.blocks, None),
        }
    }
}

impl<'a> Policies<'a> {
    /// What is in force for a port of a service.
    pub(super) fn settings(&self, service: &Service, port: &Port, findings: &mut Findings<'_>) -> Settings {
        let block = self.block(port.number, |blocks| blocks.tls.as_ref());
        if block.is_none() && port.is_https {
            plain_to_tls(service, port, findings);
        }
        let security = block.map_or(Security::Plain, |block| security(&block, service, findings));
        let balance = self.block(port.number, |blocks| blocks.load_balancer.as_ref());
        let pool = self.block(port.number, |blocks| blocks.connection_pool.as_ref());
        let outliers = self.block(port.number, |blocks| blocks.outlier_detection.as_ref());
        if let (Some(balance), None) = (&balance, &outliers) {
            no_failover(balance, findings);
        }
        let mut rules: Vec<_> = [self.host, self.subset]
            .into_iter()
            .flatten()
            .map(|policy| policy.rule.meta.qualified())
            .collect();
        rules.dedup();
        Settings {
            rules,
            protocol: pool.as_ref().and_then(|block| protocol(block.written)).unwrap_or(port.protocol),
            balance: balance.map_or_else(Balance::default, |block| balancing(&block, findings)),
            connections: pool.map_or_else(Connections::default, |block| connections(block.written)),
            outliers: outliers.map(|block| outlier_detection(block.written)),
            security,
        }
    }

    /// What is said of localities, for a port.
    pub(super) fn locality(&self, port: u16) -> Option<&'a LocalityLoadBalancer> {
        self.block(port, |blocks| blocks.load_balancer.as_ref())?.written.locality.as_ref()
    }

    /// All that settings are made of, as text. Empty where nothing is written.
    pub(super) fn key(&self) -> String {
        let written = [self.host, self.subset].into_iter().flatten();
        written.map(|policy| format!(" {policy:?} {:?}", policy.written)).collect()
    }

    /// The subset's, else the host's.
    fn block<T>(&self, port: u16, of: impl Fn(&'a PolicyBlocks) -> Option<&'a T>) -> Option<Block<'a, T>> {
        let found = |policy: Policy<'a>| {
            let (blocks, port) = policy.blocks(port);
            Some(Block { written: of(blocks)?, policy, port })
        };
        self.subset.and_then(found).or_else(|| self.host.and_then(found))
    }
}

impl<T> Block<'_, T> {
    /// Reports something of this block; `name` is the block's field.
    fn report(
        &self,
        findings: &mut Findings<'_>,
        (code, at): (Code, &Location),
        (name, field): (&str, &str),
        what: &str,
        hint: &str,
    ) {
        self.site(name, |site| findings.add(code, at, &site.field(field), what, hint.to_owned()));
    }

    fn site<R>(&self, name: &str, then: impl FnOnce(&Site<'_>) -> R) -> R {
        let root = Site::of("DestinationRule", &self.policy.rule.meta);
        let of_subset = self.policy.subset.map(|index| root.item("subsets", index));
        let policy = of_subset.as_ref().unwrap_or(&root);
        let policy = policy.field("trafficPolicy");
        let of_port = self.port.map(|index| policy.item("portLevelSettings", index));
        then(&of_port.as_ref().unwrap_or(&policy).field(name))
    }
}

/// A setting for localities has no effect where nothing makes an endpoint fail (`ApplyLocalityLoadBalancer` of Istio); but for
/// `distribute`, which is not honoured anyway.
fn no_failover(block: &Block<'_, LoadBalancer>, findings: &mut Findings<'_>) {
    let Some(locality) = &block.written.locality else { return };
    if locality.enabled != Some(false) && locality.distribute.is_empty() {
        let what = "without outlierDetection no endpoint fails, and none is preferred for where it is";
        let hint = "add outlierDetection to the same trafficPolicy";
        let place = (Code::NoFailover, &locality.at);
        block.report(findings, place, ("loadBalancer", "localityLbSetting"), what, hint);
    }
}

fn balancing(block: &Block<'_, LoadBalancer>, findings: &mut Findings<'_>) -> Balance {
    let Some(simple) = &block.written.simple else { return Balance::default() };
    match simple.value {
        SimpleLoadBalancer::RoundRobin => Balance::RoundRobin,
        SimpleLoadBalancer::Random => Balance::Random,
        SimpleLoadBalancer::Passthrough => {
            let what = "PASSTHROUGH sends to the address that the client dialled, where a copy must not go: \
                        LEAST_REQUEST is used";
            let hint = "write another value in a `trafficPolicy` of the mirror's subset";
            let place = (Code::Unusable, &simple.at);
            block.report(findings, place, ("loadBalancer", "simple"), what, hint);
            Balance::default()
        }
        _ => Balance::LeastRequest,
    }
}

/// What is asked for; None leaves it to the port. `DO_NOT_UPGRADE` is what holds without a word, too: it takes HTTP/2 from no
/// port.
fn protocol(written: &ConnectionPool) -> Option<Protocol> {
    let http = &written.http;
    if http.use_client_protocol.as_ref().is_some_and(|it| it.value) {
        return Some(Protocol::Same);
    }
    let upgrade = http.h2_upgrade_policy.as_ref().is_some_and(|it| it.value == H2UpgradePolicy::Upgrade);
    upgrade.then_some(Protocol::Http2)
}

/// 0 means Istio's default: no limit.
fn connections(written: &ConnectionPool) -> Connections {
    let limit = |value: &Option<Located<u32>>| value.as_ref().map(|it| it.value).filter(|&it| it > 0);
    let count = |value| limit(value).and_then(|it| usize::try_from(it).ok());
    let time = |value: &Option<Located<Duration>>| value.as_ref().map(|it| it.value);
    let (tcp, http) = (&written.tcp, &written.http);
    Connections {
        max: count(&tcp.max_connections),
        max_pending: count(&http.http1_max_pending_requests),
        max_requests: count(&http.http2_max_requests),
        requests_per_connection: limit(&http.max_requests_per_connection),
        connect_timeout: time(&tcp.connect_timeout).filter(|it| !it.is_zero()),
        idle_timeout: time(&http.idle_timeout),
        max_age: time(&tcp.max_connection_duration).filter(|it| !it.is_zero()),
        keepalive: tcp.keepalive.as_ref().map(Into::into),
        max_streams: count(&http.max_concurrent_streams),
        pings: http.http2_keep_alive.as_ref().and_then(pings),
    }
}

/// Without an interval there are no pings (Envoy's `connection_keepalive`).
fn pings(written: &Http2KeepAlive) -> Option<Pings> {
    const PATIENCE: Duration = Duration::from_secs(20);
    let time =
        |value: &Option<Located<Duration>>| value.as_ref().map(|it| it.value).filter(|time| !time.is_zero());
    Some(Pings { interval: time(&written.interval)?, timeout: time(&written.timeout).unwrap_or(PATIENCE) })
}

/// Istio's defaults where nothing is written, and where 0 stands for them.
fn outlier_detection(written: &OutlierDetection) -> Outliers {
    let count = |value: &Option<Located<u32>>| value.as_ref().map(|it| it.value);
    let time = |value: &Option<Located<Duration>>, default| {
        let value = value.as_ref().map(|it| it.value).filter(|it| !it.is_zero());
        value.unwrap_or(Duration::from_secs(default))
    };
    let set = |value| count(value).filter(|&it| it > 0);
    Outliers {
        consecutive_5xx: count(&written.consecutive_5xx_errors).unwrap_or(5),
        consecutive_gateway_errors: count(&written.consecutive_gateway_errors).unwrap_or(0),
        split_local_errors: written.split_external_local_origin_errors.unwrap_or(false),
        consecutive_local_failures: set(&written.consecutive_local_origin_failures).unwrap_or(5),
        interval: time(&written.interval, 10),
        base_ejection: time(&written.base_ejection_time, 30),
        max_ejected_percent: set(&written.max_ejection_percent).unwrap_or(10),
        min_healthy_percent: count(&written.min_health_percent).unwrap_or(0),
    }
}

fn security(block: &Block<'_, ClientTls>, service: &Service, findings: &mut Findings<'_>) -> Security {
    let tls = block.written;
    let mut impossible = |at, field, why: Impossible| {
        let what = format!("{}: every copy to `{}` fails", why.as_str(), service.host);
        let hint = "write a rule for the mirror's host with mode DISABLE (its peers must be PERMISSIVE), or MUTUAL \
                    with clientCertificate, privateKey and caCertificates";
        block.report(findings, (Code::NoTls, at), ("tls", field), &what, hint);
        Security::Impossible(why)
    };
    match (tls.mode.value, &tls.credential_name) {
        (TlsMode::Disable, _) => return Security::Plain,
        (TlsMode::IstioMutual, _) => return impossible(&tls.mode.at, "mode", Impossible::NoIdentity),
        (_, Some(name)) => return impossible(&name.at, "credentialName", Impossible::NoSecrets),
        (TlsMode::Simple | TlsMode::Mutual, None) => {}
    }
    let file = |written: &Option<Located<String>>| {
        written.as_ref().map(|it| Located { value: PathBuf::from(&it.value), at: it.at.clone() })
    };
    let identity = file(&tls.client_certificate).zip(file(&tls.private_key));
    let values = |names: &[Located<String>]| names.iter().map(|name| name.value.clone()).collect::<Vec<_>>();
    let names = match tls.subject_alt_names.as_slice() {
        [] => values(&service.subject_alt_names),
        names => values(names),
    };
    Security::Tls(Box::new(Tls {
        object: format!("DestinationRule {}", block.policy.rule.meta.qualified()),
        path: block.site("tls", |site| site.to_string()),
        // Istio would take the copy's Host, which names the primary: no shadow has a certificate for that.
        server_name: tls
            .sni
            .clone()
            .unwrap_or_else(|| Located { value: service.host.to_string(), at: tls.at.clone() }),
        names,
        identity: identity.filter(|_| tls.mode.value == TlsMode::Mutual),
        authorities: file(&tls.ca_certificates),
        revoked: file(&tls.ca_crl),
        unverified: tls.insecure_skip_verify.as_ref().is_some_and(|skip| skip.value),
    }))
}

fn plain_to_tls(service: &Service, port: &Port, findings: &mut Findings<'_>) {
    let site = Site::of(service.kind.as_str(), &service.meta);
    let what = format!("port {} speaks TLS, and copies are sent there unencrypted", port.number);
    let hint = "write `trafficPolicy: {tls: {mode: SIMPLE}}` in a DestinationRule for its host";
    findings.add(Code::PlainToTls, &port.at, &site.field("ports"), what, hint.to_owned());
}

/// What is written once is the same once.
impl PartialEq for Policy<'_> {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.written, other.written)
    }
}

impl Eq for Policy<'_> {}

impl Hash for Policy<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        std::ptr::from_ref(self.written).hash(state);
    }
}

impl fmt::Debug for Policy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.rule.meta.qualified(), self.subset)
    }
}
