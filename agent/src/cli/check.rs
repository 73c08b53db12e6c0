//! `umbra check`: every fault of a configuration, before it runs.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, ValueEnum};

use super::out;
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
            out::print(&format!("{}\n", code.explain()))?;
            return Ok(ExitCode::SUCCESS);
        }
        if self.list_codes {
            let line = |code: &Code| format!("{code} {:7} {}\n", code.severity().as_str(), code.title());
            out::print(&Code::ALL.iter().map(line).collect::<String>())?;
            return Ok(ExitCode::SUCCESS);
        }
        let compiled = Source::Files(self.paths).compile(&Accounts::default());
        let report = &compiled.report;
        let found = report.has_errors() || self.strict && !report.diagnostics.is_empty();
        out::print(&text(&compiled, self.output))?;
        Ok(ExitCode::from(u8::from(found)))
    }
}

fn text(Compiled { snapshot, report, sources, .. }: &Compiled, output: Output) -> String {
    match output {
        Output::Text => format!(
            "{}{} errors, {} warnings; {} endpoints would be captured\n",
            report.render(sources),
            report.errors(),
            report.warnings(),
            snapshot.captured_ports().len()
        ),
        Output::Json => format!("{}\n", report.to_json()),
        Output::Sarif => format!("{}\n", report.to_sarif()),
    }
}
