//! The rules of one VirtualService for one service port, in order: the first match decides.

use std::sync::Arc;

use super::{Rule, matcher::Block};
use crate::message::RequestHead;

#[derive(Debug, Default)]
pub(super) struct Table {
    blocks: Vec<(Block, Arc<Rule>)>,
}

impl Table {
    pub(super) fn push(&mut self, block: Block, rule: &Arc<Rule>) {
        self.blocks.push((block, Arc::clone(rule)));
    }

    pub(super) fn decide(&self, head: &RequestHead<'_>) -> Option<&Arc<Rule>> {
        self.blocks.iter().find(|(block, _)| block.matches(head)).map(|(_, rule)| rule)
    }

    /// No block came into being: Istio then passes the VirtualService over for this port.
    pub(super) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(super) fn mirrors(&self) -> bool {
        self.blocks.iter().any(|(_, rule)| !rule.mirrors.is_empty())
    }
}
