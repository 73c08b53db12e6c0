//! `umbra schema`: the JSON Schema of umbra's own kinds, for editors.

use std::process::ExitCode;

use clap::Args;

use super::out;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        out::print(config::SCHEMA)?;
        Ok(ExitCode::SUCCESS)
    }
}
