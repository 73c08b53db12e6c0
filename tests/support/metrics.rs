//! The agent's metrics, read as Prometheus reads them.

use std::collections::BTreeMap;

/// One scrape.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    pub samples: Vec<Sample>,
}

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

impl Metrics {
    /// Reads the text exposition format; comments are passed over.
    pub fn parse(text: &str) -> Self {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self { samples: lines.map(parse_sample).collect() }
    }

    /// The sum over every series the selector fits: `name` or `name{label="value",…}`, other labels being free.
    pub fn sum(&self, selector: &str) -> f64 {
        self.select(selector).map(|sample| sample.value).sum()
    }

    /// Every series the selector fits.
    pub fn select(&self, selector: &str) -> impl Iterator<Item = &Sample> {
        let (name, labels) = parse_series(selector);
        let fits = move |sample: &&Sample| {
            sample.name == name && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value))
        };
        self.samples.iter().filter(fits)
    }

    /// Fails unless, for each mirror, offered = every outcome + in flight: promise 5.
    pub fn assert_accounts_balance(&self) {
        let mirror = |sample: &Sample| {
            ["virtual_service", "rule", "mirror"].map(|label| sample.labels.get(label).cloned())
        };
        let mut balances = BTreeMap::<_, (f64, f64)>::new();
        for sample in &self.samples {
            let (offered, ended) = balances.entry(mirror(sample)).or_default();
            match sample.name.as_str() {
                "umbra_shadow_offered_total" => *offered += sample.value,
                "umbra_shadow_outcomes_total" | "umbra_shadow_in_flight" => *ended += sample.value,
                _ => {}
            }
        }
        for (mirror, (offered, ended)) in balances {
            assert!(
                (offered - ended).abs() < 0.5,
                "accounts of {mirror:?} do not balance: offered {offered}, ended or in flight {ended}\n{}",
                self.shadow_lines()
            );
        }
    }

    /// The shadow plane's series, for a message.
    pub(crate) fn shadow_lines(&self) -> String {
        let shadow = self.samples.iter().filter(|sample| sample.name.starts_with("umbra_shadow"));
        shadow.map(|sample| format!("{} {:?} {}\n", sample.name, sample.labels, sample.value)).collect()
    }
}

fn parse_sample(line: &str) -> Sample {
    let end = line.find('}').map_or_else(|| line.find(' ').unwrap_or(line.len()), |brace| brace + 1);
    let (series, value) = line.split_at(end);
    let (name, labels) = parse_series(series);
    let value = value.split_whitespace().next().and_then(|value| value.parse().ok());
    Sample { name, labels, value: value.unwrap_or_else(|| panic!("no value in metric line {line:?}")) }
}

/// `name{a="b",c="d"}`; label values hold neither `"` nor `}`, for they come from names in the configuration.
fn parse_series(series: &str) -> (String, BTreeMap<String, String>) {
    let (name, labels) = series.split_once('{').unwrap_or((series, ""));
    let pairs = labels.trim_end_matches('}').split("\",").filter(|pair| !pair.is_empty());
    let labels = pairs.map(|pair| {
        let (label, value) = pair.split_once("=\"").unwrap_or_else(|| panic!("bad labels in {series:?}"));
        (label.trim().to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.trim().to_owned(), labels.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = "# TYPE umbra_shadow_offered counter\n\
        umbra_shadow_offered_total{virtual_service=\"d/a\",rule=\"all\",mirror=\"a:80/v2\"} 5\n\
        umbra_shadow_outcomes_total{virtual_service=\"d/a\",rule=\"all\",mirror=\"a:80/v2\",outcome=\"completed\",reason=\"\"} 3\n\
        umbra_shadow_outcomes_total{virtual_service=\"d/a\",rule=\"all\",mirror=\"a:80/v2\",outcome=\"failed\",reason=\"timeout\"} 1\n\
        umbra_shadow_in_flight{virtual_service=\"d/a\",rule=\"all\",mirror=\"a:80/v2\"} 1\n\
        up 1\n# EOF\n";

    #[test]
    fn a_selector_sums_what_it_fits() {
        let metrics = Metrics::parse(SCRAPE);
        assert!((metrics.sum("umbra_shadow_outcomes_total") - 4.0).abs() < 0.1);
        assert!(
            (metrics.sum("umbra_shadow_outcomes_total{outcome=\"failed\",reason=\"timeout\"}") - 1.0).abs()
                < 0.1
        );
        assert!((metrics.sum("up") - 1.0).abs() < 0.1);
        assert_eq!(metrics.select("umbra_shadow_outcomes_total{outcome=\"dropped\"}").count(), 0);
        metrics.assert_accounts_balance();
    }

    #[test]
    #[should_panic(expected = "do not balance")]
    fn a_lost_copy_is_noticed() {
        Metrics::parse(&SCRAPE.replace("in_flight", "elsewhere")).assert_accounts_balance();
    }
}
