//! `umbra config dump`: what a running agent has in force, as it read it.

use std::{fmt::Write as _, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{
    agent::Agent,
    out,
    table::Column,
    view::{View, age, counted, items, line, text, yaml},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the configuration in force: AgentConfig with every default, the rules as read, the last refusal.
    Dump(Dump),
}

#[derive(Debug, Args)]
#[command(
    after_help = "As YAML it is what `umbra check -` reads; what was refused stands there in comments."
)]
struct Dump {
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Yaml)]
    output: View,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let Command::Dump(dump) = self.command;
        let list = dump.agent.list("/api/v1/config")?;
        match dump.output {
            View::Yaml => out::print(&documents(&list)?)?,
            view => view.print(&list, &status(&list), &COLUMNS, &COLUMNS)?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Every document, the AgentConfig in force first and once.
fn documents(list: &Value) -> anyhow::Result<String> {
    let mut text: String = status(list).lines().map(|line| format!("# {line}\n")).collect();
    text.push_str(&yaml(&list["agent"])?);
    for item in items(list).iter().filter(|item| item["resource"]["kind"] != "AgentConfig") {
        write!(text, "---\n# {}\n{}", line(&item["file"]), yaml(&item["resource"])?)?;
    }
    Ok(text)
}

/// What is in force since when, and what was refused.
fn status(list: &Value) -> String {
    let in_force = &list["inForce"];
    let mut text = format!(
        "in force for {}, {}\n",
        age(&in_force["ageSeconds"]),
        counted(&in_force["warnings"], "warning")
    );
    let refused = &list["refused"];
    if !refused.is_null() {
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            text,
            "a change was refused {} ago, {}:",
            age(&refused["ageSeconds"]),
            counted(&refused["errors"], "error")
        );
        let errors =
            refused["diagnostics"].as_array().into_iter().flatten().filter(|d| d["severity"] == "error");
        for error in errors {
            let place = format!("{}:{}:{}", line(&error["file"]), error["line"], error["column"]);
            let _ = writeln!(text, "  {place}: {}: {}", line(&error["code"]), line(&error["message"]));
        }
    }
    text
}

const COLUMNS: [Column; 4] = [
    ("KIND", |item| text(&item["resource"]["kind"])),
    ("NAMESPACE", |item| item["resource"]["metadata"]["namespace"].as_str().unwrap_or("default").to_owned()),
    ("NAME", |item| text(&item["resource"]["metadata"]["name"])),
    ("FILE", |item| text(&item["file"])),
];
