//! `umbra schema`: the JSON Schema of umbra's own kinds, for editors.

use std::process::ExitCode;

use clap::Args;

use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

impl Arguments {
    #[allow(clippy::print_stdout, reason = "the schema is the command's output")]
    #[allow(clippy::unused_self, reason = "as every command")]
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        println!("{:#}", config::schema());
        Ok(ExitCode::SUCCESS)
    }
}
