//! `umbra top`: the routes of a running agent, their requests beside the copies: how many, how many fail, how long they
//! take. On a terminal it goes on, and keys sort it; elsewhere it prints a table for each interval.

mod figures;
mod screen;

use std::{io::IsTerminal as _, process::ExitCode, thread, time::Duration};

use anyhow::bail;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use self::{figures::Reading, screen::Screen};
use super::{
    agent::Agent,
    out,
    table::{self, Column, Table},
    view::{View, print_value, text},
};

#[derive(Debug, Args)]
#[command(after_help = "\
On a terminal: r sorts by RATE, f FAILED, 5 P50, 9 P95, p P99; the same letters in upper case, and %, ( and ) for the percentiles,
by the copies' columns; n by name. The same key again turns the order. q or Ctrl-C ends.
Figures are those of the last interval. FAILED is the server's fault: 5xx, statuses of gRPC that Envoy takes for it, no response.
LOST are copies that failed or were dropped, of those that were due. Of several mirrors of a route, each is a line.")]
pub(super) struct Arguments {
    /// Only routes whose name contains this.
    #[arg(value_name = "ROUTE", default_value = "")]
    route: String,
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,
    /// Seconds between two readings.
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    interval: u64,
    /// Tables to print; on a terminal without end, elsewhere one.
    #[arg(long, value_name = "NUMBER")]
    count: Option<u64>,
    /// Routes shown.
    #[arg(long, default_value_t = 40, value_name = "NUMBER")]
    rows: usize,
    #[command(flatten)]
    agent: Agent,
    #[arg(short, long, value_enum, default_value_t = View::Table)]
    output: View,
}

/// What decides the order. The copies' columns begin with `shadow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sort {
    Name,
    Rate,
    Failed,
    P50,
    P95,
    P99,
    ShadowRate,
    ShadowFailed,
    ShadowP50,
    ShadowP95,
    ShadowP99,
    Lost,
}

impl Sort {
    /// The key that asks for it, on a terminal.
    const KEYS: [(char, Self); 12] = [
        ('n', Self::Name),
        ('r', Self::Rate),
        ('f', Self::Failed),
        ('5', Self::P50),
        ('9', Self::P95),
        ('p', Self::P99),
        ('R', Self::ShadowRate),
        ('F', Self::ShadowFailed),
        ('%', Self::ShadowP50),
        ('(', Self::ShadowP95),
        (')', Self::ShadowP99),
        ('l', Self::Lost),
    ];

    fn of_key(key: char) -> Option<Self> {
        Self::KEYS.into_iter().find_map(|(known, sort)| (known == key).then_some(sort))
    }

    fn figure(self, row: &Value) -> f64 {
        let (side, name) = match self {
            Self::Name => return 0.0,
            Self::Rate => ("primary", "perSecond"),
            Self::Failed => ("primary", "failedPercent"),
            Self::P50 => ("primary", "p50Micros"),
            Self::P95 => ("primary", "p95Micros"),
            Self::P99 => ("primary", "p99Micros"),
            Self::ShadowRate => ("shadow", "perSecond"),
            Self::ShadowFailed => ("shadow", "failedPercent"),
            Self::ShadowP50 => ("shadow", "p50Micros"),
            Self::ShadowP95 => ("shadow", "p95Micros"),
            Self::ShadowP99 => ("shadow", "p99Micros"),
            Self::Lost => ("shadow", "lostPercent"),
        };
        row[side][name].as_f64().unwrap_or(-1.0)
    }

    /// The largest first, names from A to Z; `turned` is the other way round.
    fn order(self, rows: &mut [Value], turned: bool) {
        let name = |row: &Value| format!("{} {}", text(&row["route"]), text(&row["mirror"]));
        rows.sort_by(|a, b| {
            let order = self.figure(b).total_cmp(&self.figure(a)).then_with(|| name(a).cmp(&name(b)));
            if turned { order.reverse() } else { order }
        });
    }
}

impl Arguments {
    pub(super) fn execute(self) -> anyhow::Result<ExitCode> {
        let plain = !std::io::stdout().is_terminal() || matches!(self.output, View::Json | View::Yaml);
        if plain {
            self.print()?;
        } else {
            self.show()?;
        }
        Ok(ExitCode::SUCCESS)
    }

    /// One answer for each interval.
    fn print(&self) -> anyhow::Result<()> {
        let mut last = self.read()?;
        for number in 0..self.count.unwrap_or(1) {
            thread::sleep(Duration::from_secs(self.interval));
            let next = self.read()?;
            let list = self.list(&last, &next, self.sort, false);
            match self.output {
                View::Json | View::Yaml => print_value(&list, self.output)?,
                _ => {
                    let gap = if number > 0 { "\n" } else { "" };
                    out::print(&format!("{gap}{}", self.table(&list, table::width())))?;
                }
            }
            last = next;
        }
        Ok(())
    }

    /// Over and over on a terminal, until a key says that it is enough.
    fn show(&self) -> anyhow::Result<()> {
        let mut last = self.read()?;
        let mut screen = Screen::open()?;
        let (mut sort, mut turned, mut shown) = (self.sort, false, 0);
        let mut list = json!({"items": []});
        screen.draw("one moment: figures are the difference of two readings …\n")?;
        loop {
            match screen.wait(Duration::from_secs(self.interval))? {
                screen::Asked::Nothing => {
                    let next = self.read()?;
                    list = self.list(&last, &next, sort, turned);
                    last = next;
                    shown += 1;
                }
                screen::Asked::Key(key) => {
                    let Some(wanted) = Sort::of_key(key) else { continue };
                    turned = wanted == sort && !turned;
                    sort = wanted;
                    if let Some(rows) = list["items"].as_array_mut() {
                        sort.order(rows, turned);
                    }
                }
                screen::Asked::Resized => {}
                screen::Asked::End => return Ok(()),
            }
            screen.draw(&self.table(&list, table::width()))?;
            if self.count.is_some_and(|count| shown >= count) {
                return Ok(());
            }
        }
    }

    fn read(&self) -> anyhow::Result<Reading> {
        let traffic = self.agent.list("/api/v1/traffic")?;
        match Reading::new(&traffic) {
            Some(reading) => Ok(reading),
            None => bail!("the agent's answer has no time: is it of this version?"),
        }
    }

    fn list(&self, before: &Reading, now: &Reading, sort: Sort, turned: bool) -> Value {
        let mut rows = now.since(before, &self.route);
        sort.order(&mut rows, turned);
        json!({"seconds": now.seconds_since(before), "items": rows})
    }

    fn table(&self, list: &Value, width: Option<usize>) -> String {
        let rows = list["items"].as_array().map_or(&[][..], Vec::as_slice);
        let shown = &rows[..rows.len().min(self.rows)];
        let columns =
            if self.output == View::Wide { [&TABLE[..], &WIDE[..]].concat() } else { TABLE.to_vec() };
        let width = if self.output == View::Wide { None } else { width };
        let mut said = Table::new(&columns, shown).render(width);
        if shown.is_empty() {
            said = "no route: no rule is in force, or none has this name\n".to_owned();
        } else if shown.len() < rows.len() {
            said += &format!("and {} more: --rows {}, or a ROUTE\n", rows.len() - shown.len(), rows.len());
        }
        said
    }
}

const TABLE: [Column; 12] = [
    ("ROUTE", |row| text(&row["route"])),
    (" RATE", |row| rate(&row["primary"])),
    (" FAILED", |row| percent(&row["primary"]["failedPercent"])),
    (" P50", |row| time(&row["primary"]["p50Micros"])),
    (" P95", |row| time(&row["primary"]["p95Micros"])),
    (" P99", |row| time(&row["primary"]["p99Micros"])),
    ("COPIES TO", |row| text(&row["mirror"])),
    (" RATE", |row| rate(&row["shadow"])),
    (" FAILED", |row| percent(&row["shadow"]["failedPercent"])),
    (" P50", |row| time(&row["shadow"]["p50Micros"])),
    (" P95", |row| time(&row["shadow"]["p95Micros"])),
    (" P99", |row| time(&row["shadow"]["p99Micros"])),
];

const WIDE: [Column; 4] = [
    (" LOST", |row| percent(&row["shadow"]["lostPercent"])),
    (" IN FORCE", |row| percent(&row["shadow"]["inForcePercentage"])),
    (" REQUESTS", |row| text(&row["primary"]["requests"])),
    (" COPIES", |row| text(&row["shadow"]["requests"])),
];

fn rate(side: &Value) -> String {
    side["perSecond"].as_f64().map_or_else(|| "-".to_owned(), |rate| format!("{rate:.1}/s"))
}

fn percent(value: &Value) -> String {
    value.as_f64().map_or_else(|| "-".to_owned(), |percent| format!("{percent:.1} %"))
}

/// Three digits: `840µs`, `3.21ms`, `12.4s`.
fn time(micros: &Value) -> String {
    let Some(micros) = micros.as_f64() else { return "-".to_owned() };
    let (value, unit) = match micros {
        ..1_000.0 => (micros, "µs"),
        ..1_000_000.0 => (micros / 1e3, "ms"),
        _ => (micros / 1e6, "s"),
    };
    let digits = if unit == "µs" || value >= 100.0 {
        0
    } else if value >= 10.0 {
        1
    } else {
        2
    };
    format!("{value:.digits$}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_three_digits() {
        for (micros, text) in
            [(7.0, "7µs"), (999.4, "999µs"), (3214.0, "3.21ms"), (45_600.0, "45.6ms"), (12.4e6, "12.4s")]
        {
            assert_eq!(time(&json!(micros)), text);
        }
        assert_eq!(time(&Value::Null), "-");
    }

    #[test]
    fn the_largest_comes_first_and_what_is_unknown_last() {
        let row = |name: &str, p95: Value| json!({"route": name, "primary": {"p95Micros": p95}});
        let mut rows =
            [row("b", json!(2.0)), row("c", Value::Null), row("a", json!(7.0)), row("d", json!(2.0))];
        let names = |rows: &[Value]| rows.iter().map(|row| text(&row["route"])).collect::<String>();
        Sort::P95.order(&mut rows, false);
        assert_eq!(names(&rows), "abdc");
        Sort::Name.order(&mut rows, false);
        assert_eq!(names(&rows), "abcd");
        Sort::Name.order(&mut rows, true);
        assert_eq!(names(&rows), "dcba");
    }

    #[test]
    fn every_order_has_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<_> = Sort::KEYS.iter().map(|(key, _)| key).collect();
        assert_eq!(keys.len(), Sort::value_variants().len());
        assert!(Sort::value_variants().iter().all(|sort| Sort::KEYS.iter().any(|(_, known)| known == sort)));
    }
}
