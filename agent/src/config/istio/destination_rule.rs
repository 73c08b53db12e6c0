//! DestinationRule (istio/api `destination_rule.proto`): which endpoints a subset is, and how a host is spoken to.

use super::TrafficPolicy;
use crate::config::{Labels, Located, Meta};

#[derive(Clone, Debug)]
pub struct DestinationRule {
    pub meta: Meta,
    pub host: Located<String>,
    pub subsets: Vec<Subset>,
    pub traffic_policy: Option<TrafficPolicy>,
    /// `workloadSelector.matchLabels`: the clients it holds for.
    pub workload_selector: Option<Located<Labels>>,
    /// Empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct Subset {
    pub name: Located<String>,
    pub labels: Labels,
    /// Overrides the rule's, block by block.
    pub traffic_policy: Option<TrafficPolicy>,
}
