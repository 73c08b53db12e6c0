//! The results in the README: written by the run that found them, so that no figure is typed by hand.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::report::{Machine, Report};

/// What stands between these lines is the bench's.
const BEGIN: &str = "<!-- bench: written by `cargo xtask bench --readme` -->\n";
const END: &str = "<!-- /bench -->\n";

/// As charts.rs draws them, in the same run.
const CHARTS: &str = "
![CPU time of the proxy per request](tests/bench/charts/cpu.svg)

![p99 of the primary](tests/bench/charts/p99.svg)

![100 MiB uploads](tests/bench/charts/uploads.svg)

![New connections per second](tests/bench/charts/connections.svg)
";

/// Puts the results into this page.
///
/// # Errors
/// When it lacks the two lines, or cannot be written.
pub(crate) fn write(file: &Path, report: &Report<'_>) -> Result<()> {
    let shown = file.display();
    let page = fs::read_to_string(file).with_context(|| format!("cannot read {shown}"))?;
    let (before, rest) = page.split_once(BEGIN).with_context(|| format!("{shown} lacks the line {BEGIN}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{shown} lacks the line {END}"))?;
    let page = format!("{before}{BEGIN}{}{END}{after}", section(report)?);
    fs::write(file, page).with_context(|| format!("cannot write {shown}"))
}

fn section(report: &Report<'_>) -> Result<String> {
    let Machine { processors, rounds, seconds, capacity, per_second, .. } = &report.machine;
    let (met, of) =
        report.targets().fold((0, 0), |(met, of), (_, it)| (met + u32::from(it.met == Some(true)), of + 1));
    let mut text = format!(
        "Of {of} targets {met} are met, on {processors} processors; medians of {rounds} rounds of {seconds} s. The app alone answers \
         {capacity:.0} small GETs a second, the open loop sends {per_second}.\n\n\
         | workload | compared | target | measured | of | met |\n|---|---|--:|--:|---|:-:|\n"
    );
    for (row, it) in report.targets() {
        let mark = if it.met == Some(true) { "✓" } else { "✗" };
        writeln!(
            text,
            "| {} | {} | {} | {} | {} | {mark} |",
            row.title, it.what, it.wanted, it.found, it.from
        )?;
    }
    text += CHARTS;
    Ok(text)
}
