//! What the bench found, for a person and for a program.

use serde_json::{Value, json};
use support::Page;

use crate::{
    books::Books,
    case::Case,
    figures::Rounds,
    load::Load,
    round::{Figure, Round},
    rows::{Finding, Goal, Row},
};

pub(crate) struct Report<'a> {
    pub(crate) machine: Machine,
    pub(crate) rows: Vec<&'a Row>,
    /// Another build was measured too.
    pub(crate) also: bool,
    pub(crate) rounds: Rounds,
    pub(crate) books: Vec<(Case, Books)>,
}

/// What the figures were taken on.
pub(crate) struct Machine {
    pub(crate) processors: usize,
    /// Percent of the machine in use before the bench began.
    pub(crate) busy_before: f64,
    /// /proc/loadavg at the start.
    pub(crate) load_average: String,
    /// Small GETs that the app alone answers per second at full speed, and those of the open loop.
    pub(crate) capacity: f64,
    pub(crate) per_second: u32,
    /// Those where each has a connection of its own; 0 when there were none.
    pub(crate) opened_per_second: u32,
}

/// What the table of a load shows, with NaN where it does not apply.
const COLUMNS: &[(&str, Figure)] = &[
    (" proxy CPU", Figure::ProxyCpu),
    (" machine CPU", Figure::MachineCpu),
    (" p50", Figure::P50),
    (" p99", Figure::P99),
    (" throughput", Figure::Throughput),
    (" copied", Figure::Copies),
    (" peak memory", Figure::PeakMemory),
];

impl Report<'_> {
    pub(crate) fn print(&self, page: &mut Page) {
        let mut loads: Vec<Load> = self.rounds.0.keys().map(|(load, _)| *load).collect();
        loads.dedup();
        for load in loads.into_iter().filter(|load| !matches!(load, Load::Idle | Load::Crowd)) {
            page.heading(load.name());
            let mut headings = vec!["per request"];
            headings.extend(COLUMNS.iter().map(|(heading, _)| *heading));
            headings.push(" unanswered");
            let of_load = self.rounds.0.keys().filter(|(of, _)| *of == load);
            let lines: Vec<_> = of_load.map(|(_, case)| self.line(load, *case)).collect();
            page.table(&headings, &lines);
        }
        for row in &self.rows {
            page.heading(row.title);
            let lines: Vec<_> =
                row.findings(self.also).iter().map(|found| self.finding(page, row, *found)).collect();
            page.table(&["", " found", " wanted", "", "from"], &lines);
        }
        page.heading("What was measured is what it says");
        self.verdicts(page);
    }

    fn line(&self, load: Load, case: Case) -> Vec<String> {
        let mut line = vec![case.to_string()];
        line.extend(COLUMNS.iter().map(|(_, figure)| figure.shown(self.rounds.median(load, case, *figure))));
        let unanswered: u64 = self
            .rounds
            .of(load, case)
            .iter()
            .map(|round| round.answered.unanswered + round.answered.errors)
            .sum();
        line.push(unanswered.to_string());
        line
    }

    fn finding(&self, page: &Page, row: &Row, (finding, goal): (Finding, Goal)) -> Vec<String> {
        let value = self.rounds.finding(row.load, row.figure, finding);
        let show = |value: f64| match finding {
            Finding::Ratio(..) if value.is_finite() => format!("{value:.2} ×"),
            _ => row.figure.shown(value),
        };
        let of = |case: Case| row.figure.shown(self.rounds.median(row.load, case, row.figure));
        let (what, from) = match finding {
            Finding::Ratio(case, to) => (format!("{case} to {to}"), format!("{} / {}", of(case), of(to))),
            Finding::Difference(case, to) => {
                (format!("{case} less {to}"), format!("{} − {}", of(case), of(to)))
            }
            Finding::Value(case) => (case.to_string(), String::new()),
        };
        let wanted = match goal {
            Goal::AtMost(most) => format!("≤ {}", show(most)),
            Goal::AtLeast(least) => format!("≥ {}", show(least)),
            Goal::Beside => String::new(),
        };
        let met = goal.is_met_by(value).map(|met| page.mark(met)).unwrap_or_default();
        vec![what, show(value), wanted, met, from]
    }

    /// Only what makes a run worthless: figures that miss their target are news, not failures.
    fn verdicts(&self, page: &mut Page) {
        let with_good_answers =
            |case: &Case| case.is_umbra() || case.0 == crate::case::Way::Direct || case.shadow_lives();
        let good = self.rounds.0.iter().filter(|((_, case), _)| with_good_answers(case));
        let bad: u64 = good.flat_map(|(_, rounds)| rounds).map(|round| round.answered.errors).sum();
        page.verdict(
            bad == 0,
            "every answer was good",
            &format!("{bad} were not; peers with dead shadows aside"),
        );
        for (case, books) in &self.books {
            let rounds =
                self.rounds.0.iter().filter(|((_, of), _)| of == case).flat_map(|(_, rounds)| rounds);
            let answered: u64 = rounds.map(|round| round.answered.requests).sum();
            let offers = if case.mirrors() { books.offered >= answered } else { books.offered == 0 };
            let sum: u64 = books.outcomes.values().sum();
            let ends: Vec<_> =
                books.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            let ends = if ends.is_empty() { "0".to_owned() } else { ends.join(" + ") };
            page.verdict(
                books.read >= answered && offers && sum == books.offered,
                &case.to_string(),
                &format!("{answered} answered, {} read, {} offered = {ends}", books.read, books.offered),
            );
        }
    }

    /// Everything, each round too; what does not apply is null.
    pub(crate) fn to_json(&self) -> String {
        let Machine { processors, busy_before, load_average, capacity, per_second, opened_per_second } =
            &self.machine;
        let rows: Vec<Value> = self.rows.iter().flat_map(|row| self.row_to_json(row)).collect();
        let measured = self.rounds.0.iter().map(|((load, case), rounds)| {
            json!({
                "load": format!("{load:?}"),
                "case": case.to_string(),
                "rounds": rounds.iter().map(round_to_json).collect::<Vec<_>>(),
            })
        });
        let books = self.books.iter().map(|(case, books)| {
            json!({
                "case": case.to_string(),
                "read": books.read, "offered": books.offered, "outcomes": books.outcomes,
            })
        });
        let report = json!({
            "processors": processors,
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

    fn row_to_json(&self, row: &Row) -> Vec<Value> {
        let one = |(finding, goal): (Finding, Goal)| {
            let value = self.rounds.finding(row.load, row.figure, finding);
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
                "row": row.id, "figure": format!("{:?}", row.figure), "load": format!("{:?}", row.load), "kind": kind,
                "of": of.to_string(), "to": to.map(|to| to.to_string()),
                "value": value, "at_most": at_most, "at_least": at_least, "met": goal.is_met_by(value),
            })
        };
        row.findings(self.also).into_iter().map(one).collect()
    }
}

fn round_to_json(round: &Round) -> Value {
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
    })
}
