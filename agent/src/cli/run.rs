//! `umbra run`: from files, or from three flags.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use clap::Args;

use super::quick;
use crate::app::{self, Log, Source};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  umbra run --config rules.yaml
  umbra run --port 8080 --mirror http://127.0.0.1:9090 --percent 10")]
#[group(skip)]
pub(super) struct Arguments {
    /// A file of Kubernetes-style YAML, or a directory of them; may be repeated. Changes take effect at once.
    #[arg(long, value_name = "PATH", required_unless_present = "port", conflicts_with = "port")]
    config: Vec<PathBuf>,
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
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start")?;
        let ran = runtime.block_on(app::run(source, log));
        // Told to stop twice, nothing that still drains is waited for.
        runtime.shutdown_background();
        ran.map(|()| ExitCode::SUCCESS)
    }
}
