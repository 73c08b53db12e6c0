//! The shadow plane: everything behind [`Plane::offer`] runs on its own threads, within its own limits, and can be
//! late, wrong or dead without the primary noticing.
//!
//! ```text
//! data thread                          shadow worker
//! offer ─▶ sample ─▶ admit ─▶ Job ───▶ request ─▶ lease ─▶ send ─▶ response ─▶ settle
//! Feed::data ─────▶ pipe, budgeted ──▶ body ────────────────▲
//! ```

mod body;
mod budget;
mod entry;
mod feed;
mod head;
#[cfg(test)]
mod tests;
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
    body::Source,
    budget::Budget,
    entry::{Entry, Job},
    feed::Pipe,
    head::PackedHead,
    worker::Settings,
};
pub use self::{budget::Load, feed::Feed};
use crate::{
    config::umbra::Shadow,
    message::RequestHead,
    record::{DropReason, Observer, Outcome},
    route::Mirror,
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
    stopping: AtomicBool,
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
        let shared = Arc::new(Shared { observer, budget, marker, stopping: AtomicBool::new(false) });
        Ok(Arc::new(Self { shared, workers, stop, threads: Mutex::new(threads) }))
    }

    /// Offers a matched request to one of its mirrors; to be called once for each, with the same `draw`, before the
    /// first piece of the body. Never waits and never fails: what becomes of the copy is in the mirror's account.
    ///
    /// What can never be copied (a copy itself, an upgrade) is dropped before the draw is looked at, so that these
    /// counts do not depend on the share; everything else is sampled first. None when no copy will be sent.
    pub fn offer(
        &self,
        mirror: &Arc<Mirror>,
        head: &RequestHead<'_>,
        draw: u64,
        client: SocketAddr,
    ) -> Option<Feed> {
        let ticket = mirror.account.offer();
        let uncopyable = self.uncopyable(head);
        if uncopyable.is_none() && !mirror.share.admits(draw) {
            ticket.sampled_out();
            return None;
        }
        let entry = Entry::new(&self.shared, mirror, ticket);
        if let Some(reason) = uncopyable.or_else(|| self.unavailable(mirror)) {
            entry.settle(Outcome::Dropped(reason));
            return None;
        }
        let Some(slot) = self.shared.budget.admit() else {
            entry.settle(Outcome::Dropped(DropReason::QueueFull));
            return None;
        };
        let head = PackedHead::pack(head, client, mirror.changes.clone());
        let pipe = Arc::new(Pipe::new(Arc::clone(&self.shared.budget), head.is_whole()));
        let feed = Feed::new(&pipe);
        let job = Job { head, source: Source::new(pipe), slot, entry };
        match self.worker_of(draw).try_send(job) {
            Ok(()) => Some(feed),
            Err(TrySendError::Full(job)) => {
                job.settle(Outcome::Dropped(DropReason::QueueFull));
                None
            }
            // The worker stopped, or died: the entry knows which.
            Err(TrySendError::Closed(_)) => None,
        }
    }

    /// The copy that a mirror would get of a request, its body aside; for showing it to a person. None when no HTTP
    /// client may send it.
    pub fn preview(
        mirror: &Mirror,
        head: &RequestHead<'_>,
        client: SocketAddr,
        marker: &HeaderName,
    ) -> Option<http::Request<()>> {
        PackedHead::pack(head, client, mirror.changes.clone()).to_request(marker, ()).ok()
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

    fn uncopyable(&self, head: &RequestHead<'_>) -> Option<DropReason> {
        if head.header(self.shared.marker.as_str()).is_some() {
            Some(DropReason::Marked)
        } else if head.method == "CONNECT" || head.header("upgrade").is_some() {
            Some(DropReason::Upgrade)
        } else {
            None
        }
    }

    fn unavailable(&self, mirror: &Mirror) -> Option<DropReason> {
        if self.shared.stopping.load(Ordering::Relaxed) {
            Some(DropReason::Draining)
        } else if mirror.cluster.endpoints.is_empty() {
            Some(DropReason::NoEndpoint)
        } else {
            None
        }
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        self.drain(Duration::ZERO);
    }
}
