//! What the bench found, for a program.

use serde_json::{Value, json};

use crate::{
    report::{Machine, Report},
    round::{Figure, Round},
    rows::{Finding, Goal, Row},
};

/// Everything, each round too; what does not apply is null.
pub(crate) fn of(report: &Report<'_>) -> String {
    let Machine {
        processors,
        rounds,
        seconds,
        busy_before,
        load_average,
        capacity,
        per_second,
        opened_per_second,
    } = &report.machine;
    let rows: Vec<Value> = report.rows.iter().flat_map(|row| of_row(report, row)).collect();
    let measured = report.rounds.0.iter().map(|((load, case), rounds)| {
        json!({
            "load": format!("{load:?}"),
            "case": case.to_string(),
            "rounds": rounds.iter().map(of_round).collect::<Vec<_>>(),
        })
    });
    let books = report.books.iter().map(|(case, books)| {
        json!({
            "case": case.to_string(),
            "read": books.read, "offered": books.offered, "outcomes": books.outcomes,
        })
    });
    let report = json!({
        "processors": processors,
        "rounds": rounds,
        "seconds": seconds,
        "busy_before_percent": busy_before,
        "load_average": load_average,
        "direct_requests_per_second": capacity,
        "open_loop_requests_per_second": per_second,
        "open_loop_connections_per_second": opened_per_second,
        "rows": rows,
        "measured": measured.collect::<Vec<_>>(),
        "books": books.collect::<Vec<_>>(),
    });
    format!("{report:#}\n")
}

fn of_row(report: &Report<'_>, row: &Row) -> Vec<Value> {
    let one = |(finding, goal): (Finding, Goal)| {
        let value = report.rounds.finding(row.load, row.figure, finding);
        let (kind, of, to) = match finding {
            Finding::Ratio(of, to) => ("ratio", of, Some(to)),
            Finding::Difference(of, to) => ("difference", of, Some(to)),
            Finding::Value(of) => ("value", of, None),
        };
        let (at_most, at_least) = match goal {
            Goal::AtMost(most) => (Some(most), None),
            Goal::AtLeast(least) => (None, Some(least)),
            Goal::Beside => (None, None),
        };
        json!({
            "row": row.id, "title": row.title, "figure": format!("{:?}", row.figure), "load": format!("{:?}", row.load), "kind": kind,
            "of": of.to_string(), "to": to.map(|to| to.to_string()),
            "value": value, "at_most": at_most, "at_least": at_least, "met": goal.is_met_by(value),
        })
    };
    row.findings(report.also).into_iter().map(one).collect()
}

fn of_round(round: &Round) -> Value {
    let answered = &round.answered;
    json!({
        "requests": answered.requests,
        "unanswered": answered.unanswered,
        "errors": answered.errors,
        "copies": round.copies,
        "per_second": Figure::Throughput.of(round),
        "p50_us": Figure::P50.of(round),
        "p99_us": Figure::P99.of(round),
        "proxy_cpu_us": Figure::ProxyCpu.of(round),
        "machine_cpu_us": Figure::MachineCpu.of(round),
        "peak_memory_bytes": Figure::PeakMemory.of(round),
        "memory_at_start_bytes": Figure::MemoryAtStart.of(round),
        "memory_connected_bytes": Figure::MemoryConnected.of(round),
        "memory_per_connection_bytes": Figure::MemoryPerConnection.of(round),
        "sockets_per_connection_bytes": Figure::SocketsPerConnection.of(round),
        "syscalls_per_request": Figure::Syscalls.of(round),
        "syscalls": answered.syscalls,
    })
}
