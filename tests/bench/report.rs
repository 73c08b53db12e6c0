//! What the bench found, for a person and for a program.

use support::Page;

use crate::{
    books::Books,
    case::{Case, Setting},
    figures::Rounds,
    load::Load,
    round::Figure,
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
    /// How often each case took its turn, and for how long.
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
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

/// A finding as a person reads it.
pub(crate) struct Stated {
    pub(crate) what: String,
    pub(crate) found: String,
    /// Empty where nothing is wanted.
    pub(crate) wanted: String,
    pub(crate) met: Option<bool>,
    /// The figures it was made of.
    pub(crate) from: String,
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
        for (load, name) in [(Load::Counted, "HTTP/1"), (Load::Http2Counted, "HTTP/2")] {
            self.print_syscalls(page, load, name);
        }
        for row in &self.rows {
            page.heading(row.title);
            let lines = self.stated(row).map(|it| {
                let met = it.met.map(|met| page.mark(met)).unwrap_or_default();
                vec![it.what, it.found, it.wanted, met, it.from]
            });
            page.table(&["", " found", " wanted", "", "from"], &lines.collect::<Vec<_>>());
        }
        page.heading("Targets");
        let lines = self.targets().map(|(row, it)| {
            let met = it.met.map(|met| page.mark(met)).unwrap_or_default();
            vec![row.title.to_owned(), it.what, it.wanted, it.found, met]
        });
        page.table(&["workload", "compared", " target", " measured", "met"], &lines.collect::<Vec<_>>());
        page.heading("What was measured is what it says");
        self.verdicts(page);
    }

    /// Which system calls a request costs.
    fn print_syscalls(&self, page: &Page, load: Load, protocol: &str) {
        let counted = self.rounds.0.iter().filter(|((of, _), _)| *of == load);
        let lines: Vec<_> = counted
            .filter_map(|((_, case), rounds)| {
                let answered = &rounds.first()?.answered;
                let mut calls: Vec<_> = answered.syscalls.iter().collect();
                calls.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
                let each = |(name, count): (&String, &u64)| {
                    format!("{:.2} {name}", *count as f64 / answered.requests as f64)
                };
                let calls: Vec<_> =
                    calls.into_iter().map(each).filter(|it| !it.starts_with("0.00")).collect();
                (!calls.is_empty()).then(|| vec![case.to_string(), calls.join(", ")])
            })
            .collect();
        if !lines.is_empty() {
            page.heading(&format!("system calls per request, {protocol}"));
            page.table(&["", ""], &lines);
        }
    }

    /// Every finding that has a target, of the rows that were asked for.
    pub(crate) fn targets(&self) -> impl Iterator<Item = (&Row, Stated)> {
        let all = self.rows.iter().flat_map(|row| self.stated(row).map(move |it| (*row, it)));
        all.filter(|(_, it)| it.met.is_some())
    }

    fn stated(&self, row: &Row) -> impl Iterator<Item = Stated> {
        row.findings(self.also).into_iter().map(move |found| self.finding(row, found))
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

    fn finding(&self, row: &Row, (finding, goal): (Finding, Goal)) -> Stated {
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
        Stated { what, found: show(value), wanted, met: goal.is_met_by(value), from }
    }

    /// Only what makes a run worthless: figures that miss their target are news, not failures.
    fn verdicts(&self, page: &mut Page) {
        let with_good_answers =
            |case: &Case| case.is_umbra() || case.0 == crate::case::Way::Direct || case.shadow_lives();
        let bad = self.rounds.0.iter().filter_map(|((load, case), rounds)| {
            let errors: u64 = rounds.iter().map(|round| round.answered.errors).sum();
            (errors > 0 && with_good_answers(case)).then(|| format!("{errors} of {case}, {load:?}"))
        });
        let bad: Vec<_> = bad.collect();
        let said = if bad.is_empty() { "peers with dead shadows aside".to_owned() } else { bad.join("; ") };
        page.verdict(bad.is_empty(), "every answer was good", &said);
        for (case, books) in &self.books {
            let rounds =
                self.rounds.0.iter().filter(|((_, of), _)| of == case).flat_map(|(_, rounds)| rounds);
            let answered: u64 = rounds.map(|round| round.answered.requests).sum();
            let offers = match case.mirrors() {
                false => books.offered == 0,
                true => books.offered >= answered || !case.reads_all(),
            };
            let looked_on = case.1 != Setting::Watched || books.told.iter().all(|lines| *lines > 0);
            let sum: u64 = books.outcomes.values().sum();
            let ends: Vec<_> =
                books.outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
            let ends = if ends.is_empty() { "0".to_owned() } else { ends.join(" + ") };
            let [tapped, audited] = books.told;
            let told = match case.1 {
                Setting::Watched => format!("; {tapped} lines to the tap, {audited} in the audit log"),
                _ => String::new(),
            };
            page.verdict(
                (books.read >= answered || !case.reads_all()) && offers && sum == books.offered && looked_on,
                &case.to_string(),
                &format!(
                    "{answered} answered, {} read, {} offered = {ends}{told}",
                    books.read, books.offered
                ),
            );
        }
    }
}
