//! How many of a rule's requests a mirror gets, with Istio's precedence, defaults and truncation.

use umbra_common::MILLION;

use crate::config::{
    Location,
    istio::{HttpRoute, MirrorPolicy, Percent},
};

/// A share of requests, per million (Envoy's `FractionalPercent` with denominator MILLION).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share(pub u32);

impl Share {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(MILLION);

    /// Istio's `uint32(value * 10000)`: binary floats are truncated as they are, so 0.57 becomes 5699.
    #[allow(clippy::cast_possible_truncation, reason = "truncation is what Istio does")]
    #[allow(clippy::cast_sign_loss, reason = "a cast from float saturates: below zero is zero")]
    pub fn of_percent(percent: f64) -> Self {
        Self(((percent * 10_000.0) as u32).min(MILLION))
    }

    /// One draw per request serves all its mirrors, so a request within a smaller share is within every larger one. As
    /// the kernel's program decides it, where it draws for connections.
    pub fn admits(self, draw: u64) -> bool {
        umbra_common::admits(self.0, draw)
    }

    /// So many millionths of this share.
    pub fn part(self, millionths: u32) -> Self {
        let part = u64::from(self.0) * u64::from(millionths) / u64::from(MILLION);
        Self(u32::try_from(part).unwrap_or(self.0))
    }
}

/// A share and the words it came from.
#[derive(Debug)]
pub(super) struct Written<'a> {
    pub(super) share: Share,
    /// The field below the rule or policy, where one was written.
    pub(super) field: String,
    pub(super) at: Option<&'a Location>,
    /// None for a message without a value, which means 0.
    pub(super) percent: Option<f64>,
}

impl<'a> Written<'a> {
    /// Of `http[].mirror`: `mirrorPercentage`, even when it is 0, before `mirrorPercent`, before all.
    pub(super) fn of_rule(route: &'a HttpRoute) -> Self {
        if let Some(percentage) = &route.mirror_percentage {
            return Self::of_percentage(percentage, "mirrorPercentage");
        }
        let Some(percent) = &route.mirror_percent else { return Self::all() };
        let whole = u32::try_from(percent.value).unwrap_or(u32::MAX);
        Self {
            share: Share(whole.saturating_mul(10_000).min(MILLION)),
            field: "mirrorPercent".into(),
            at: Some(&percent.at),
            percent: Some(f64::from(whole)),
        }
    }

    /// Of `http[].mirrors[]`, which `mirrorPercentage` does not reach.
    pub(super) fn of_policy(policy: &'a MirrorPolicy) -> Self {
        policy.percentage.as_ref().map_or_else(Self::all, |p| Self::of_percentage(p, "percentage"))
    }

    fn of_percentage(percentage: &'a Percent, field: &str) -> Self {
        let percent = percentage.value.as_ref().map(|v| v.value);
        Self {
            share: Share::of_percent(percent.unwrap_or(0.0)),
            field: if percent.is_some() { format!("{field}.value") } else { field.into() },
            at: Some(percentage.value.as_ref().map_or(&percentage.at, |v| &v.at)),
            percent,
        }
    }

    fn all() -> Self {
        Self { share: Share::ALL, field: String::new(), at: None, percent: None }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_percentage_is_truncated_to_a_millionth_as_istiod_does() {
        for (percent, per_million) in [(0.57, 5_699), (1.13, 11_299), (2.01, 20_099), (100.0, 1_000_000)] {
            assert_eq!(Share::of_percent(percent), Share(per_million), "{percent}");
        }
        assert_eq!(Share::of_percent(0.00005), Share::NONE);
        let short = (0..=10_000).filter(|&n| Share::of_percent(f64::from(n) / 100.0).0 != n * 100).count();
        assert_eq!(short, 612);
    }

    #[test]
    fn a_percentage_out_of_range_saturates() {
        assert_eq!(Share::of_percent(130.0), Share::ALL);
        assert_eq!(Share::of_percent(-1.0), Share::NONE);
        assert_eq!(Share::of_percent(f64::NAN), Share::NONE);
    }

    proptest! {
        #[test]
        fn a_draw_within_a_smaller_share_is_within_every_larger_one(a in 0..=MILLION, b in 0..=MILLION, draw: u64) {
            let (small, large) = (Share(a.min(b)), Share(a.max(b)));
            prop_assert!(!small.admits(draw) || large.admits(draw));
            prop_assert!(Share::ALL.admits(draw) && !Share::NONE.admits(draw));
        }
    }
}
