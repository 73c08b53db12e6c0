//! `umbra status`: is the running agent ready, in which namespaces does it capture, and why not in the others.

mod cluster;

use std::{fmt::Write as _, process::ExitCode};

use clap::Args;
use serde_json::Value;

use super::{
    agent::Agent,
    out,
    table::{self, Column, Table},
    view::{View, age, counted, line, print_value, text},
};

#[derive(Debug, Args)]
#[command(after_help = "\
NAMESPACE is as configured, or the pod whose labels ask for it (`-o wide` shows its UID). STATE: enrolled; failing (NOTE says
why, and it is tried again); same (another one leads there too); leaving (its last connections end); skipped (a pod that is
labelled and cannot be captured, NOTE says why). CLIENT ADDRESS is what apps see of their clients: kept, or local.
WAY is how the agent reaches the app of a captured port: `V4 reserved` through 169.254.77.1 or fd00:77:77::1, `V2 own` at the
address that was dialled, `V5 local` from a local address; REASON is what decided for it.")]
pub(super) struct Arguments {
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
    /// For a probe: say nothing when it is ready, else fail and say why it is not.
    #[arg(long, conflicts_with = "output")]
    ready: bool,
    /// For a probe: fail when it does not answer.
    #[arg(long, conflicts_with_all = ["output", "ready"])]
    alive: bool,
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let probe = self.ready.then_some("/readyz").or(self.alive.then_some("/livez"));
        if let Some(path) = probe {
            return self.agent.probe(path).map(|()| ExitCode::SUCCESS);
        }
        let status = self.agent.get("/api/v1/status")?;
        match self.output {
            View::Json | View::Yaml => print_value(&status, self.output)?,
            View::Table => out::print(&render(&status, &NAMESPACES, table::width()))?,
            View::Wide => {
                out::print(&render(&status, &[&NAMESPACES[..], &[VERDICTS, NETNS]].concat(), None))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

const NAMESPACES: [Column; 7] = [
    ("NAMESPACE", name),
    ("STATE", |row| text(&row["state"])),
    (" AGE", |row| if row["ageSeconds"].is_null() { "-".to_owned() } else { age(&row["ageSeconds"]) }),
    (" CONNECTIONS", |row| text(&row["connections"])),
    (" PORTS", |row| text(&row["portCount"])),
    ("CLIENT ADDRESS", |row| text(&row["clientAddress"])),
    ("NOTE", note),
];

const VERDICTS: Column = ("VERDICTS", |row| {
    let verdicts = row["verdicts"].as_object().into_iter().flatten();
    verdicts.map(|(verdict, count)| format!("{verdict} {count}")).collect::<Vec<_>>().join(", ")
});

const NETNS: Column = ("NETNS", |row| text(&row["netns"]));

const PORTS: [Column; 5] = [
    ("NAMESPACE", name),
    ("CAPTURED", |row| text(&row["at"])),
    (" SHARE", |row| format!("{} %", row["percentage"])),
    ("WAY", |row| text(&row["way"])),
    ("REASON", |row| text(&row["reason"])),
];

/// The pod's, where it is one's.
fn name(row: &Value) -> String {
    text(if row["pod"].is_string() { &row["pod"] } else { &row["netns"] })
}

fn note(row: &Value) -> String {
    let notes = row["notes"].as_array().into_iter().flatten().map(text);
    let all: Vec<_> = row["why"].as_str().map(str::to_owned).into_iter().chain(notes).collect();
    if all.is_empty() { "-".to_owned() } else { all.join("; ") }
}

fn render(status: &Value, columns: &[Column], width: Option<usize>) -> String {
    let (agent, empty) = (&status["agent"], Vec::new());
    let state = if agent["state"] == "ready" { "ready" } else { "not ready" };
    let mut said =
        format!("umbra {} is {state}, up {}", text(&agent["version"]), age(&agent["uptimeSeconds"]));
    // Writing to a `String` cannot fail.
    for why in agent["why"].as_array().unwrap_or(&empty) {
        let _ = write!(said, "; {}", text(why));
    }
    said.push('\n');
    let refused = &status["configuration"]["refused"];
    if !refused.is_null() {
        let (first, errors) = (&refused["first"], counted(&refused["errors"], "error"));
        let _ = writeln!(
            said,
            "a change of its configuration was refused {} ago, with {errors}; what was in force before goes on\n  \
             {}:{}:{}: {}: {}\n`umbra config dump` shows all",
            age(&refused["ageSeconds"]),
            line(&first["file"]),
            first["line"],
            first["column"],
            line(&first["code"]),
            line(&first["message"])
        );
    }
    said += &cluster::render(&status["cluster"]);
    said += &standing(status);
    let namespaces = status["namespaces"].as_array().unwrap_or(&empty);
    if namespaces.is_empty() {
        return said;
    }
    let _ = write!(said, "\n{}", Table::new(columns, namespaces).render(width));
    let ports: Vec<_> = namespaces.iter().flat_map(ports).collect();
    if !ports.is_empty() {
        let _ = write!(said, "\n{}", Table::new(&PORTS, &ports).render(width));
    }
    said
}

/// A line each for what is mirrored, what runs out, what is spoken and what is not read; none where there is nothing.
fn standing(status: &Value) -> String {
    let mirroring = &status["mirroring"];
    let mut said = String::new();
    if !mirroring.is_null() {
        let paused = match mirroring["allPaused"] == true {
            true => "all paused".to_owned(),
            false => format!("{} paused", mirroring["paused"]),
        };
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            said,
            "mirrors: {}, {paused}; {} copies waiting, {} KiB held for shadows",
            mirroring["mirrors"],
            mirroring["waiting"],
            mirroring["bytes"].as_u64().unwrap_or(0) / 1024
        );
        let reduced = mirroring["reduced"].as_array().into_iter().flatten();
        for mirror in reduced.filter(|_| mirroring["allPaused"] != true) {
            let (id, now, whole) = (text(&mirror["id"]), &mirror["inForcePercentage"], &mirror["percentage"]);
            let _ = writeln!(said, "  {id}: {now} % in force of {whole} %");
        }
    }
    let short: Vec<_> = status["pressure"].as_object().into_iter().flatten().collect();
    let short: Vec<_> =
        short.into_iter().filter(|(_, shed)| **shed == true).map(|(what, _)| what.as_str()).collect();
    if !short.is_empty() {
        let _ = writeln!(
            said,
            "pressure: new connections are left to the apps, for want of {}",
            short.join(", ")
        );
    }
    for (key, name) in
        [("protocols", "connections"), ("unread", "not read"), ("unreadRequests", "requests not read")]
    {
        let mut counts: Vec<_> = status[key].as_object().into_iter().flatten().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(count.as_u64()));
        if !counts.is_empty() {
            let counts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{what} {count}")).collect();
            let _ = writeln!(said, "{name}: {}", counts.join(", "));
        }
    }
    said
}

/// With the namespace's name in each.
fn ports(namespace: &Value) -> Vec<Value> {
    let named = |port: &Value| {
        let mut port = port.clone();
        for key in ["netns", "pod"] {
            port[key] = namespace[key].clone();
        }
        port
    };
    namespace["ports"].as_array().into_iter().flatten().map(named).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_namespace_and_a_captured_port_are_one_line_each() {
        let status = json!({
            "agent": {"version": "1.2.3", "uptimeSeconds": 7300.5, "state": "ready", "why": []},
            "namespaces": [
                {"netns": "/run/netns/a", "state": "enrolled", "why": null, "ageSeconds": 61.0, "notes": ["no IPv6"],
                 "clientAddress": "kept", "connections": 3, "portCount": 1, "verdicts": {"assigned": 4},
                 "ports": [{"at": "10.0.0.1:80", "percentage": 12.5, "way": "V4 reserved", "reason": "the app listens"}]},
                {"netns": "pod:0b1f", "pod": "shop/cart-1", "state": "skipped", "why": "a mesh", "ageSeconds": null, "notes": [],
                 "clientAddress": null, "connections": 0, "portCount": 0, "verdicts": {}, "ports": []},
                {"netns": "pid:7", "state": "failing", "why": "it is gone", "ageSeconds": null, "notes": [],
                 "clientAddress": null, "connections": 0, "portCount": 0, "verdicts": {}, "ports": []},
            ],
        });
        let expected = "\
umbra 1.2.3 is ready, up 2h

NAMESPACE      STATE      AGE   CONNECTIONS   PORTS   CLIENT ADDRESS   NOTE
/run/netns/a   enrolled   61s             3       1   kept             no IPv6
shop/cart-1    skipped      -             0       0   -                a mesh
pid:7          failing      -             0       0   -                it is gone

NAMESPACE      CAPTURED       SHARE   WAY           REASON
/run/netns/a   10.0.0.1:80   12.5 %   V4 reserved   the app listens
";
        assert_eq!(render(&status, &NAMESPACES, None), expected);
        assert!(render(&status, &[VERDICTS], None).contains("assigned 4"));
        assert!(render(&status, &[NETNS], None).contains("pod:0b1f"));
    }

    #[test]
    fn what_is_mirrored_spoken_and_missing_is_a_line_each() {
        let status = json!({
            "mirroring": {"allPaused": false, "mirrors": 3, "paused": 1, "waiting": 2, "bytes": 4096,
                "reduced": [{"id": "a/b all c:80", "percentage": 50.0, "inForcePercentage": 5.0}]},
            "pressure": {"descriptors": true, "memory": false},
            "protocols": {"http1": 7, "tls": 40}, "unread": {}, "unreadRequests": {},
        });
        let expected = "\
mirrors: 3, 1 paused; 2 copies waiting, 4 KiB held for shadows
  a/b all c:80: 5.0 % in force of 50.0 %
pressure: new connections are left to the apps, for want of descriptors
connections: tls 40, http1 7
";
        assert_eq!(standing(&status), expected);
    }

    #[test]
    fn a_configuration_that_was_refused_is_told_with_its_first_fault() {
        let agent = json!({"version": "1", "uptimeSeconds": 60.0, "state": "ready", "why": []});
        let first = json!({"file": "a.yaml", "line": 3, "column": 5, "code": "UMB0104", "message": "spec.hosts: is required"});
        let refused = json!({"ageSeconds": 7.0, "errors": 1, "first": first});
        let status = json!({"agent": agent, "configuration": {"refused": refused}, "namespaces": []});
        let told = render(&status, &NAMESPACES, None);
        assert!(told.contains("refused 7s ago, with 1 error;"), "{told}");
        assert!(told.contains("\n  a.yaml:3:5: UMB0104: spec.hosts: is required\n"), "{told}");
    }

    #[test]
    fn an_agent_that_is_not_ready_says_why() {
        let agent = json!({"version": "1", "uptimeSeconds": 1.0, "state": "notReady", "why": ["stopping"]});
        let status = json!({"agent": agent, "namespaces": []});
        assert_eq!(render(&status, &NAMESPACES, None), "umbra 1 is not ready, up 1s; stopping\n");
    }
}
