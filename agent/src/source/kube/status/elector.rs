//! Asks for the lease again and again: who holds it renews it every few seconds, all others look now and then (`standby`), mostly at
//! what the API server has in memory.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use http::Method;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::{
    sync::watch as channel,
    time::{Instant, sleep, timeout},
};

use super::{
    super::{
        lines::Trouble,
        pause::{Pause, spread},
        shared::Shared,
        watch::LOOK,
    },
    lease::{Election, Step},
    standby::StandBy,
    standing::Standing,
    write::Api,
};

const NAME: &str = "umbra-status";
/// How often the holder renews it, at most.
const RENEW: Duration = Duration::from_secs(5);
/// To leave it to the next.
const LEAVE: Duration = Duration::from_secs(2);

pub(super) struct Elector {
    api: Api,
    shared: Arc<Shared>,
    /// Of all leases of the namespace.
    path: String,
    election: Election,
    standby: StandBy,
}

impl Elector {
    pub(super) fn new(api: Api, shared: Arc<Shared>, namespace: &str, me: String) -> Self {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases");
        let elector =
            Self { api, shared, path, election: Election::new(me.clone()), standby: StandBy::default() };
        elector.standing(|standing| standing.me = Some(me));
        elector
    }

    /// Tells until when this agent may write.
    pub(super) async fn run(&mut self, leads: &channel::Sender<Option<Instant>>) {
        let mut pause = Pause::default();
        loop {
            let wait = match self.attempt().await {
                Ok(wait) => {
                    pause.reset();
                    self.standing(|standing| standing.held(self.election.holder()));
                    wait
                }
                // Another one was faster.
                Err(trouble) if trouble.status == Some(409) => pause.next(),
                Err(trouble) => {
                    let what = format!("lease {NAME}: {trouble}");
                    self.standing(|standing| standing.unheld(what));
                    if matches!(trouble.status, Some(403 | 404)) { spread(LOOK) } else { pause.next() }
                }
            };
            leads.send_replace(self.election.until());
            sleep(wait).await;
        }
    }

    /// When to do so again.
    async fn attempt(&mut self) -> Result<Duration, Trouble> {
        let leads = self.election.leads(Instant::now());
        let lease = self.lease(!leads).await?;
        let begun = Instant::now();
        if let Step::Wait(left) = self.election.judge(lease.as_ref(), begun) {
            let nodes = self.shared.inner().store.nodes();
            return Ok(self.standby.rest(left, nodes));
        }
        let claim = self.election.claim(lease.as_ref(), NAME, OffsetDateTime::now_utc());
        match lease {
            Some(_) => self.api.ask(Method::PUT, &self.at(), Some(&claim)).await?,
            None => self.api.ask(Method::POST, &self.path, Some(&claim)).await?,
        };
        self.election.won(&claim, begun);
        Ok(spread(RENEW))
    }

    /// Leaves it to the next, where it is held.
    pub(super) async fn release(&self) {
        let release = async {
            let lease = self.lease(false).await?;
            match lease.and_then(|lease| Election::release(&lease, self.election.me())) {
                Some(released) => self.api.ask(Method::PUT, &self.at(), Some(&released)).await.map(drop),
                None => Ok(()),
            }
        };
        if let Ok(Err(trouble)) = timeout(LEAVE, release).await {
            tracing::debug!(%trouble, "the lease could not be left to the next");
        }
    }

    /// None where there is none. One from the server's memory may be old: a claim by it is refused then.
    async fn lease(&self, may_be_old: bool) -> Result<Option<Value>, Trouble> {
        let at = self.at();
        let path = if may_be_old { format!("{at}?resourceVersion=0") } else { at };
        match self.api.ask(Method::GET, &path, None).await {
            Ok(lease) => Ok(Some(lease)),
            Err(trouble) if trouble.status == Some(404) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    fn at(&self) -> String {
        format!("{}/{NAME}", self.path)
    }

    fn standing(&self, change: impl FnOnce(&mut Standing)) {
        change(&mut self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
