//! What the plane knows of the rules in force as a whole: every marker a copy may carry, and every mirror, so that
//! shares can be moved and shown.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use http::HeaderName;

use super::{Plane, Shared, adaptive::Steered};
use crate::{
    message::RequestHead,
    record::MirrorKey,
    route::{Mirror, Snapshot, Ttl},
};

#[derive(Default)]
pub(super) struct InForce {
    /// Those of policies; AgentConfig's is known to the plane.
    markers: ArcSwap<Vec<HeaderName>>,
    /// Spares the request path the look at them where there are none.
    any_markers: AtomicBool,
    mirrors: ArcSwap<Vec<Arc<Mirror>>>,
    /// By mirror; locked once a second, by whoever steers.
    steered: Mutex<HashMap<Arc<MirrorKey>, Steered>>,
}

impl InForce {
    /// Whether a request carries the marker of any policy: this agent's copies, or another one's.
    pub(super) fn is_marked(&self, head: &RequestHead<'_>) -> bool {
        self.any_markers.load(Relaxed)
            && self.markers.load().iter().any(|marker| head.header(marker.as_str()).is_some())
    }

    fn put(&self, mirrors: Vec<Arc<Mirror>>, markers: Vec<HeaderName>) {
        let policies = mirrors.iter().filter_map(|mirror| mirror.policy());
        policies.filter_map(|policy| policy.ttl.as_ref()).for_each(start);
        let any = !markers.is_empty();
        self.markers.store(Arc::new(markers));
        self.any_markers.store(any, Relaxed);
        self.mirrors.store(Arc::new(mirrors));
    }
}

impl Shared {
    pub(super) fn put_in_force(&self, mirrors: Vec<Arc<Mirror>>, markers: Vec<HeaderName>) {
        self.budget.divide(mirrors.len() > 1);
        self.in_force.put(mirrors, markers);
    }
}

impl Plane {
    /// To be called with each snapshot before requests meet it: makes its markers known and starts the time of policies
    /// that have a `ttl` and were not in force before.
    pub fn enforce(&self, snapshot: &Snapshot) {
        let mirrors = snapshot.mirrors().into_iter().cloned().collect();
        self.shared.put_in_force(mirrors, snapshot.markers().to_vec());
    }

    /// Every mirror in force, once.
    pub fn mirrors(&self) -> Arc<Vec<Arc<Mirror>>> {
        self.shared.in_force.mirrors.load_full()
    }

    /// Moves the shares that policies let move, by what has happened since the last time; to be called once a second,
    /// off the data threads. `cpu_pressure` is asked for PSI's `some avg10` in percent, if any policy looks at it.
    pub fn steer(&self, cpu_pressure: impl FnOnce() -> Option<f64>) {
        let now = self.shared.started.elapsed();
        let mirrors = self.mirrors();
        let mut cpu_pressure = Some(cpu_pressure);
        let mut pressure = None;
        let mut steered = self.shared.in_force.steered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *steered);
        for mirror in mirrors.iter() {
            let Some(sampling) = mirror.sampling() else { continue };
            let standing = &mirror.account.standing;
            if let Some(adaptive) = &sampling.adaptive {
                if let Some(ask) = cpu_pressure.take_if(|_| adaptive.max_cpu_pressure.is_some()) {
                    pressure = ask();
                }
                let key = Arc::clone(&mirror.account.key);
                let mut state =
                    before.remove(&key).unwrap_or_else(|| Steered::new(&mirror.account, adaptive));
                standing.put_in_force(state.tick(now, adaptive, &mirror.account, pressure));
                steered.insert(key, state);
            }
            if let Some((coverage, kinds)) = sampling.coverage.zip(mirror.kinds())
                && let Some(part) = kinds.tick(coverage.copies_per_second)
            {
                standing.put_in_force(part);
            }
        }
    }
}

fn start(ttl: &Ttl) {
    let created = ttl.created.map(|seconds| u64::try_from(seconds).unwrap_or(0));
    let created = created.map(|seconds| UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    let age = created.and_then(|created| SystemTime::now().duration_since(created).ok());
    ttl.since.start(Instant::now(), age.unwrap_or_default());
}
