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
    config::Code,
    record::Accounts,
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Files and directories, read together as `run` would read them; - is standard input.
    #[arg(required_unless_present_any = ["explain", "list_codes"], value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Exit with 1 on warnings too.
    #[arg(long)]
    strict: bool,
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
    /// Print what a code such as UMB0109 means and what to do about it.
    #[arg(long, value_name = "CODE", value_parser = code, conflicts_with = "paths")]
    explain: Option<Code>,
    /// Print every code with one line of what it stands for.
    #[arg(long, conflicts_with_all = ["paths", "explain"])]
    list_codes: bool,
}

fn code(text: &str) -> Result<Code, String> {
    Code::parse(text).ok_or_else(|| "no such code; --list-codes prints all of them".to_owned())
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    Text,
    Json,
    /// For code hosts and editors: SARIF 2.1.0.
    Sarif,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        if let Some(code) = self.explain {
            return written(writeln!(io::stdout(), "{}", code.explain()));
        }
        if self.list_codes {
            return written(list_codes());
        }
        let compiled = Source::Files(self.paths).compile(&Accounts::default());
        let report = &compiled.report;
        let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
        written(show(&compiled, self.output))?;
        Ok(ExitCode::from(u8::from(found)))
    }
}

fn written(written: io::Result<()>) -> anyhow::Result<ExitCode> {
    match written {
        // Whoever reads has seen enough, as `head` does; the exit code holds all the same.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        written => written.context("write the findings")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_codes() -> io::Result<()> {
    let mut out = io::stdout().lock();
    Code::ALL
        .iter()
        .try_for_each(|code| writeln!(out, "{code} {:7} {}", code.severity().as_str(), code.title()))
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
        Output::Sarif => writeln!(out, "{}", report.to_sarif()),
    }
}
