//! `umbra check`: every fault of a configuration, before it runs.

use std::{
    io::{self, ErrorKind, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context as _;
use clap::{Args, ValueEnum};

use crate::{
    app::{Compiled, Source},
    record::Accounts,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files and directories, read together as `run` would read them; - is standard input.
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let compiled = Source::Files(self.paths).compile(&Accounts::default());
        let report = &compiled.report;
        let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
        match show(&compiled, self.output) {
            // Whoever reads has seen enough, as `head` does; the exit code holds all the same.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            shown => shown.context("write the findings")?,
        }
        Ok(ExitCode::from(u8::from(found)))
    }
}

fn show(Compiled { snapshot, report, sources, .. }: &Compiled, output: Output) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match output {
        Output::Text => {
            write!(out, "{}", report.render(sources))?;
            writeln!(
                out,
                "{} errors, {} warnings; {} endpoints would be captured",
                report.errors(),
                report.warnings(),
                snapshot.captured_ports().len()
            )
        }
        Output::Json => writeln!(out, "{}", report.to_json()),
    }
}
