//! DestinationRule (istio/api `destination_rule.proto`): which endpoints a subset is, and how a host is spoken to.

use std::sync::Arc;

use super::TrafficPolicy;
use crate::config::{Labels, Located, Meta};

#[derive(Clone, Debug)]
pub struct DestinationRule {
    pub meta: Meta,
    pub host: Located<String>,
    pub subsets: Vec<Subset>,
    /// Boxed, as in subsets: it is large, and few have one.
    pub traffic_policy: Option<Box<TrafficPolicy>>,
    /// `workloadSelector.matchLabels`: the clients it holds for.
    pub workload_selector: Option<Located<Labels>>,
    /// Empty means `["*"]`.
    pub export_to: Vec<Located<String>>,
}

#[derive(Clone, Debug)]
pub struct Subset {
    pub name: Located<Arc<str>>,
    pub labels: Labels,
    /// Overrides the rule's, block by block.
    pub traffic_policy: Option<Box<TrafficPolicy>>,
}
