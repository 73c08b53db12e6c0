//! Istio's series as text. Written here and not by the library: that keeps the fields of an exemplar to itself, and writes
//! 25 labels anew for each of 67 lines.

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Istio,
    series::{Exemplar, Series},
};
use crate::{
    observe::Format,
    record::{Buckets, Counts},
};

/// A histogram's name and help, and where its values are.
struct Histogram {
    name: &'static str,
    help: &'static str,
    read: fn(&Series) -> Counts,
    /// How many of what is summed up make one of the metric's unit.
    per_unit: u64,
    with_exemplars: bool,
}

const HISTOGRAMS: [Histogram; 3] = [
    Histogram {
        name: "istio_request_duration_milliseconds",
        help: "From the end of a request's head to the end of its response, of a copy from where a connection took it.",
        read: |series| series.durations.read(),
        per_unit: 1000,
        with_exemplars: true,
    },
    Histogram {
        name: "istio_request_bytes",
        help: "Sizes of requests, heads included.",
        read: |series| series.request_bytes.read(),
        per_unit: 1,
        with_exemplars: false,
    },
    Histogram {
        name: "istio_response_bytes",
        help: "Sizes of responses, heads included.",
        read: |series| series.response_bytes.read(),
        per_unit: 1,
        with_exemplars: false,
    },
];

impl Istio {
    /// Everything counted so far.
    pub(in crate::observe) fn write(&self, out: &mut String, format: Format) {
        self.make_room(Instant::now());
        let mut series: Vec<Arc<Series>> = self.table.load().values().cloned().collect();
        series.sort_unstable_by(|one, other| one.labels.cmp(&other.labels));
        // Writing to a String cannot fail.
        let _ = requests(out, format, &series);
        for histogram in &HISTOGRAMS {
            let _ = histogram.write(out, format, &series);
        }
    }
}

fn requests(out: &mut String, format: Format, series: &[Arc<Series>]) -> std::fmt::Result {
    let family = match format {
        Format::Classic => "istio_requests_total",
        Format::OpenMetrics => "istio_requests",
    };
    writeln!(
        out,
        "# HELP {family} Requests, and copies that a shadow was tried for.\n# TYPE {family} counter"
    )?;
    for one in series {
        writeln!(out, "istio_requests_total{{{}}} {}", one.labels, one.durations.read().total())?;
    }
    Ok(())
}

impl Histogram {
    fn write(&self, out: &mut String, format: Format, series: &[Arc<Series>]) -> std::fmt::Result {
        let Self { name, help, .. } = self;
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} histogram")?;
        let bounds = Buckets::bounds().map(|bound| format.number(bound));
        for one in series {
            let labels = &one.labels;
            let counts = (self.read)(one);
            let exemplars = match format {
                Format::OpenMetrics if self.with_exemplars => one.exemplars(),
                _ => Default::default(),
            };
            let mut total = 0;
            for ((bound, count), exemplar) in bounds.iter().zip(counts.each).zip(exemplars) {
                total += count;
                write!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}")?;
                if let Some(exemplar) = exemplar {
                    exemplar.write(out)?;
                }
                out.push('\n');
            }
            writeln!(out, "{name}_sum{{{labels}}} {}", self.sum(&counts))?;
            writeln!(out, "{name}_count{{{labels}}} {total}")?;
        }
        Ok(())
    }

    #[allow(clippy::cast_precision_loss, reason = "a sum of 2^53 is beyond what is counted in a life")]
    fn sum(&self, counts: &Counts) -> f64 {
        counts.sum as f64 / self.per_unit as f64
    }
}

impl Exemplar {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let at = self.at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let took = self.took.as_secs_f64() * 1000.0;
        write!(out, " # {{trace_id=\"{}\"}} {took} {:.3}", self.trace, at.as_secs_f64())
    }
}
