//! Everyone who observes, as one: the books, the metrics, and whoever looks at single requests.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::{Audit, Live, Recorder, Seen};
use crate::record::{Connection, Exchange, Observer, ShadowOutcome};

/// Tells each of them in turn.
#[derive(Debug)]
pub struct All {
    pub recorder: Arc<Recorder>,
    pub interest: Arc<Interest>,
    pub live: Arc<Live>,
    pub audit: Option<Audit>,
}

/// Without an audit log.
impl Default for All {
    fn default() -> Self {
        let interest = Arc::default();
        let live = Live::new(&interest);
        Self { recorder: Arc::default(), interest, live, audit: None }
    }
}

/// How many look at single requests at this moment. What only they need is made for nobody else.
#[derive(Debug, Default)]
pub struct Interest(AtomicUsize);

/// Somebody looks until it is dropped.
#[derive(Debug)]
#[must_use = "dropped at once, nobody looks"]
pub struct Look(Arc<Interest>);

impl Interest {
    pub fn look(self: &Arc<Self>) -> Look {
        self.0.fetch_add(1, Relaxed);
        Look(Arc::clone(self))
    }

    pub fn is_any(&self) -> bool {
        self.0.load(Relaxed) > 0
    }
}

impl Drop for Look {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl Observer for All {
    fn connection(&self, connection: &Connection<'_>) {
        self.recorder.connection(connection);
    }

    fn unread(&self, reason: &'static str) {
        self.recorder.unread(reason);
    }

    fn unread_request(&self, reason: &'static str) {
        self.recorder.unread_request(reason);
    }

    fn exchange(&self, exchange: &Exchange) {
        if let Some(rule) = &exchange.rule {
            rule.count(&exchange.answer());
        }
        self.recorder.exchange(exchange);
        // Of the others `pair` tells.
        if exchange.copies == 0 && exchange.text.is_some() && self.live.is_open() {
            self.live.offer(&Arc::new(Seen::new(Arc::new(exchange.clone()), None)));
        }
    }

    fn shadow(&self, outcome: &ShadowOutcome) {
        if let Some(answer) = outcome.answer() {
            outcome.mirror.count(&answer);
        }
        self.recorder.shadow(outcome);
    }

    fn looks(&self) -> bool {
        self.interest.is_any()
    }

    fn pair(&self, primary: &Arc<Exchange>, copy: ShadowOutcome) {
        let audit = self.audit.as_ref().filter(|audit| audit.wants(&copy));
        let live = Some(&self.live).filter(|live| live.is_open());
        if audit.is_none() && live.is_none() {
            return;
        }
        let seen = Arc::new(Seen::new(Arc::clone(primary), Some(copy)));
        if let Some(audit) = audit {
            audit.offer(&seen);
        }
        if let Some(live) = live {
            live.offer(&seen);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_looks_as_long_as_anybody_does() {
        let all = All::default();
        let (one, other) = (all.interest.look(), all.interest.look());
        drop(one);
        assert!(all.looks());
        drop(other);
        assert!(!all.looks());
    }
}
