//! Bars for the README, as SVG. The colours read on light and on dark pages alike: a picture in a README cannot know
//! which of them its reader has chosen.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    case::{Case, DIRECT, Setting::*, Way::*},
    figures::Rounds,
    load::Load,
    round::Figure,
};

/// A file, and the groups of bars in it; all by one scale.
struct Chart {
    file: &'static str,
    title: &'static str,
    /// What is better.
    note: &'static str,
    load: Load,
    figure: Figure,
    groups: &'static [(&'static str, &'static [Case])],
}

const CHARTS: &[Chart] = &[
    Chart {
        file: "cpu.svg",
        title: "CPU time of the proxy per request, small GET",
        note: "open loop at a tenth of what the app alone can; less is better",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        groups: &[
            ("not mirrored", &[Case(Umbra, Plain), Case(Nginx, Plain), Case(Envoy, Plain)]),
            ("mirror 100 %", &[Case(Umbra, Mirror), Case(Nginx, Mirror), Case(Envoy, Mirror)]),
        ],
    },
    Chart {
        file: "p99.svg",
        title: "p99 of the primary, small GET, all mirrored",
        note: "open loop at a tenth of what the app alone can; less is better",
        load: Load::Tenth,
        figure: Figure::P99,
        groups: &[
            ("nobody between", &[DIRECT]),
            ("a healthy shadow", &[Case(Umbra, Mirror), Case(Nginx, Mirror), Case(Envoy, Mirror)]),
            (
                "a shadow whose packets vanish",
                &[Case(Umbra, BlackHole), Case(Nginx, BlackHole), Case(Envoy, BlackHole)],
            ),
        ],
    },
    Chart {
        file: "uploads.svg",
        title: "100 MiB uploads, all mirrored",
        note: "what clients get through; more is better",
        load: Load::Uploads100M,
        figure: Figure::Throughput,
        groups: &[
            ("a healthy shadow", &[Case(Umbra, Mirror), Case(Nginx, Mirror), Case(Envoy, Mirror)]),
            (
                "a shadow whose packets vanish",
                &[Case(Umbra, BlackHole), Case(Nginx, BlackHole), Case(Envoy, BlackHole)],
            ),
            (
                "a shadow that accepts and never reads",
                &[Case(Umbra, Silent), Case(Nginx, Silent), Case(Envoy, Silent)],
            ),
        ],
    },
    Chart {
        file: "connections.svg",
        title: "New connections per second, one request on each",
        note: "as fast as it goes; more is better",
        load: Load::Fresh,
        figure: Figure::Throughput,
        groups: &[
            ("not mirrored", &[DIRECT, Case(Umbra, Plain), Case(Nginx, Plain), Case(Envoy, Plain)]),
            ("led to it by REDIRECT", &[Case(Redirected, Plain)]),
            ("1 % of connections sampled", &[Case(Umbra, Sampled(10_000))]),
        ],
    },
];

/// Writes each chart whose every bar was measured, and tells their names.
pub(crate) fn write(dir: &Path, rounds: &Rounds) -> Result<Vec<&'static str>> {
    fs::create_dir_all(dir)?;
    let mut written = Vec::new();
    for chart in CHARTS {
        let bar = |&case: &Case| Bar { case, value: rounds.median(chart.load, case, chart.figure) };
        let groups: Vec<_> = chart
            .groups
            .iter()
            .map(|(name, cases)| (*name, cases.iter().map(bar).collect::<Vec<_>>()))
            .collect();
        if groups.iter().flat_map(|(_, bars)| bars).all(|bar| bar.value.is_finite()) {
            let file = dir.join(chart.file);
            fs::write(&file, draw(chart, &groups)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
            written.push(chart.file);
        }
    }
    Ok(written)
}

struct Bar {
    case: Case,
    value: f64,
}

/// What the longest bar stands for. A time next to which all others would vanish is cut.
fn scale(figure: Figure, mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let dwarfs = |pair: &&[f64]| matches!(figure, Figure::P50 | Figure::P99) && pair[1] > 5.0 * pair[0];
    let all = values.last().copied().unwrap_or(f64::MIN_POSITIVE);
    values.windows(2).rfind(dwarfs).map_or(all, |pair| pair[0])
}

const WIDTH: u32 = 720;
const LEFT: f64 = 96.0;
const LONGEST: f64 = 500.0;
const LINE: u32 = 24;
const TEXT: &str = "#7a7a7a";
const OURS: &str = "#2f7fd0";
const OTHERS: &str = "#a3a3a3";

fn draw(chart: &Chart, groups: &[(&str, Vec<Bar>)]) -> Result<String> {
    let scale = scale(chart.figure, groups.iter().flat_map(|(_, bars)| bars).map(|bar| bar.value).collect());
    let mut inside = String::new();
    let mut top = 48;
    for (name, bars) in groups {
        top += 10;
        writeln!(inside, "<text x=\"0\" y=\"{}\" font-style=\"italic\">{name}</text>", top + 14)?;
        top += LINE;
        for Bar { case, value } in bars {
            let wide = (value / scale * LONGEST).clamp(1.0, LONGEST);
            let colour = if case.is_umbra() { OURS } else { OTHERS };
            let (who, below) = (case.0.name(), top + 14);
            let cut = if *value > scale { "⋯ " } else { "" };
            let shown = format!("{cut}{}", chart.figure.shown(*value));
            writeln!(inside, "<text x=\"12\" y=\"{below}\">{who}</text>")?;
            writeln!(
                inside,
                "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{wide:.1}\" height=\"18\" rx=\"2\" fill=\"{colour}\"/>"
            )?;
            writeln!(inside, "<text x=\"{:.1}\" y=\"{below}\">{shown}</text>", LEFT + wide + 8.0)?;
            top += LINE;
        }
    }
    let Chart { title, note, .. } = chart;
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {top}\" width=\"{WIDTH}\" height=\"{top}\" role=\"img\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" fill=\"{TEXT}\">\n<title>{title}</title>\n\
         <text x=\"0\" y=\"18\" font-size=\"15\" font-weight=\"bold\">{title}</text>\n<text x=\"0\" y=\"38\">{note}</text>\n\
         {inside}</svg>\n"
    ))
}
