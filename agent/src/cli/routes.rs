//! `umbra routes`: the rules a running agent has in force.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    agent::Agent,
    table::Column,
    view::{View, destination, text},
};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let list = self.agent.list("/api/v1/routes")?;
        self.output.print(&list, "", &TABLE, &WIDE)?;
        Ok(ExitCode::SUCCESS)
    }
}

const SERVICE: Column = ("SERVICE", |row| format!("{}:{}", text(&row["service"]), row["port"]));
const OBJECT: Column = ("OBJECT", |row| text(&row["virtualService"]));
const RULE: Column = ("RULE", |row| text(&row["ruleName"]));
const MATCH: Column = ("MATCH", |row| each(&row["matches"], text).join(" | "));
const MIRRORS: Column = ("MIRRORS", mirrors);

const TABLE: [Column; 5] = [SERVICE, OBJECT, RULE, MATCH, MIRRORS];
const WIDE: [Column; 8] = [
    SERVICE,
    (" CAPTURED", |row| text(&row["endpoints"])),
    ("KIND", |row| text(&row["kind"])),
    OBJECT,
    RULE,
    MATCH,
    ("TO", to),
    MIRRORS,
];

fn to(row: &Value) -> String {
    match row["action"].as_str() {
        Some("route") => each(&row["primary"], destination).join(", "),
        _ => text(&row["action"]),
    }
}

fn mirrors(row: &Value) -> String {
    let of = |mirror: &Value| if mirror["drawnFor"] == "connection" { " of connections" } else { "" };
    let mirror =
        |mirror: &Value| format!("{} %{} to {}", mirror["percentage"], of(mirror), destination(mirror));
    let mirrors = each(&row["mirrors"], mirror);
    match row["unmirrored"].as_str() {
        Some(why) => format!("none: {why}"),
        None if mirrors.is_empty() => "-".to_owned(),
        None => mirrors.join(", "),
    }
}

fn each(list: &Value, cell: impl Fn(&Value) -> String) -> Vec<String> {
    list.as_array().into_iter().flatten().map(cell).collect()
}
