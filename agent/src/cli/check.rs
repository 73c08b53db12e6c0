//! `umbra check`: every fault of a configuration, before it runs.

use std::{
    io::{self, ErrorKind, Write},
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
        let found = match (self.explain, self.list_codes) {
            (Some(code), _) => printed(|out| writeln!(out, "{}", code.explain())).map(|()| false),
            (None, true) => printed(list_codes).map(|()| false),
            (None, false) => {
                let compiled = Source::Files(self.paths).compile(&Accounts::default());
                let report = &compiled.report;
                let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
                printed(|out| show(out, &compiled, self.output)).map(|()| found)
            }
        }?;
        Ok(ExitCode::from(u8::from(found)))
    }
}

/// Prints, unless whoever reads has seen enough, as `head` does; the exit code holds all the same.
fn printed(print: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    match print(&mut io::stdout().lock()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("write to standard output"),
    }
}

fn list_codes(out: &mut dyn Write) -> io::Result<()> {
    Code::ALL
        .iter()
        .try_for_each(|code| writeln!(out, "{code} {:7} {}", code.severity().as_str(), code.title()))
}

fn show(
    out: &mut dyn Write,
    Compiled { snapshot, report, sources, .. }: &Compiled,
    output: Output,
) -> io::Result<()> {
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
