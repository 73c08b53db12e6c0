//! Asks the program, as a user would: `umbra check` and `umbra match -o json`.

use std::process::Command;

use support::binary;

use crate::{
    outcome::Outcome,
    table::{Client, Request, Row, Table},
};

/// Of one row of the table: the first that a client without an address sends somewhere.
pub(crate) fn differences(table: &Table) -> Vec<String> {
    let checked = Command::new(binary()).arg("check").arg(&table.example).output().unwrap();
    let refused = (!checked.status.success()).then(|| format!("{}: {checked:?}", table.name));
    let can_be_asked = |row: &&Row| {
        !matches!(row.request.client, Client::Address(_)) && row.expected.sentence != "not captured"
    };
    let sample = table.rows.iter().find(can_be_asked);
    refused.into_iter().chain(sample.and_then(|row| ask(table, row))).collect()
}

fn ask(table: &Table, row: &Row) -> Option<String> {
    let Request { method, url, headers, client, endpoint } = &row.request;
    let mut command = Command::new(binary());
    command.args(["match", "--output", "json", "--config"]).arg(&table.example).args([method, url]);
    for (name, value) in headers {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    if let Some(endpoint) = endpoint {
        command.args(["--to", &endpoint.to_string()]);
    }
    if let Client::Workload { namespace, labels } = client {
        command.args(["--source-namespace", namespace]);
        for (key, value) in labels {
            command.args(["--source-label", &format!("{key}={value}")]);
        }
    }
    let output = command.output().unwrap();
    match serde_json::from_slice(&output.stdout) {
        Ok(answer) if output.status.success() => Outcome(answer).differs(row),
        _ => Some(format!("{}: {command:?}: {output:?}", row.place)),
    }
}
