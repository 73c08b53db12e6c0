//! `umbra schema`: the JSON Schema of umbra's own kinds, for editors.

use std::{
    io::{self, ErrorKind, Write as _},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;

use crate::config;

#[derive(Debug, Args)]
pub(super) struct Arguments {}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let Self {} = self;
        match writeln!(io::stdout(), "{:#}", config::schema()) {
            // Whoever reads has seen enough, as `head` does.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            written => written.context("write the schema")?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
