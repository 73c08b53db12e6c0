//! `umbra log`: what a running agent logs.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    agent::Agent,
    out,
    view::{View, print_value, text},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  umbra log                                what is logged now
  umbra log debug                          everything about the agent itself
  umbra log info,umbra::shadow=debug       one part of it
No level logs what requests contain; `umbra tap` shows them. A line that repeats is logged ten times in ten seconds.")]
pub(super) struct Arguments {
    /// error, warn, info, debug, trace, or targets with levels.
    level: Option<String>,
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let answer = match &self.level {
            Some(level) => self.agent.post("/api/v1/log", &json!({"level": level}))?,
            None => self.agent.get("/api/v1/log")?,
        };
        match self.output {
            View::Json | View::Yaml => print_value(&answer, self.output)?,
            View::Table | View::Wide => out::print(&format!("{}\n", text(&answer["level"])))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}
