//! The two text formats that Prometheus reads. The library writes OpenMetrics only; the classic one is made of it, line by
//! line.

use std::fmt::Write as _;

/// How metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4: what everything reads.
    Classic,
    /// 1.0.0; the only one with exemplars.
    OpenMetrics,
}

impl Format {
    /// Of an `Accept` header: OpenMetrics for those who name it and do not rank the classic format above it. Others get the
    /// classic one, also those who would have neither: a person with curl.
    pub fn accepted(accept: &str) -> Self {
        let weight = |wanted: &str| {
            let named = accept.split(',').filter_map(|range| {
                let mut parts = range.split(';').map(str::trim);
                if !parts.next()?.eq_ignore_ascii_case(wanted) {
                    return None;
                }
                let weight = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
                Some(weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
            });
            named.fold(0.0, f32::max)
        };
        let open = weight("application/openmetrics-text");
        if open > 0.0 && open >= weight("text/plain") { Self::OpenMetrics } else { Self::Classic }
    }

    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// A bound as each format wants it, so that the same series keeps the same `le`.
    pub(super) fn number(self, value: f64) -> String {
        match self {
            _ if value.is_infinite() => "+Inf".to_owned(),
            Self::Classic => value.to_string(),
            Self::OpenMetrics => format!("{value:?}"),
        }
    }
}

/// Makes classic text of OpenMetrics without exemplars: counters and infos are named as their samples are, units are no
/// lines, and a whole number is written without a point.
pub(super) fn classic(open: &str) -> String {
    let mut out = String::with_capacity(open.len() + open.len() / 8);
    let mut help = ("", "");
    for line in open.lines() {
        if let Some(of) = line.strip_prefix("# HELP ") {
            help = of.split_once(' ').unwrap_or((of, ""));
        } else if let Some(of) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of.split_once(' ').unwrap_or((of, "untyped"));
            let (rest, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if help.0 == name {
                // Writing to a String cannot fail.
                let _ = writeln!(out, "# HELP {name}{rest} {}", help.1);
            }
            let _ = writeln!(out, "# TYPE {name}{rest} {kind}");
        } else if !line.starts_with('#') {
            out.push_str(&bound(line).unwrap_or_else(|| line.to_owned()));
            out.push('\n');
        }
    }
    out
}

/// The line with `le="1.0"` as `le="1"`; None where there is nothing to change.
fn bound(line: &str) -> Option<String> {
    // The library writes `le` before all other labels; in the value of one, quotes are escaped.
    let (before, rest) = line.split_once("_bucket{le=\"")?;
    let (value, rest) = rest.split_once('"')?;
    let whole = value.strip_suffix(".0")?;
    Some(format!("{before}_bucket{{le=\"{whole}\"{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_those_who_ask_for_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (prometheus, Format::OpenMetrics),
            ("application/openmetrics-text", Format::OpenMetrics),
            ("application/openmetrics-text; version=1.0.0; q=0.4, text/plain; q=0.9", Format::Classic),
            ("application/openmetrics-text;q=0", Format::Classic),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Format::Classic),
            ("*/*", Format::Classic),
            ("", Format::Classic),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept}");
        }
    }

    #[test]
    fn classic_text_names_families_as_their_samples() {
        let open = "# HELP a_requests Requests.\n# TYPE a_requests counter\n# UNIT a_requests requests\n\
            a_requests_total{rule=\"x_bucket{le=\\\"1.0\\\"\"} 7\n\
            # HELP a_build Version.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
            # HELP a_time Time.\n# TYPE a_time histogram\na_time_bucket{le=\"0.5\",rule=\"1.0\"} 1\n\
            a_time_bucket{le=\"10.0\",rule=\"1.0\"} 2\na_time_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let expected = "# HELP a_requests_total Requests.\n# TYPE a_requests_total counter\n\
            a_requests_total{rule=\"x_bucket{le=\\\"1.0\\\"\"} 7\n\
            # HELP a_build_info Version.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
            # HELP a_time Time.\n# TYPE a_time histogram\na_time_bucket{le=\"0.5\",rule=\"1.0\"} 1\n\
            a_time_bucket{le=\"10\",rule=\"1.0\"} 2\na_time_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(classic(open), expected);
    }
}
