//! One request as one line: columns that grow with what they hold, for what is to come is not known.

use std::fmt::Write as _;

use serde_json::Value;

use super::Output;
use crate::cli::{
    table::{GAP, cut},
    view::text,
};

/// Heading, the width it begins with, and what of a line stands below. Numbers stand to the right: those columns whose
/// heading starts with a space.
type Column = (&'static str, usize, fn(&Value) -> String);

const COLUMNS: [Column; 10] = [
    ("TIME", 12, |line| time(&line["time"])),
    ("FROM", 15, from),
    ("METHOD", 6, |line| text(&line["method"])),
    ("PATH", 24, |line| text(&line["path"])),
    (" STATUS", 6, |line| status(&line["primary"])),
    (" TOOK", 8, |line| took(&line["primary"]["durationMicros"], &Value::Null)),
    ("VERDICT", 11, |line| text(&line["verdict"])),
    (" SHADOW", 6, |line| if line["shadow"].is_null() { "-".to_owned() } else { status(&line["shadow"]) }),
    (" TOOK", 8, |line| took(&line["shadow"]["durationMicros"], &line["shadow"]["sentMicros"])),
    ("MIRROR", 20, |line| text(&line["shadow"]["mirror"])),
];

const MORE: [Column; 7] = [
    ("REASON", 12, reason),
    ("RULE", 16, |line| match line["virtualService"].as_str() {
        Some(object) => format!("{object} {}", text(&line["rule"])),
        None => "-".to_owned(),
    }),
    ("SERVICE", 20, |line| text(&line["service"])),
    ("ENDPOINT", 18, |line| text(&line["shadow"]["endpoint"])),
    (" BYTES", 6, |line| text(&line["primary"]["responseBytes"])),
    (" BYTES", 6, |line| text(&line["shadow"]["responseBytes"])),
    ("TRACE", 32, |line| text(&line["trace"])),
];

pub(super) struct Show {
    output: Output,
    columns: Vec<Column>,
    widths: Vec<usize>,
    /// Of the terminal; None: as wide as it gets.
    most: Option<usize>,
    colours: bool,
    begun: bool,
}

impl Show {
    pub(super) fn new(output: Output, width: Option<usize>, colours: bool) -> Self {
        let more = if output == Output::Wide { &MORE[..] } else { &[] };
        let columns = [&COLUMNS[..], more].concat();
        let widths = columns.iter().map(|(heading, width, _)| heading.trim().len().max(*width)).collect();
        Self {
            output,
            columns,
            widths,
            most: width.filter(|_| output == Output::Table),
            colours,
            begun: false,
        }
    }

    /// Once; empty where programs read.
    pub(super) fn heading(&mut self) -> String {
        if self.output == Output::Json || std::mem::replace(&mut self.begun, true) {
            return String::new();
        }
        let headings: Vec<_> = self.columns.iter().map(|(heading, ..)| heading.trim().to_owned()).collect();
        self.row(&headings, |_| "")
    }

    pub(super) fn line(&mut self, line: &Value) -> String {
        if self.output == Output::Json {
            return format!("{line}\n");
        }
        let heading = self.heading();
        // What clients send must not steer a terminal.
        let clean =
            |cell: String| cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>();
        let cells: Vec<_> = self.columns.iter().map(|(.., cell)| clean(cell(line))).collect();
        let colours = self.colours;
        heading + &self.row(&cells, |cell| if colours { colour(cell) } else { "" })
    }

    fn row(&mut self, cells: &[String], colour: impl Fn(&str) -> &'static str) -> String {
        let mut row = String::new();
        let mut taken = 0;
        for ((cell, (heading, ..)), width) in cells.iter().zip(&self.columns).zip(&mut self.widths) {
            let gap = if taken == 0 { 0 } else { GAP };
            // What does not fit a terminal is cut, at the latest where it ends.
            let room = self.most.map(|most| most.saturating_sub(taken + gap));
            if room == Some(0) {
                break;
            }
            if self.most.is_none() {
                *width = (*width).max(cell.chars().count());
            }
            let width = room.map_or(*width, |room| room.min(*width));
            let cell = cut(cell, width);
            let fill = width.saturating_sub(cell.chars().count());
            let (before, after) = if heading.starts_with(' ') { (fill, 0) } else { (0, fill) };
            let (on, off) = match colour(&cell) {
                "" => ("", ""),
                colour => (colour, "\x1b[0m"),
            };
            // Writing to a `String` cannot fail.
            let _ = write!(row, "{:gap$}{:before$}{on}{cell}{off}{:after$}", "", "", "");
            taken += gap + width;
        }
        row.truncate(row.trim_end().len());
        row.push('\n');
        row
    }
}

/// Red for what went wrong, yellow for what may have.
fn colour(cell: &str) -> &'static str {
    let is_status = cell.len() == 3 && cell.bytes().all(|byte| byte.is_ascii_digit());
    match cell.as_bytes() {
        b"failed" | b"none!" => "\x1b[31m",
        b"dropped" => "\x1b[33m",
        [b'5', ..] if is_status => "\x1b[31m",
        [b'4', ..] if is_status => "\x1b[33m",
        _ => "",
    }
}

/// `10:31:07.250` of an RFC 3339 date.
fn time(value: &Value) -> String {
    let clock =
        value.as_str().and_then(|date| date.split_once('T')).map(|(_, clock)| clock.trim_end_matches('Z'));
    clock.map_or_else(|| "-".to_owned(), |clock| clock.chars().take(12).collect())
}

/// The client's workload, else its address without the port.
fn from(line: &Value) -> String {
    if let Some(name) = line["source"]["name"].as_str() {
        return format!("{}/{name}", text(&line["source"]["namespace"]));
    }
    let client = text(&line["client"]);
    client.rsplit_once(':').map_or(client.clone(), |(address, _)| address.to_owned())
}

/// With the status of a gRPC call; `none!` for no answer.
fn status(side: &Value) -> String {
    match (&side["status"], &side["grpcStatus"]) {
        (status, _) if *status == 0 => "none!".to_owned(),
        (status, Value::Null) => text(status),
        (status, grpc) => format!("{}/{grpc}", text(status)),
    }
}

fn took(until: &Value, from: &Value) -> String {
    let Some(until) = until.as_f64() else { return "-".to_owned() };
    let millis = (until - from.as_f64().unwrap_or(0.0)) / 1000.0;
    if millis < 1000.0 { format!("{millis:.1}ms") } else { format!("{:.2}s", millis / 1000.0) }
}

fn reason(line: &Value) -> String {
    let shadow = &line["shadow"];
    match (shadow["reason"].as_str().unwrap_or(""), shadow["why"].as_str()) {
        ("", _) => "-".to_owned(),
        (reason, Some(why)) => format!("{reason}: {why}"),
        (reason, None) => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line() -> Value {
        json!({
            "time": "2026-11-22T10:31:07.250125Z", "client": "10.0.0.9:4711", "source": null, "method": "GET",
            "path": "/cart/\u{1b}[2J7", "virtualService": "shop/cart", "rule": "all", "service": "cart.shop", "trace": null,
            "primary": {"status": 200, "grpcStatus": null, "durationMicros": 1540, "responseBytes": 12},
            "verdict": "failed",
            "shadow": {"mirror": "cart.shop:80/v2", "status": 503, "grpcStatus": null, "reason": "reset", "why": "gone",
                       "sentMicros": 1000, "durationMicros": 2_001_000, "endpoint": "10.0.0.2:80", "responseBytes": 7},
        })
    }

    #[test]
    fn a_request_is_one_line_below_its_headings() {
        let expected = "\
TIME           FROM              METHOD   PATH                       STATUS       TOOK   VERDICT       SHADOW       TOOK   MIRROR
10:31:07.250   10.0.0.9          GET      /cart/ [2J7                   200      1.5ms   failed           503      2.00s   cart.shop:80/v2
";
        let mut show = Show::new(Output::Table, None, false);
        assert_eq!(show.line(&line()), expected);
        assert_eq!(show.line(&line()).lines().count(), 1, "the headings stand above alone");
        let wide = Show::new(Output::Wide, None, false).line(&line());
        assert!(wide.contains("reset: gone") && wide.contains("shop/cart all"), "{wide}");
    }

    #[test]
    fn colours_are_for_terminals_and_stay_within_their_width() {
        let coloured = Show::new(Output::Table, Some(60), true).line(&line());
        assert_eq!(coloured.matches("\x1b").count(), 0, "what they are for is cut off: {coloured:?}");
        assert!(coloured.lines().all(|line| line.chars().count() <= 60), "{coloured}");
        let coloured = Show::new(Output::Table, None, true).line(&line());
        assert!(
            coloured.contains("\x1b[31mfailed\x1b[0m") && coloured.contains("\x1b[31m503\x1b[0m"),
            "{coloured:?}"
        );
    }

    #[test]
    fn a_request_without_an_answer_or_a_copy_says_so() {
        let mut bare = line();
        (bare["primary"]["status"], bare["shadow"], bare["verdict"]) = (0.into(), Value::Null, "none".into());
        let shown = Show::new(Output::Table, None, false).line(&bare);
        let cells: Vec<_> = shown.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(cells[cells.len() - 6..], ["none!", "1.5ms", "none", "-", "-", "-"]);
        assert_eq!(Show::new(Output::Json, None, true).line(&bare), format!("{bare}\n"));
    }
}
