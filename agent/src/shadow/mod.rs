//! The shadow plane: everything behind [`Plane::offer`] runs on its own threads, within its own limits, and can be
//! late, wrong or dead without the primary noticing.
//!
//! ```text
//! data thread                          shadow worker
//! offer ─▶ sample ─▶ admit ─▶ Job ───▶ request ─▶ lease ─▶ send ─▶ response ─▶ settle
//! Feed::data ─────▶ pipe, budgeted ──▶ body ────────────────▲
//! ```
//!
//! What ShadowPolicies say is carried out where it belongs: whether a request is copied in `offer`, what its copy looks
//! like on the worker, how the share moves in `steer`.

mod adaptive;
mod admission;
mod body;
mod budget;
mod due;
mod entry;
mod feed;
mod hash;
mod head;
mod in_force;
mod kinds;
mod query;
mod rewrite;
mod sampler;
mod sender;
mod sizes;
mod taking;
#[cfg(test)]
mod tests;
mod trace;
mod worker;

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

use http::HeaderName;
use tokio::{
    sync::{
        Semaphore,
        mpsc::{self, error::TrySendError},
        watch,
    },
    time::Instant,
};

use self::{
    admission::Admitted,
    body::Source,
    budget::Budget,
    entry::{Entry, Job},
    feed::Pipe,
    head::PackedHead,
    in_force::InForce,
    rewrite::Rewriting,
    worker::Settings,
};
pub use self::{
    budget::Load,
    feed::{Call, Feed},
    sampler::Draws,
    sender::{Sender, text},
};
use crate::{
    config::umbra::Shadow,
    message::RequestHead,
    record::{DropReason, Observer, Outcome},
    route::{Mirror, Share},
    upstream::{Limits, Names, Upstreams},
};

/// How long a shadow connection may stay unused.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// The shadow workers and what data threads hand them. Dropping it stops them at once.
pub struct Plane {
    shared: Arc<Shared>,
    /// data threads --accepted copies--> one worker each. Holds every admitted copy; full ⇒ dropped, counted.
    workers: Vec<mpsc::Sender<Job>>,
    /// The moment until which copies under way may still end.
    stop: watch::Sender<Option<Instant>>,
    threads: Mutex<Vec<JoinHandle<usize>>>,
}

struct Shared {
    observer: Arc<dyn Observer>,
    budget: Arc<Budget>,
    marker: HeaderName,
    in_force: InForce,
    /// Of the clock by which rates are kept.
    started: std::time::Instant,
    stopping: AtomicBool,
    /// All mirrors, by hand; each may be paused on its own as well.
    paused: AtomicBool,
}

impl Plane {
    /// Starts `config.workers` threads (at least one) of the niceness asked for.
    ///
    /// # Errors
    /// The marker is not a header name, or the system gave no thread or no epoll instance.
    pub fn start(config: &Shadow, observer: Arc<dyn Observer>) -> io::Result<Arc<Self>> {
        let marker = HeaderName::try_from(&config.marker_header).map_err(|_| {
            let text = format!("shadow.markerHeader: {:?} is not a header name", config.marker_header);
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        let limits = Limits {
            connections_per_endpoint: config.connections_per_endpoint,
            connect_timeout: config.connect_timeout,
            wait_timeout: config.timeout,
            idle_timeout: IDLE_TIMEOUT,
        };
        let upstreams = Upstreams::new(limits, config.workers, Names::of_system());
        let settings = Settings {
            marker: marker.clone(),
            timeout: config.timeout,
            nice: config.nice,
            capacity: config.queue.requests.clamp(1, Semaphore::MAX_PERMITS),
        };
        let (stop, _) = watch::channel(None);
        let (mut workers, mut threads) = (Vec::new(), Vec::new());
        for index in 0..config.workers.max(1) {
            let (jobs, thread) =
                worker::start(index, settings.clone(), Arc::clone(&upstreams), stop.subscribe())?;
            workers.push(jobs);
            threads.push(thread);
        }
        let budget = Arc::new(Budget::new(config.queue.clone()));
        let shared = Arc::new(Shared {
            observer,
            budget,
            marker,
            in_force: InForce::default(),
            started: std::time::Instant::now(),
            stopping: AtomicBool::new(false),
            paused: AtomicBool::new(false),
        });
        Ok(Arc::new(Self { shared, workers, stop, threads: Mutex::new(threads) }))
    }

    /// Offers a matched request to one of its mirrors; to be called once for each, with the same draws, before the
    /// first piece of the body. Never waits and never fails: what becomes of the copy is in the mirror's account.
    /// None when no copy will be sent.
    ///
    /// Decided in this order, the first that applies:
    ///
    /// 1. what could never be copied is dropped whatever the share, so that these counts do not depend on it: `marked`,
    ///    `upgrade`, then by policy `expired`, `method`, `body_too_large` (where the length is known beforehand);
    /// 2. what falls outside of the share is sampled out;
    /// 3. what cannot go anywhere is dropped: `draining`, `paused`, `no_endpoint`, `pressure`, then `fault` (a policy's abort);
    /// 4. what has no room is dropped: `concurrency`, `queue_full`, `bytes_budget` (for the head), `rate_limited`. The rate comes last, so that only
    ///    copies which are sent use it up.
    pub fn offer(
        &self,
        mirror: &Arc<Mirror>,
        head: &RequestHead<'_>,
        draws: Draws,
        sender: Sender<'_>,
    ) -> Option<Feed> {
        let ticket = mirror.account.offer();
        let marked =
            head.header(self.shared.marker.as_str()).is_some() || self.shared.in_force.is_marked(head);
        let never = admission::never(marked, mirror, head);
        if never.is_none() && !sampler::admits(mirror, head, draws, sender.address, || self.shared.now()) {
            ticket.sampled_out();
            return None;
        }
        let mut entry = Entry::new(&self.shared, mirror, sender, ticket);
        let admitted = match never {
            Some(reason) => Err(reason),
            None => self.admit(&entry, head, draws.request),
        };
        let Admitted { slot, turn, delay } = match admitted {
            Ok(admitted) => admitted,
            Err(reason) => {
                entry.settle(Outcome::Dropped(reason));
                return None;
            }
        };
        let policy = mirror.policy().cloned();
        let body = admission::body_of_copy(head.body, policy.as_deref());
        let is_call = head.is_grpc();
        entry.is_grpc = is_call;
        let head = PackedHead::pack(&RequestHead { body, ..*head }, sender.address);
        let pipe = Arc::new(Pipe::new(slot.part(), head.is_whole(), is_call, policy));
        let feed = Feed::new(&pipe);
        let job = Job { head, source: Source::new(pipe), slot, turn, delay, entry };
        match self.worker_of(draws.request).try_send(job) {
            Ok(()) => Some(feed),
            Err(TrySendError::Full(job)) => {
                job.settle(Outcome::Dropped(DropReason::QueueFull));
                None
            }
            // The worker stopped, or died: the entry knows which.
            Err(TrySendError::Closed(_)) => None,
        }
    }

    /// The copy that a mirror would get of a request, its body aside; for showing it to a person.
    ///
    /// # Errors
    /// Why no copy of this request is ever made.
    pub fn preview(
        mirror: &Mirror,
        head: &RequestHead<'_>,
        client: SocketAddr,
        marker: &HeaderName,
    ) -> Result<http::Request<()>, DropReason> {
        let marked = head.header(marker.as_str()).is_some();
        if let Some(reason) = admission::never(marked, mirror, head) {
            return Err(reason);
        }
        let copy = PackedHead::pack(head, client);
        let copy = copy.to_request(Rewriting::of(mirror, marker), &mirror.cluster.settings, ());
        copy.map_err(|_| DropReason::Unsendable)
    }

    /// The kill switch: from now on no mirror gets copies. Those under way end as they would. False when it was so before.
    pub fn pause(&self) -> bool {
        !self.shared.paused.swap(true, Ordering::Relaxed)
    }

    /// Ends what [`Plane::pause`] began. False when it was not paused.
    pub fn resume(&self) -> bool {
        self.shared.paused.swap(false, Ordering::Relaxed)
    }

    pub fn is_paused(&self) -> bool {
        self.shared.paused.load(Ordering::Relaxed)
    }

    /// While the process runs out of memory or file descriptors no more copies are accepted, and those that still grow end:
    /// what is left belongs to the primary.
    pub fn make_room(&self, scarce: bool) {
        self.shared.budget.make_room(scarce);
    }

    /// The part of a mirror's rule's requests that is copied at this moment.
    pub fn share_in_force(&self, mirror: &Mirror) -> Share {
        if self.is_paused() { Share(0) } else { sampler::share_in_force(mirror) }
    }

    /// What the plane holds at this moment.
    pub fn load(&self) -> Load {
        self.shared.budget.load()
    }

    /// Accepts nothing more, gives copies under way until the deadline to end, drops the rest and ends the threads.
    /// Returns how many had to be dropped. Blocks: not to be called on a runtime's thread.
    pub fn drain(&self, deadline: Duration) -> usize {
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.stop.send_replace(Some(Instant::now() + deadline));
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        threads
            .into_iter()
            .map(|thread| {
                thread.join().unwrap_or_else(|_| {
                    tracing::error!("a shadow worker had panicked; its copies count as failed{{internal}}");
                    0
                })
            })
            .sum()
    }

    /// By the draw's upper half, so that the copies of one request meet on one worker and no counter is shared.
    fn worker_of(&self, draw: u64) -> &mpsc::Sender<Job> {
        let workers = self.workers.len() as u64;
        let index = usize::try_from((draw >> 32) % workers).unwrap_or(0);
        &self.workers[index]
    }
}

impl Shared {
    /// Nanoseconds on the clock by which rates are kept.
    fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}
