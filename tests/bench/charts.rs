//! Bars for the README, as SVG that reads on light and on dark pages.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::{Context as _, Result};

use crate::{
    case::{Case, DIRECT, Setting::*, Way::*},
    figures::Rounds,
    load::Load,
    round::Figure,
};

/// A file, and the bars in it.
struct Chart {
    file: &'static str,
    title: &'static str,
    load: Load,
    figure: Figure,
    cases: &'static [Case],
}

const MIRRORS: &[Case] = &[
    Case(Umbra, Plain),
    Case(Nginx, Plain),
    Case(Envoy, Plain),
    Case(Umbra, Mirror),
    Case(Nginx, Mirror),
    Case(Envoy, Mirror),
];

const CHARTS: &[Chart] = &[
    Chart {
        file: "cpu.svg",
        title: "CPU per request of the proxy, small GET",
        load: Load::Tenth,
        figure: Figure::ProxyCpu,
        cases: MIRRORS,
    },
    Chart {
        file: "p99.svg",
        title: "p99, small GET, all mirrored",
        load: Load::Tenth,
        figure: Figure::P99,
        cases: &[DIRECT, Case(Umbra, Mirror), Case(Nginx, Mirror), Case(Envoy, Mirror)],
    },
    Chart {
        file: "uploads.svg",
        title: "100 MiB uploads while the shadow is dead",
        load: Load::Uploads,
        figure: Figure::Throughput,
        cases: &[
            Case(Umbra, Mirror),
            Case(Umbra, BlackHole),
            Case(Umbra, Silent),
            Case(Nginx, BlackHole),
            Case(Nginx, Silent),
            Case(Envoy, BlackHole),
            Case(Envoy, Silent),
        ],
    },
];

/// Writes each chart whose every bar was measured, and tells their names.
pub(crate) fn write(dir: &Path, rounds: &Rounds) -> Result<Vec<&'static str>> {
    fs::create_dir_all(dir)?;
    let mut written = Vec::new();
    for chart in CHARTS {
        let bar = |&case: &Case| (case, rounds.median(chart.load, case, chart.figure));
        let bars: Vec<(Case, f64)> = chart.cases.iter().map(bar).collect();
        if bars.iter().all(|(_, value)| value.is_finite()) {
            let file = dir.join(chart.file);
            fs::write(&file, draw(chart, &bars)?)
                .with_context(|| format!("cannot write {}", file.display()))?;
            written.push(chart.file);
        }
    }
    Ok(written)
}

const ROW: usize = 26;
const NAMES: f64 = 210.0;
const LONGEST: f64 = 360.0;

fn draw(chart: &Chart, bars: &[(Case, f64)]) -> Result<String> {
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = ROW * (bars.len() + 1) + 12;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 680 {height}\" font-family=\"sans-serif\" font-size=\"13\" \
         fill=\"#888\">\n<text x=\"0\" y=\"16\" font-weight=\"bold\">{}</text>\n",
        chart.title
    );
    for (line, (case, value)) in bars.iter().enumerate() {
        let top = ROW * (line + 1);
        let (text, wide) = (top + 16, value / most * LONGEST);
        let colour = if case.is_umbra() { "#3b82c4" } else { "#b0b0b0" };
        let (end, shown) = (NAMES + wide + 8.0, chart.figure.shown(*value));
        writeln!(svg, "<text x=\"0\" y=\"{text}\">{case}</text>")?;
        writeln!(
            svg,
            "<rect x=\"{NAMES}\" y=\"{}\" width=\"{wide:.1}\" height=\"18\" fill=\"{colour}\"/>",
            top + 2
        )?;
        writeln!(svg, "<text x=\"{end:.1}\" y=\"{text}\">{shown}</text>")?;
    }
    svg += "</svg>\n";
    Ok(svg)
}
