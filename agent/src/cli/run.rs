//! `umbra run`: from files, from a cluster, or from three flags.

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::quick;
use crate::{
    app::{self, Log, Source},
    source::kube,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  umbra run --config rules.yaml
  umbra run --kubernetes --config agent.yaml
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
    /// The node whose pods may be captured; the host's name unless it is said.
    #[arg(long, env = "NODE_NAME", value_name = "NAME")]
    node_name: Option<String>,
    /// The AgentConfig in the agent's own namespace (POD_NAMESPACE), where no file has one; the only one there, or that called
    /// `default`, unless it is said.
    #[arg(long, value_name = "NAME", requires = "kubernetes")]
    agent_config: Option<String>,
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
        let cluster = self.kubernetes.then(|| kube::Options {
            node: self.node_name.unwrap_or_else(host_name),
            agent: self.agent_config,
        });
        let source = match self.quick.to_yaml() {
            Some(yaml) => Source::CommandLine(yaml),
            None => Source::Files(self.config),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
        let ran = runtime.block_on(app::run(source, cluster, log));
        // Told to stop twice, nothing that still drains is waited for.
        runtime.shutdown_background();
        ran.map(|()| ExitCode::SUCCESS)
    }
}

/// What the kubelet calls a node that nobody named, in lower case.
fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_lowercase()
}
