//! Values that other parts keep, read when somebody scrapes: the books of the mirrors, and plain readings.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, MetricEncoder, NoLabelSet},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge},
};

use super::Mix;
use crate::record::{Account, Accounts, Balance, Buckets, Counts, DropReason, FailReason, GrpcStatus};

/// One metric whose values another part keeps.
pub struct Reading {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// Called on each scrape, off the request path: every series with its labels.
    pub read: Box<dyn Fn() -> Vec<Sample> + Send + Sync>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// A gauge of parts per million, shown in percent.
    PerMillion,
}

/// One series: label names with values, and the value.
pub type Sample = (Vec<(&'static str, String)>, u64);

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reading").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let kind = match self.kind {
            Kind::Counter => MetricType::Counter,
            Kind::Gauge | Kind::PerMillion => MetricType::Gauge,
        };
        let mut metric = describe(&mut encoder, self.name, self.help, kind)?;
        for (labels, value) in (self.read)() {
            encode(&mut metric, self.kind, &labels, value)?;
        }
        Ok(())
    }
}

/// The accounts of all mirrors. Each scrape takes one [`Balance`] per mirror, so that within it
/// offered = completed + failed + dropped + sampled_out + in_flight.
#[derive(Debug)]
pub(super) struct Books(pub(super) Arc<Accounts>);

impl Collector for Books {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let books: Vec<_> = self.0.all().into_iter().map(|account| (account.read(), account)).collect();

        let help = "Requests that matched a mirror's rule";
        let mut metric = describe(&mut encoder, "umbra_shadow_offered", help, MetricType::Counter)?;
        for (balance, account) in &books {
            encode(&mut metric, Kind::Counter, &labels(account), balance.offered)?;
        }
        let help = "Copies by their end; with in_flight they add up to offered";
        let mut metric = describe(&mut encoder, "umbra_shadow_outcomes", help, MetricType::Counter)?;
        for (balance, account) in &books {
            for (outcome, reason, count) in outcomes(balance) {
                let labels = of_outcome(account, outcome, reason);
                encode(&mut metric, Kind::Counter, &labels, count)?;
            }
            for (status, count) in GrpcStatus::all().zip(balance.calls).filter(|(_, count)| *count > 0) {
                let mut labels = of_outcome(account, "completed", "");
                labels.push(("grpc_response_status", status.as_str().to_owned()));
                encode(&mut metric, Kind::Counter, &labels, count)?;
            }
        }
        let help = "Copies whose end is not known yet";
        let mut metric = describe(&mut encoder, "umbra_shadow_in_flight", help, MetricType::Gauge)?;
        for (balance, account) in &books {
            encode(&mut metric, Kind::Gauge, &labels(account), balance.in_flight())?;
        }
        let help = "From the offer of a copy to the end of the shadow's response";
        let name = "umbra_shadow_duration_milliseconds";
        let mut metric = describe(&mut encoder, name, help, MetricType::Histogram)?;
        for (_, account) in &books {
            if let Some(counts) = account.durations() {
                durations(&mut metric, &labels(account), &counts)?;
            }
        }
        Ok(())
    }
}

/// What connections speak and what of them is not read; nothing of what did not come.
#[derive(Debug)]
pub(super) struct Counted(pub(super) Arc<Mix>);

impl Collector for Counted {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Mix { protocols, unread, unread_requests } = &*self.0;
        let inbound = [("direction", "inbound"), ("engine", "relay")];
        for (name, help, label, around, counts) in [
            (
                "umbra_connections",
                "Captured connections, counted when their protocol is known",
                "protocol",
                &inbound[..],
                protocols,
            ),
            (
                "umbra_unread_connections",
                "Connections relayed on without being read further, by reason",
                "reason",
                &[],
                unread,
            ),
            (
                "umbra_unread_requests",
                "Requests not read, or not to their end, while others of their HTTP/2 connection are, by reason",
                "reason",
                &[],
                unread_requests,
            ),
        ] {
            let counts = counts.read();
            if counts.is_empty() {
                continue;
            }
            let mut metric = describe(&mut encoder, name, help, MetricType::Counter)?;
            for (value, count) in counts {
                let labels: Vec<_> = around.iter().copied().chain([(label, value)]).collect();
                encode(&mut metric, Kind::Counter, &labels, count)?;
            }
        }
        Ok(())
    }
}

/// With a full stop, as the library ends the texts of metrics that are registered with it.
fn describe<'e>(
    encoder: &'e mut DescriptorEncoder<'_>,
    name: &'e str,
    help: &str,
    kind: MetricType,
) -> Result<MetricEncoder<'e>, fmt::Error> {
    encoder.encode_descriptor(name, &format!("{help}."), None, kind)
}

#[allow(
    clippy::cast_precision_loss,
    reason = "a sum of 2^53 microseconds is beyond what is counted in a life"
)]
fn durations(metric: &mut MetricEncoder<'_>, labels: &impl EncodeLabelSet, counts: &Counts) -> fmt::Result {
    let buckets: Vec<_> = Buckets::bounds().into_iter().zip(counts.each).collect();
    let sum = counts.sum as f64 / 1000.0;
    metric.encode_family(labels)?.encode_histogram::<NoLabelSet>(sum, counts.total(), &buckets, None)
}

/// Completed and sampled out always; failures and drops once they happened. Calls of gRPC that brought a status are apart.
fn outcomes(balance: &Balance) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let failed =
        FailReason::ALL.iter().zip(balance.failed).map(|(reason, count)| ("failed", reason.as_str(), count));
    let dropped = DropReason::ALL
        .iter()
        .zip(balance.dropped)
        .map(|(reason, count)| ("dropped", reason.as_str(), count));
    let completed = balance.completed - balance.calls.iter().sum::<u64>();
    [("completed", "", completed), ("sampled_out", "", balance.sampled_out)]
        .into_iter()
        .chain(failed.chain(dropped).filter(|(_, _, count)| *count > 0))
}

fn of_outcome(account: &Account, outcome: &str, reason: &str) -> Vec<(&'static str, String)> {
    let mut labels = labels(account);
    labels.extend([("outcome", outcome.to_owned()), ("reason", reason.to_owned())]);
    labels
}

fn labels(account: &Account) -> Vec<(&'static str, String)> {
    let key = &account.key;
    vec![
        ("virtual_service", key.rule.virtual_service.to_string()),
        ("rule", key.rule.rule.clone()),
        ("mirror", key.mirror.to_string()),
    ]
}

fn encode(
    metric: &mut MetricEncoder<'_>,
    kind: Kind,
    labels: &impl EncodeLabelSet,
    value: u64,
) -> fmt::Result {
    let family = metric.encode_family(labels)?;
    match kind {
        Kind::Counter => ConstCounter::new(value).encode(family),
        // The library's gauges are signed; none of ours comes near the limit.
        Kind::Gauge => ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX)).encode(family),
        Kind::PerMillion => {
            let parts = u32::try_from(value).unwrap_or(u32::MAX);
            ConstGauge::new(f64::from(parts) / 10_000.0).encode(family)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        observe::{Format, Metrics, Recorder},
        record::{MirrorKey, Outcome, RuleKey},
    };

    #[test]
    fn a_scrape_shows_books_that_add_up() {
        let accounts = Arc::new(Accounts::default());
        let rule = RuleKey { virtual_service: "default/my-app".into(), rule: "all".into() }.into();
        let account = accounts.account(&MirrorKey { rule, mirror: "my-app:80/v2".into() });
        account.offer().settle(Outcome::Completed { status: 200 });
        account.offer().settle(Outcome::Failed(FailReason::Timeout));
        account.offer().sampled_out();
        account.offer().answered(GrpcStatus::parse(b"14"));
        let _open = account.offer();
        let reading = Reading {
            name: "umbra_capture_verdicts",
            help: "Verdicts of the program",
            kind: Kind::Counter,
            read: Box::new(|| vec![(vec![("verdict", "assigned".into())], 7)]),
        };

        let recorder = Recorder::default();
        account.lasted(Duration::from_millis(3));

        let text = Metrics::new(&recorder, accounts, vec![reading]).render(Format::Classic);

        let mirror = r#"virtual_service="default/my-app",rule="all",mirror="my-app:80/v2""#;
        for line in [
            format!("umbra_shadow_offered_total{{{mirror}}} 5"),
            format!("umbra_shadow_outcomes_total{{{mirror},outcome=\"completed\",reason=\"\"}} 1"),
            format!(
                "umbra_shadow_outcomes_total{{{mirror},outcome=\"completed\",reason=\"\",grpc_response_status=\"14\"}} 1"
            ),
            format!("umbra_shadow_outcomes_total{{{mirror},outcome=\"sampled_out\",reason=\"\"}} 1"),
            format!("umbra_shadow_outcomes_total{{{mirror},outcome=\"failed\",reason=\"timeout\"}} 1"),
            format!("umbra_shadow_in_flight{{{mirror}}} 1"),
            format!("umbra_shadow_duration_milliseconds_bucket{{le=\"1\",{mirror}}} 0"),
            format!("umbra_shadow_duration_milliseconds_bucket{{le=\"5\",{mirror}}} 1"),
            format!("umbra_shadow_duration_milliseconds_sum{{{mirror}}} 3.0"),
            "umbra_capture_verdicts_total{verdict=\"assigned\"} 7".to_owned(),
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is missing in\n{text}");
        }
        let help: Vec<_> = text.lines().filter(|line| line.starts_with("# HELP")).collect();
        let one_stop = |line: &&str| line.strip_suffix('.').is_some_and(|line| !line.ends_with('.'));
        assert!(help.len() == 12 && help.iter().all(one_stop), "{help:#?}");
    }
}
