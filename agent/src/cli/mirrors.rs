//! `umbra mirrors`: one line for each mirror of a running agent, with what became of its copies.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::{
    agent::Agent,
    table::Column,
    view::{View, age, text},
};

#[derive(Debug, Args)]
#[command(after_help = "\
OFFERED = COMPLETED + FAILED + DROPPED + SAMPLED OUT + IN FLIGHT, always. config/manual/copies.md tells what each
reason means.
RATE is offered per second, over the last five to ten seconds. Where DRAWN FOR (-o wide) is connection, only requests of
connections that were handed to the agent are offered; the others are `unsampled` in umbra_capture_verdicts_total.
IN FORCE (-o wide) is the share at this moment: adaptive sampling and coverage lower it, a pause or a ttl that is over make
it 0. KINDS are those of sampling.coverage.")]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let list = self.agent.list("/api/v1/mirrors")?;
        self.output.print(&list, "", &table(), &wide())?;
        Ok(ExitCode::SUCCESS)
    }
}

const EVERY: [Column; 10] = [
    ("OBJECT", |row| text(&row["virtualService"])),
    ("RULE", |row| text(&row["rule"])),
    ("MIRROR", |row| text(&row["mirror"])),
    (" SHARE", share),
    ("STATE", state),
    (" RATE", |row| text(&row["perSecond"]["offered"])),
    (" OFFERED", |row| text(&row["offered"])),
    (" COMPLETED", |row| text(&row["completed"])),
    ("FAILED", |row| reasons(&row["failed"])),
    ("DROPPED", |row| reasons(&row["dropped"])),
];

fn table() -> Vec<Column> {
    [&EVERY[..], &[("LAST ERROR", |row| last_error(&row["lastError"], false))]].concat()
}

fn wide() -> Vec<Column> {
    let more: [Column; 7] = [
        (" IN FORCE", |row| percent(&row["inForcePercentage"])),
        ("KINDS", kinds),
        ("DRAWN FOR", |row| text(&row["drawnFor"])),
        (" SAMPLED OUT", |row| text(&row["sampledOut"])),
        (" IN FLIGHT", |row| text(&row["inFlight"])),
        ("ENDPOINTS", endpoints),
        ("LAST ERROR", |row| last_error(&row["lastError"], true)),
    ];
    [&EVERY[..], &more].concat()
}

fn share(row: &Value) -> String {
    percent(&row["percentage"])
}

/// `12 of 40 covered`
fn kinds(row: &Value) -> String {
    let kinds = &row["kinds"];
    if kinds.is_null() {
        "-".to_owned()
    } else {
        format!("{} of {} covered", kinds["covered"], kinds["seen"])
    }
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))
}

fn state(row: &Value) -> String {
    match (row["inForce"] == true, row["paused"] == true) {
        (true, false) if row["expired"] == true => "expired",
        (true, false) => "on",
        (true, true) => "paused",
        (false, false) => "gone",
        (false, true) => "gone, paused",
    }
    .to_owned()
}

/// `7: connect 5, timeout 2`
fn reasons(counts: &Value) -> String {
    let mut counts: Vec<_> = counts
        .as_object()
        .into_iter()
        .flatten()
        .map(|(reason, count)| (count.as_u64().unwrap_or(0), reason))
        .collect();
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let sum: u64 = counts.iter().map(|(count, _)| count).sum();
    let each: Vec<_> = counts.iter().map(|(count, reason)| format!("{reason} {count}")).collect();
    if each.is_empty() { "0".to_owned() } else { format!("{sum}: {}", each.join(", ")) }
}

fn endpoints(row: &Value) -> String {
    let shown: Vec<_> = row["endpoints"].as_array().into_iter().flatten().map(text).collect();
    let more = row["endpointCount"].as_u64().unwrap_or(0).saturating_sub(shown.len() as u64);
    match (shown.is_empty(), more) {
        (true, _) => "none".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `connect 3s ago`, and in words
fn last_error(error: &Value, words: bool) -> String {
    if error.is_null() {
        return "-".to_owned();
    }
    let brief = format!("{} {} ago", text(&error["reason"]), age(&error["ageSeconds"]));
    match (error["message"].as_str(), error["endpoint"].as_str()) {
        (Some(message), _) if words => format!("{brief}: {message}"),
        (_, Some(endpoint)) if words => format!("{brief}: {endpoint}"),
        _ => brief,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::table::Table, *};

    #[test]
    fn a_mirror_is_one_line() {
        let row = json!({
            "virtualService": "shop/cart", "rule": "all", "mirror": "cart:80/v2", "inForce": true, "paused": true,
            "percentage": 12.5, "perSecond": {"offered": 3.5, "completed": 1.0}, "offered": 40, "completed": 20,
            "failed": {"connect": 5, "timeout": 2}, "dropped": {"paused": 13}, "sampledOut": 0, "inFlight": 0,
            "endpointCount": 18, "endpoints": ["10.0.0.1:80", "10.0.0.2:80"],
            "lastError": {"reason": "connect", "endpoint": "10.0.0.1:80", "message": "refused", "ageSeconds": 200.4},
        });
        let narrow = Table::new(&table(), std::slice::from_ref(&row)).render(None);
        assert_eq!(
            narrow
                .lines()
                .nth(1)
                .unwrap()
                .split("   ")
                .map(str::trim)
                .filter(|cell| !cell.is_empty())
                .collect::<Vec<_>>(),
            [
                "shop/cart",
                "all",
                "cart:80/v2",
                "12.5 %",
                "paused",
                "3.5",
                "40",
                "20",
                "7: connect 5, timeout 2",
                "13: paused 13",
                "connect 3m ago"
            ]
        );
        let wide = Table::new(&wide(), &[row]).render(None);
        assert!(wide.contains("10.0.0.1:80, 10.0.0.2:80 and 16 more   connect 3m ago: refused"), "{wide}");
    }
}
