//! `umbra run`: from files, or from three flags.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::{Args, builder::NonEmptyStringValueParser};

use super::quick;
use crate::{
    app::{self, Here, Log, Source},
    route::Locality,
};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  umbra run --config rules.yaml
  umbra run --config rules.yaml --config pods.yaml --node node-1
  umbra run --port 8080 --mirror http://127.0.0.1:9090 --percent 10")]
#[group(skip)]
pub(super) struct Arguments {
    /// A file of Kubernetes-style YAML, or a directory of them; may be repeated. Changes take effect at once.
    #[arg(long, value_name = "PATH", required_unless_present = "port", conflicts_with = "port")]
    config: Vec<PathBuf>,
    /// This node's name in its cluster: instead of the host's namespace, the pods of this node are captured that have the
    /// label umbra.dev/capture: enabled, or whose namespace has it. Pods and Namespaces are read like rules.
    #[arg(long, env = "UMBRA_NODE", value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    node: Option<String>,
    /// Where this node is: REGION/ZONE or REGION/ZONE/SUB-ZONE, as the node's labels topology.kubernetes.io/region and /zone
    /// say. Shadow endpoints of its zone come first where Istio's or Kubernetes' rules ask for it.
    #[arg(long, env = "UMBRA_LOCALITY", value_name = "LOCALITY")]
    locality: Option<Locality>,
    #[command(flatten)]
    quick: quick::Arguments,
}

/// Both forms, of a program of this name.
pub(super) fn usage(program: &str) -> String {
    format!("{program} run --config <PATH>...\n       {program} run --port <PORT> --mirror <URL> [OPTIONS]")
}

impl Arguments {
    pub(super) fn execute(self, log: Log) -> anyhow::Result<ExitCode> {
        let source = match self.quick.to_yaml() {
            Some(yaml) => Source::CommandLine(yaml),
            None => Source::Files(self.config),
        };
        let here = Here { node: self.node, locality: self.locality.unwrap_or_default() };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
        let ran = runtime.block_on(app::run(source, here, log));
        // Told to stop twice, nothing that still drains is waited for.
        runtime.shutdown_background();
        ran.map(|()| ExitCode::SUCCESS)
    }
}
