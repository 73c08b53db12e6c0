//! ServiceEntry and WorkloadEntry (istio/api `service_entry.proto`, `workload_entry.proto`): services and endpoints.

use std::collections::BTreeMap;

use crate::config::{Labels, Located, Meta};

#[derive(Clone, Debug)]
pub struct ServiceEntry {
    pub meta: Meta,
    pub hosts: Vec<Located<String>>,
    /// Virtual addresses and networks, as written.
    pub addresses: Vec<Located<String>>,
    pub ports: Vec<ServicePort>,
    pub location: MeshLocation,
    pub resolution: Located<Resolution>,
    pub endpoints: Vec<WorkloadEndpoint>,
    /// `workloadSelector.labels`: pods and WorkloadEntries of its namespace that are its endpoints.
    pub workload_selector: Option<Located<Labels>>,
    pub subject_alt_names: Vec<Located<String>>,
    /// Empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MeshLocation {
    #[default]
    External,
    Internal,
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
pub struct WorkloadEntry {
    pub meta: Meta,
    pub endpoint: WorkloadEndpoint,
}

#[derive(Clone, Debug)]
pub struct WorkloadEndpoint {
    /// An IP address for STATIC. `0.0.0.0` or `::` stands for every local address of a captured namespace.
    pub address: Located<String>,
    pub labels: Labels,
    /// Service port name → the port this endpoint listens on.
    pub ports: BTreeMap<String, u16>,
    pub weight: Option<u32>,
    /// Boxed: endpoints are kept by the hundred thousand, and few say any of it.
    pub place: Option<Box<WorkloadPlace>>,
}

/// What of a [`WorkloadEndpoint`] says where it runs and as whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkloadPlace {
    pub network: Option<String>,
    /// `region/zone/sub-zone`
    pub locality: Option<String>,
    pub service_account: Option<String>,
}
