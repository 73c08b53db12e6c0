//! The part of the Container Runtime Interface that is spoken here: `runtime.v1.RuntimeService`, with the fields that are
//! used, by their numbers in `pkg/apis/runtime/v1/api.proto` of kubernetes/cri-api. Others are skipped when they are read.

use std::collections::HashMap;

use prost::Message;
use serde::Deserialize;

/// Of a pod's sandbox; the kubelet sets it.
pub(super) const UID_LABEL: &str = "io.kubernetes.pod.uid";
/// `PodSandboxState`
pub(super) const SANDBOX_READY: i32 = 0;
/// `ContainerState`
pub(super) const CONTAINER_RUNNING: i32 = 1;
/// `NamespaceMode`: that of the node.
pub(super) const NODE: i32 = 2;
/// Where runtimes write what [`Info`] reads (containerd, CRI-O).
pub(super) const INFO: &str = "info";

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionRequest {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct VersionResponse {
    #[prost(string, tag = "2")]
    pub(super) runtime_name: String,
    #[prost(string, tag = "3")]
    pub(super) runtime_version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<PodSandboxFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxFilter {
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<StateValue>,
    #[prost(map = "string, string", tag = "3")]
    pub(super) label_selector: HashMap<String, String>,
}

/// `PodSandboxStateValue` and `ContainerStateValue`
#[derive(Clone, Copy, PartialEq, Message)]
pub(super) struct StateValue {
    #[prost(int32, tag = "1")]
    pub(super) state: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListPodSandboxResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) items: Vec<PodSandbox>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandbox {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) metadata: Option<PodSandboxMetadata>,
    #[prost(int32, tag = "3")]
    pub(super) state: i32,
    /// In nanoseconds of Unix time.
    #[prost(int64, tag = "4")]
    pub(super) created_at: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxMetadata {
    #[prost(string, tag = "2")]
    pub(super) uid: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) pod_sandbox_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<PodSandboxStatus>,
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PodSandboxStatus {
    #[prost(message, optional, tag = "6")]
    pub(super) linux: Option<LinuxPodSandboxStatus>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LinuxPodSandboxStatus {
    #[prost(message, optional, tag = "1")]
    pub(super) namespaces: Option<Namespace>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Namespace {
    #[prost(message, optional, tag = "2")]
    pub(super) options: Option<NamespaceOption>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NamespaceOption {
    #[prost(int32, tag = "1")]
    pub(super) network: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<ContainerFilter>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerFilter {
    #[prost(message, optional, tag = "2")]
    pub(super) state: Option<StateValue>,
    #[prost(string, tag = "3")]
    pub(super) pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListContainersResponse {
    #[prost(message, repeated, tag = "1")]
    pub(super) containers: Vec<Container>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Container {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(string, tag = "2")]
    pub(super) pod_sandbox_id: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusRequest {
    #[prost(string, tag = "1")]
    pub(super) container_id: String,
    #[prost(bool, tag = "2")]
    pub(super) verbose: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ContainerStatusResponse {
    #[prost(map = "string, string", tag = "2")]
    pub(super) info: HashMap<String, String>,
}

/// What runtimes say more of a sandbox or a container when they are asked to be verbose. It is no part of the interface;
/// containerd and CRI-O agree in this.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info {
    /// None, or 0: it has no process.
    pid: Option<u32>,
    runtime_spec: Option<Spec>,
}

/// Of the OCI's runtime specification.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Spec {
    linux: Option<Linux>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Linux {
    namespaces: Option<Vec<LinuxNamespace>>,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct LinuxNamespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<String>,
}

impl Info {
    /// Nothing where nothing is said.
    pub(super) fn read(info: &HashMap<String, String>) -> serde_json::Result<Self> {
        info.get(INFO).map_or_else(|| Ok(Self::default()), |text| serde_json::from_str(text))
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.pid.filter(|pid| *pid > 0)
    }

    /// The file that leads to the network namespace, by its path on the node.
    pub(super) fn netns(&self) -> Option<&str> {
        let namespaces = self.runtime_spec.as_ref()?.linux.as_ref()?.namespaces.as_ref()?;
        let network = namespaces.iter().find(|namespace| namespace.kind == "network")?;
        network.path.as_deref().filter(|path| path.starts_with('/'))
    }
}
