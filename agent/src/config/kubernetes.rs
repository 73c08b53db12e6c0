//! Kubernetes' own kinds, as far as they say where a service's endpoints are: core/v1 Service, Pod and Namespace,
//! `discovery.k8s.io/v1` EndpointSlice. Everything else in them is left unread.

use std::{collections::BTreeMap, net::IpAddr};

use super::{Labels, Located, Meta};

#[derive(Clone, Debug)]
pub struct Service {
    pub meta: Meta,
    pub kind: ServiceType,
    pub ports: Vec<KubePort>,
    /// Empty: its endpoints are written by someone else.
    pub selector: Labels,
    /// Empty when headless.
    pub cluster_ips: Vec<IpAddr>,
    /// `clusterIP: None`
    pub headless: bool,
    /// Of type ExternalName only.
    pub external_name: Option<Located<String>>,
    pub publish_not_ready_addresses: bool,
    pub traffic_distribution: Option<TrafficDistribution>,
    /// The annotation `networking.istio.io/exportTo`; empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

/// `spec.trafficDistribution`: which endpoints come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficDistribution {
    /// Its older name is `PreferClose`.
    PreferSameZone,
    /// Then those of the same zone.
    PreferSameNode,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServiceType {
    #[default]
    ClusterIp,
    NodePort,
    LoadBalancer,
    ExternalName,
}

#[derive(Clone, Debug)]
pub struct KubePort {
    pub number: Located<u16>,
    /// May be empty where there is one port only.
    pub name: String,
    pub transport: Transport,
    pub target: TargetPort,
    /// `http`, `kubernetes.io/h2c`, `grpc`, …; as written.
    pub app_protocol: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transport {
    #[default]
    Tcp,
    Udp,
    Sctp,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    Number(u16),
    /// A named port of the pod's containers.
    Name(String),
}

#[derive(Clone, Debug)]
pub struct EndpointSlice {
    pub meta: Meta,
    /// The label `kubernetes.io/service-name`.
    pub service: Option<String>,
    pub endpoints: Vec<SliceEndpoint>,
    pub ports: Vec<SlicePort>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceEndpoint {
    /// All of one family. Names (addressType FQDN) are left out.
    pub addresses: Vec<IpAddr>,
    /// Absent conditions count as ready (API reference of EndpointConditions).
    pub ready: bool,
    pub serving: bool,
    pub terminating: bool,
    /// The name of the pod, when it is one.
    pub pod: Option<PodRef>,
    pub node: Option<String>,
    pub zone: Option<String>,
    /// `hints.forZones`
    pub for_zones: Vec<String>,
    /// `hints.forNodes`
    pub for_nodes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PodRef {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlicePort {
    /// That of the service's port.
    pub name: String,
    /// Absent: every port.
    pub port: Option<u16>,
    pub transport: Transport,
    pub app_protocol: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Pod {
    pub meta: Meta,
    /// What the kubelet names its cgroups after: `metadata.uid`, or of a static pod what its mirror in the API has in the
    /// annotation `kubernetes.io/config.mirror`.
    pub uid: Option<String>,
    pub ips: Vec<IpAddr>,
    pub phase: PodPhase,
    /// The condition `Ready`.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// `containers[].ports[]` that have a name.
    pub ports: BTreeMap<String, u16>,
    pub node: Option<String>,
    pub host_network: bool,
    pub service_account: Option<String>,
    /// None: none says that it redirects the pod's connections.
    pub mesh: Option<Mesh>,
}

/// A service mesh that redirects a pod's connections, as annotations of the pod tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mesh {
    /// `sidecar.istio.io/status`, which Istio's injector writes.
    IstioSidecar,
    /// `ambient.istio.io/redirection: enabled`, which Istio's CNI plugin writes.
    IstioAmbient,
    /// `linkerd.io/proxy-version`, which Linkerd's injector writes.
    Linkerd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PodPhase {
    Pending,
    Running,
    Succeeded,
    Failed,
    #[default]
    Unknown,
}

/// Its labels select policies, routes and pods to capture.
#[derive(Clone, Debug)]
pub struct Namespace {
    pub meta: Meta,
}
