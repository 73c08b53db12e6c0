//! What the bench found, for a person and for a program.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use support::Page;

use crate::{
    books::Books,
    figures::Figures,
    round::{Case, Round, micros},
    wrk::Load,
};

pub(crate) struct Report {
    pub(crate) cpus: usize,
    /// Percent of the machine in use before the bench began.
    pub(crate) busy_before: f64,
    pub(crate) rounds: BTreeMap<(Load, Case), Vec<Round>>,
}

impl Report {
    pub(crate) fn print(&self, page: &mut Page) {
        for load in Load::ALL {
            page.heading(&format!("CPU per request {}", load.name()));
            let row = |case: &Case| row(*case, &self.figures(load, *case));
            page.table(
                &[
                    "",
                    " proxy",
                    " to nginx",
                    " machine",
                    " to nginx",
                    " copied",
                    " requests/s",
                    " p50",
                    " p99",
                ],
                &Case::ALL.iter().map(row).collect::<Vec<_>>(),
            );
            let per_copy = |plain, mirror| {
                let cost = self.figures(load, mirror).per_copy(&self.figures(load, plain));
                or_dash(cost, |cost| format!("{cost:.1} µs"))
            };
            page.line(&format!(
                "a copy adds to the proxy: umbra {}, nginx {}",
                per_copy(Case::UmbraPlain, Case::UmbraMirror),
                per_copy(Case::NginxPlain, Case::NginxMirror),
            ));
        }
        page.heading("What was measured is what it says");
        self.verdicts(page);
    }

    fn verdicts(&self, page: &mut Page) {
        let errors: u64 = self.rounds.values().flatten().map(|round| round.answered.errors).sum();
        page.verdict(errors == 0, "every answer was good", &format!("{errors} were not"));
        for load in Load::ALL {
            for case in [Case::UmbraPlain, Case::UmbraMirror] {
                let rounds = self.rounds_of(load, case);
                let answered: u64 = rounds.iter().map(|round| round.answered.requests).sum();
                let Some(books) = books(rounds) else { continue };
                let offers =
                    if case == Case::UmbraMirror { books.offered >= answered } else { books.offered == 0 };
                let sum: u64 = books.outcomes.values().sum();
                let ends: Vec<_> =
                    books.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
                let ends = if ends.is_empty() { "0".to_owned() } else { ends.join(" + ") };
                page.verdict(
                    books.read >= answered && offers && sum == books.offered,
                    &format!("{} {}", case.name(), load.name()),
                    &format!("{answered} answered, {} read, {} offered = {ends}", books.read, books.offered),
                );
            }
        }
    }

    /// Everything, each round too; what does not apply is null.
    pub(crate) fn to_json(&self) -> String {
        let measured = |(load, case): &(Load, Case), rounds: &[Round]| {
            let figures = self.figures(*load, *case);
            json!({
                "load": load.name(),
                "case": case.name(),
                "requests_per_second": figures.requests_per_second,
                "p50_us": figures.p50,
                "p99_us": figures.p99,
                "proxy_cpu_us": figures.proxy_cpu,
                "proxy_cpu_to_nginx_plain": figures.proxy_to_nginx,
                "machine_cpu_us": figures.machine_cpu,
                "machine_cpu_to_nginx_plain": figures.machine_to_nginx,
                "copies_per_request": figures.copies_per_request,
                "books": books(rounds).map(|books| json!({
                    "read": books.read, "offered": books.offered, "outcomes": books.outcomes,
                })),
                "rounds": rounds.iter().map(round_to_json).collect::<Vec<_>>(),
            })
        };
        let measured: Vec<_> = self.rounds.iter().map(|(key, rounds)| measured(key, rounds)).collect();
        let report =
            json!({ "cpus": self.cpus, "busy_before_percent": self.busy_before, "measured": measured });
        format!("{report:#}\n")
    }

    fn rounds_of(&self, load: Load, case: Case) -> &[Round] {
        self.rounds.get(&(load, case)).map(Vec::as_slice).unwrap_or_default()
    }

    fn figures(&self, load: Load, case: Case) -> Figures {
        Figures::of(self.rounds_of(load, case), self.rounds_of(load, Case::NginxPlain))
    }
}

/// umbra's books of all these rounds; None where it was not in use.
fn books(rounds: &[Round]) -> Option<Books> {
    rounds.iter().filter_map(|round| round.books.clone()).reduce(Books::and)
}

fn row(case: Case, figures: &Figures) -> Vec<String> {
    let cost = |value: f64| or_dash(value, |value| format!("{value:.1} µs"));
    let ratio = |value: f64| or_dash(value, |value| format!("{value:.2} ×"));
    let time = |value: f64| format!("{:.2} ms", value / 1e3);
    vec![
        case.name().to_owned(),
        cost(figures.proxy_cpu),
        ratio(figures.proxy_to_nginx),
        cost(figures.machine_cpu),
        ratio(figures.machine_to_nginx),
        format!("{:.1} %", figures.copies_per_request * 100.0),
        format!("{:.0}", figures.requests_per_second),
        time(figures.p50),
        time(figures.p99),
    ]
}

fn round_to_json(round: &Round) -> Value {
    json!({
        "requests": round.answered.requests,
        "errors": round.answered.errors,
        "copies": round.copies,
        "requests_per_second": round.requests_per_second(),
        "p50_us": micros(round.answered.p50),
        "p99_us": micros(round.answered.p99),
        "proxy_cpu_us": round.proxy_cpu(),
        "machine_cpu_us": round.machine_cpu(),
    })
}

fn or_dash(value: f64, shown: impl Fn(f64) -> String) -> String {
    if value.is_finite() { shown(value) } else { "–".to_owned() }
}
