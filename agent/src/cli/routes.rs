//! `umbra routes`: the rules a running agent has in force.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    agent::Agent,
    out,
    table::{self, Table},
    view::{View, destination, items, print_value, text},
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
        match self.output {
            View::Json | View::Yaml => print_value(&list, self.output)?,
            View::Table => out::print(&table(items(&list)).render(table::width()))?,
            View::Wide => out::print(&wide(items(&list)).render(None))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn table(rows: &[Value]) -> Table {
    let mut table = Table::new(&["SERVICE", "OBJECT", "RULE", "MATCH", "MIRRORS"]);
    for row in rows {
        let [service, object, rule, matches, _, mirrors] = cells(row);
        table.row([service, object, rule, matches, mirrors]);
    }
    table
}

fn wide(rows: &[Value]) -> Table {
    let mut table = Table::new(&["SERVICE", " CAPTURED", "KIND", "OBJECT", "RULE", "MATCH", "TO", "MIRRORS"]);
    for row in rows {
        let [service, object, rule, matches, to, mirrors] = cells(row);
        table.row([service, text(&row["endpoints"]), text(&row["kind"]), object, rule, matches, to, mirrors]);
    }
    table
}

fn cells(row: &Value) -> [String; 6] {
    let all = |list: &Value, cell: &dyn Fn(&Value) -> String| -> Vec<String> {
        list.as_array().into_iter().flatten().map(cell).collect()
    };
    let mirror = |mirror: &Value| format!("{} % to {}", mirror["percentage"], destination(mirror));
    let mirrors = all(&row["mirrors"], &mirror);
    let mirrors = match row["unmirrored"].as_str() {
        Some(why) => format!("none: {why}"),
        None if mirrors.is_empty() => "-".to_owned(),
        None => mirrors.join(", "),
    };
    let to = match row["action"].as_str() {
        Some("route") => all(&row["primary"], &destination).join(", "),
        _ => text(&row["action"]),
    };
    let service = format!("{}:{}", text(&row["service"]), row["port"]);
    let matches = all(&row["matches"], &text).join(" | ");
    [service, text(&row["virtualService"]), text(&row["ruleName"]), matches, to, mirrors]
}
