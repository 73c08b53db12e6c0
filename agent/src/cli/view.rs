//! How commands that ask a running agent answer.

use anyhow::Context as _;
use clap::ValueEnum;
use serde_json::Value;

use super::{
    out,
    table::{self, Column, Table},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum View {
    /// For a person, cut to the terminal's width.
    Table,
    /// The same with more columns.
    Wide,
    Json,
    Yaml,
}

impl View {
    /// Prints a list, whose tables have these columns; `above` stands over them.
    pub(super) fn print(
        self,
        list: &Value,
        above: &str,
        table: &[Column],
        wide: &[Column],
    ) -> anyhow::Result<()> {
        let (columns, width) = match self {
            Self::Json | Self::Yaml => return print_value(list, self),
            Self::Table => (table, table::width()),
            Self::Wide => (wide, None),
        };
        out::print(&format!("{above}{}", Table::new(columns, items(list)).render(width)))
    }
}

/// Prints an answer as a program wants it.
pub(super) fn print_value(value: &Value, view: View) -> anyhow::Result<()> {
    match view {
        View::Yaml => out::print(&yaml(value)?),
        _ => out::print(&format!("{value:#}\n")),
    }
}

/// Ends in a new line.
pub(super) fn yaml(value: &Value) -> anyhow::Result<String> {
    let text = serde_saphyr::to_string(value).context("write the answer as YAML")?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

/// A text of an answer; `-` where there is none.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// A text of an answer that came from a file: it stays on its line.
pub(super) fn line(value: &Value) -> String {
    text(value).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `1 error`, `2 errors`
pub(super) fn counted(count: impl std::fmt::Display, what: &str) -> String {
    let count = count.to_string();
    let plural = if count == "1" { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// `3s`, `12m`, `4h`, `9d`
pub(super) fn age(seconds: &Value) -> String {
    let seconds = seconds.as_f64().unwrap_or(0.0);
    let units = [(86_400.0, "d"), (3_600.0, "h"), (60.0, "m")];
    let unit = units.into_iter().find(|(length, _)| seconds >= 2.0 * length).unwrap_or((1.0, "s"));
    format!("{:.0}{}", (seconds / unit.0).floor(), unit.1)
}

/// `host:port/subset`
pub(super) fn destination(value: &Value) -> String {
    let subset = value["subset"].as_str().map(|subset| format!("/{subset}")).unwrap_or_default();
    format!("{}:{}{subset}", text(&value["host"]), value["port"])
}

/// The items of a list.
pub(super) fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}
