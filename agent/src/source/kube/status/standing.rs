//! How the writing stands, for a person: who writes, how much and when, and why not.

use std::time::{Duration, Instant};

/// A trouble that stays the same is logged again after so long.
const AGAIN: Duration = Duration::from_secs(600);

#[derive(Debug, Default)]
pub(in crate::source::kube) struct Standing {
    /// Of this agent; None: it is not asked to write.
    pub(super) me: Option<String>,
    holder: Option<String>,
    written: u64,
    last: Option<Instant>,
    /// Why nothing can be said of the lease, and of objects.
    lease: Option<String>,
    objects: Option<String>,
    logged: Option<(String, Instant)>,
}

/// How the writing of status stands.
#[derive(Clone, Debug)]
pub struct WriterStanding {
    /// Which agent writes; None: nobody that is known.
    pub writer: Option<String>,
    /// It is this one.
    pub here: bool,
    /// How many objects' status this agent has written since its start.
    pub written: u64,
    /// How long ago the last one was.
    pub last: Option<Duration>,
    pub why: Option<String>,
}

impl Standing {
    /// None where the agent was not asked to write.
    pub(in crate::source::kube) fn show(&self) -> Option<WriterStanding> {
        let me = self.me.as_ref()?;
        Some(WriterStanding {
            writer: self.holder.clone(),
            here: self.holder.as_ref() == Some(me),
            written: self.written,
            last: self.last.map(|last| last.elapsed()),
            why: self.lease.clone().or_else(|| self.objects.clone()),
        })
    }

    pub(super) fn wrote(&mut self) {
        self.written += 1;
        self.last = Some(Instant::now());
    }

    /// Who holds the lease.
    pub(super) fn held(&mut self, holder: Option<&str>) {
        self.lease = None;
        if self.holder.as_deref() == holder {
            return;
        }
        let was_here = self.holder == self.me;
        self.holder = holder.map(str::to_owned);
        if self.holder == self.me {
            tracing::info!("the status of the cluster's objects is written by this agent");
        } else if was_here && self.me.is_some() {
            tracing::info!(
                writer = holder,
                "the status of the cluster's objects is written by another agent"
            );
            // What it could not write is another's trouble.
            self.objects = None;
        }
    }

    /// What keeps the lease from being asked for.
    pub(super) fn unheld(&mut self, why: String) {
        self.log(&why);
        (self.holder, self.lease) = (None, Some(why));
    }

    /// What keeps objects from being written; None: nothing any more.
    pub(super) fn trouble(&mut self, why: Option<String>) {
        if let Some(why) = &why {
            self.log(why);
        }
        self.objects = why;
    }

    fn log(&mut self, why: &str) {
        if self.logged.as_ref().is_some_and(|(known, at)| known == why && at.elapsed() < AGAIN) {
            return;
        }
        tracing::warn!("the status of the cluster's objects cannot be written: {why}; mirroring goes on");
        self.logged = Some((why.to_owned(), Instant::now()));
    }
}
