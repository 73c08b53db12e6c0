//! `umbra check`: every fault of a configuration, before it runs.

use std::{path::PathBuf, process::ExitCode};

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
    #[allow(clippy::print_stdout, reason = "the findings are the command's output")]
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let Compiled { snapshot, report, sources, .. } =
            Source::Files(self.paths).compile(&Accounts::default());
        match self.output {
            Output::Text => {
                print!("{}", report.render(&sources));
                println!(
                    "{} errors, {} warnings; {} endpoints would be captured",
                    report.errors(),
                    report.warnings(),
                    snapshot.captured_ports().len()
                );
            }
            Output::Json => println!("{}", report.to_json()),
        }
        let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
        Ok(ExitCode::from(u8::from(found)))
    }
}
