//! `umbra run`: from files, from a cluster, or from three flags.

use std::{env, fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, builder::NonEmptyStringValueParser};

use super::quick;
use crate::{
    app::{self, Here, Log, Source},
    route::Locality,
    source::kube,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  umbra run --config rules.yaml
  umbra run --kubernetes --config agent.yaml
  umbra run --config rules.yaml --config pods.yaml --node-name node-1
  umbra run --port 8080 --mirror http://127.0.0.1:9090 --percent 10")]
#[group(skip)]
pub(super) struct Arguments {
    /// A file of Kubernetes-style YAML, or a directory of them; may be repeated. Changes take effect at once.
    #[arg(long, value_name = "PATH", required_unless_present_any = ["port", "kubernetes"], conflicts_with = "port")]
    config: Vec<PathBuf>,
    /// Take rules, services and pods from the API server of the cluster this runs in, or of KUBECONFIG. What stands in a file
    /// too is taken from the file.
    #[arg(long, conflicts_with = "port")]
    kubernetes: bool,
    /// This node's name in its cluster (with --kubernetes also NODE_NAME, else the host's name): instead of the host's
    /// namespace, the pods of this node are captured that have the label umbra.dev/capture: enabled, or whose namespace has it.
    /// Without --kubernetes, Pods and Namespaces are read from files like rules.
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new(), conflicts_with = "port")]
    node_name: Option<String>,
    /// The AgentConfig in the agent's own namespace (POD_NAMESPACE), where no file has one; the only one there, or that called
    /// `default`, unless it is said.
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    agent_config: Option<String>,
    /// Write what becomes of ShadowPolicies, AgentConfigs and routes with mirrors into their status, and tell of faults by events.
    /// One agent of all does, by the Lease `umbra-status` in its own namespace; without the right to, it goes on and says so.
    #[arg(long, requires = "kubernetes")]
    write_status: bool,
    /// Where this node is: REGION/ZONE or REGION/ZONE/SUB-ZONE; with --kubernetes as its labels topology.kubernetes.io/region and
    /// /zone say, unless it is said here. Shadow endpoints of its zone come first where Istio's or Kubernetes' rules ask for it.
    #[arg(long, env = "UMBRA_LOCALITY", value_name = "LOCALITY")]
    locality: Option<Locality>,
    #[command(flatten)]
    quick: quick::Arguments,
}

/// Both forms, of a program of this name.
pub(super) fn usage(program: &str) -> String {
    format!(
        "{program} run --config <PATH>...\n       {program} run --kubernetes [--config <PATH>...]\n       \
         {program} run --port <PORT> --mirror <URL> [OPTIONS]"
    )
}

impl Arguments {
    pub(super) fn execute(self, log: Log) -> anyhow::Result<ExitCode> {
        let node =
            if self.kubernetes { Some(self.node_name.unwrap_or_else(node_name)) } else { self.node_name };
        let cluster = node.clone().filter(|_| self.kubernetes);
        let cluster = cluster.map(|node| {
            let (agent, writes_status) = (self.agent_config, self.write_status);
            kube::Options { node, agent, writes_status }
        });
        let source = match self.quick.to_yaml() {
            Some(yaml) => Source::CommandLine(yaml),
            None => Source::Files(self.config),
        };
        let here = Here { node, locality: self.locality.unwrap_or_default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
        let ran = runtime.block_on(app::run(source, cluster, here, log));
        // Told to stop twice, nothing that still drains is waited for.
        runtime.shutdown_background();
        ran.map(|()| ExitCode::SUCCESS)
    }
}

/// What the DaemonSet says, else what the kubelet calls a node that nobody named: the host's name in lower case.
fn node_name() -> String {
    let said = env::var("NODE_NAME").ok().filter(|name| !name.is_empty());
    let host = || fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase();
    said.unwrap_or_else(host)
}
