//! A rule by the ways a request can have taken under it. Where a request is captured it has been routed already, so the
//! destination it was sent to is the one that the captured endpoint belongs to: that one's changes are the copy's.

use std::sync::Arc;

use super::{CapturedPort, Rule, matcher::Text};
use crate::message::RequestHead;

/// A rule, once for each of its destinations whose copies differ.
#[derive(Debug)]
pub(super) struct Ways {
    /// Every destination of the rule, in order. Empty when nothing is mirrored.
    pub(super) destinations: Box<[(Members, Arc<Rule>)]>,
    pub(super) preflight: Option<Box<Preflight>>,
    /// The rule for a request that did not come by any of them: it mirrors nothing.
    pub(super) unmirrored: Arc<Rule>,
}

/// The endpoints of a destination, in order.
pub(super) type Members = Arc<[CapturedPort]>;

/// Istio's `corsPolicy`: the client's proxy answers a preflight itself, so no mirror ever sees it (trap 21).
#[derive(Debug)]
pub(super) struct Preflight {
    pub(super) origins: Vec<Text>,
    /// `unmatchedPreflights: IGNORE`: those of other origins are answered too.
    pub(super) answers_all: bool,
    pub(super) rule: Arc<Rule>,
}

impl Ways {
    /// The rule as it holds for a request captured at an endpoint.
    ///
    /// Under Istio a request that matches this rule goes to one of its destinations. One that arrives elsewhere (a
    /// subset the rule does not route to, the shadow itself) came by another way, past the rule: it is none of "the
    /// rule's requests", whose share is mirrored.
    pub(super) fn rule(&self, head: &RequestHead<'_>, endpoint: CapturedPort) -> &Arc<Rule> {
        if let Some(preflight) = self.preflight.as_ref().filter(|preflight| preflight.answers(head)) {
            return &preflight.rule;
        }
        let taken = |(members, _): &&(Members, _)| members.binary_search(&endpoint).is_ok();
        self.destinations.iter().find(taken).map_or(&self.unmirrored, |(_, rule)| rule)
    }

    pub(super) fn mirrors(&self) -> bool {
        !self.destinations.is_empty()
    }

    /// The endpoints of destinations under another host than this.
    pub(super) fn of_others(&self, host: &str) -> impl Iterator<Item = &Members> {
        let hosts = self.unmirrored.destinations.iter().map(|destination| &*destination.host);
        let named = self.destinations.iter().zip(hosts);
        named.filter(move |(_, named)| *named != host).map(|((members, _), _)| members)
    }
}

impl Preflight {
    /// Envoy's CORS filter: OPTIONS with `Origin` and `Access-Control-Request-Method`.
    fn answers(&self, head: &RequestHead<'_>) -> bool {
        head.method == "OPTIONS"
            && head.header("access-control-request-method").is_some()
            && head.header("origin").is_some_and(|origin| {
                self.answers_all || self.origins.iter().any(|allowed| allowed.holds(origin))
            })
    }
}
