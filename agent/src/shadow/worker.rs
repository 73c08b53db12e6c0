//! A shadow worker: one thread that sends copies and reads what comes back. Each copy is a task, so that a slow
//! shadow holds up nobody but itself.

use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use http::{HeaderMap, HeaderName, Request, StatusCode, Version};
use http_body_util::BodyExt;
use tokio::{
    runtime::Builder,
    sync::{mpsc, watch},
    task::{LocalSet, spawn_local},
    time::{Instant, MissedTickBehavior, interval, sleep_until, timeout_at},
};
use tokio_util::task::TaskTracker;

use super::{body::CopyBody, due::Due, entry::Job, rewrite::Rewriting, sizes, taking::Taking};
use crate::{
    process::privileges,
    record::{DropReason, FailReason, GrpcStatus, Outcome},
    upstream::{Client, Pool, SendError, Sign, Turn, UpstreamError, Upstreams},
};

/// How often unused connections are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) marker: HeaderName,
    /// From the end of the primary request, of a gRPC call from the end of its answer, to the end of the shadow's response.
    pub(super) timeout: Duration,
    pub(super) nice: i32,
    /// Copies handed over and not yet looked at.
    pub(super) capacity: usize,
}

struct Worker {
    settings: Settings,
    client: Client<CopyBody>,
}

/// What a shadow answered, read to its end.
struct Answered {
    status: u16,
    /// Of a gRPC call.
    grpc_status: Option<GrpcStatus>,
    /// What it says of the endpoint.
    sign: Sign,
}

/// Starts a worker. Its thread returns how many copies it left undone when it was told to stop.
pub(super) fn start(
    index: usize,
    settings: Settings,
    upstreams: Arc<Upstreams>,
    stop: watch::Receiver<Option<Instant>>,
) -> io::Result<(mpsc::Sender<Job>, JoinHandle<usize>)> {
    let (jobs_tx, jobs_rx) = mpsc::channel(settings.capacity);
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let thread = thread::Builder::new().name(format!("shadow-{index}")).spawn(move || {
        be_nice(settings.nice);
        // It meets what strangers answer, and needs no rights for it.
        privileges::keep_nothing();
        let worker = Worker { settings, client: Client::new(upstreams, index) };
        runtime.block_on(worker.run(jobs_rx, stop))
    })?;
    Ok((jobs_tx, thread))
}

/// Under CPU pressure the primary wins. A refusal costs that precedence, nothing else.
fn be_nice(nice: i32) {
    // On Linux "the calling process" is the calling thread (setpriority(2), NOTES).
    if let Err(error) = rustix::process::setpriority_process(None, nice) {
        tracing::warn!(nice, %error, "shadow worker keeps its priority: setpriority was refused");
    }
}

impl Worker {
    /// Works until told to stop, then waits for copies under way until the given moment. Returns how many it left.
    async fn run(self, mut jobs: mpsc::Receiver<Job>, mut stop: watch::Receiver<Option<Instant>>) -> usize {
        let copies = TaskTracker::new();
        let local = LocalSet::new();
        let work = async {
            let worker = Rc::new(self);
            let mut sweep = interval(SWEEP_EVERY);
            sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let (mut taking, mut taken) = (Taking::new(worker.settings.capacity), Vec::new());
            loop {
                tokio::select! {
                    () = taking.take(&mut jobs, &mut taken) => {
                        if taken.is_empty() {
                            break;
                        }
                        if taken.iter().any(|job| job.turn.is_some()) {
                            taking.at_once();
                        }
                        for job in taken.drain(..) {
                            drop(spawn_local(copies.track_future(Rc::clone(&worker).copy(job))));
                        }
                    }
                    _ = sweep.tick() => worker.client.sweep(),
                    // What was accepted before is still received, then None.
                    _ = stop.changed() => jobs.close(),
                }
            }
            copies.close();
            // No moment was given: the plane itself is gone.
            let deadline = stop.borrow().unwrap_or_else(Instant::now);
            let _ = timeout_at(deadline, copies.wait()).await;
        };
        local.run_until(work).await;
        // Dropping the tasks settles what is left of them.
        copies.len()
    }

    async fn copy(self: Rc<Self>, mut job: Job) {
        let outcome = self.outcome(&mut job).await;
        job.settle(outcome);
    }

    async fn outcome(&self, job: &mut Job) -> Outcome {
        let rewriting = Rewriting::of(&job.entry.mirror, &self.settings.marker);
        let cluster = &job.entry.mirror.cluster;
        let Ok(request) = job.head.to_request(rewriting, &cluster.settings, job.source.body()) else {
            return Outcome::Dropped(DropReason::Unsendable);
        };
        let pool = self.client.pool(cluster);
        let due = Due::new(job, self.settings.timeout, request.headers());
        let picked = async {
            if let Some(moment) = due.not_before {
                sleep_until(moment).await;
            }
            pool.turn(cluster).await
        };
        let picked = tokio::select! {
            biased;
            picked = picked => picked,
            outcome = due.overdue(&job.source) => return outcome,
        };
        let turn = match picked {
            Ok(turn) => turn,
            Err(why) => return why.outcome(),
        };
        job.entry.endpoint = Some(turn.address);
        let busy = Cell::new(false);
        let exchange = Self::exchange(&pool, &turn, request, job, &busy);
        tokio::select! {
            // In this order: stopping a copy also breaks its exchange, and must not count as the shadow's failure.
            biased;
            outcome = due.overdue(&job.source) => {
                if let Outcome::Failed(FailReason::Timeout) = outcome && busy.get() {
                    // The endpoint was never asked, so the time was not its own.
                    return Outcome::Dropped(DropReason::Pending);
                }
                if let Outcome::Failed(_) = outcome {
                    turn.report(Sign::TimedOut);
                }
                outcome
            }
            answer = exchange => match answer {
                Ok(Answered { status, grpc_status, sign }) => {
                    turn.report(sign);
                    job.entry.mirror.account.standing.answered(due.waited());
                    job.entry.grpc_status = grpc_status;
                    Outcome::Completed { status }
                }
                Err(error) => {
                    // Stopped after the arm above had looked, and before the body was asked for more.
                    if let Some(reason) = job.source.stopped() {
                        return Outcome::Dropped(reason);
                    }
                    tracing::debug!(mirror = %job.entry.mirror.account.key.mirror, %error, "copy failed");
                    if let Some(sign) = error.sign() {
                        turn.report(sign);
                    }
                    job.entry.why = Some(error.to_string());
                    error.outcome()
                }
            },
        }
    }

    /// The answer, read to its end. `busy` while it waits for others to give a connection back.
    async fn exchange(
        pool: &Pool<CopyBody>,
        turn: &Turn,
        mut request: Request<CopyBody>,
        job: &Job,
        busy: &Cell<bool>,
    ) -> Result<Answered, UpstreamError> {
        let is_call = job.source.is_call();
        let said = |headers: &HeaderMap| {
            let status = headers.get("grpc-status").filter(|_| is_call)?;
            Some(GrpcStatus::parse(status.as_bytes()))
        };
        let request_bytes = sizes::of_request(&request);
        loop {
            busy.set(pool.is_busy(turn.address, request.version()));
            let mut lease = pool.lease(turn.address, request.version()).await?;
            busy.set(false);
            let _sending = job.slot.sending();
            job.entry.progress(|sent| {
                (sent.at, sent.version) = (Some(std::time::Instant::now()), Some(request.version()));
                sent.request_bytes = request_bytes;
            });
            let response = match lease.send(request).await {
                Ok(response) => response,
                // Each time round uses up a kept connection, so this ends with a new one.
                Err(SendError::Stale(unsent)) => {
                    request = *unsent;
                    continue;
                }
                Err(SendError::Failed(error)) => return Err(error),
            };
            let status = response.status();
            job.entry.progress(|sent| {
                (sent.answered, sent.status) = (Some(std::time::Instant::now()), status.as_u16());
                sent.response_bytes = sizes::of_response(&response);
            });
            // hyper would talk HTTP/1.0 on such a connection from now on, and lose streamed bodies.
            let reusable =
                response.version() == Version::HTTP_11 && status != StatusCode::SWITCHING_PROTOCOLS;
            let mut grpc_status = said(response.headers());
            // As Envoy's router: a status in the head counts, one in trailers does not.
            let sign = Sign::Status(grpc_status.map_or(status.as_u16(), GrpcStatus::as_http));
            let mut body = response.into_body();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| lease.broke(error))?;
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                job.entry.progress(|sent| sent.response_bytes += bytes);
                grpc_status = frame.trailers_ref().and_then(said).or(grpc_status);
            }
            if reusable {
                lease.keep();
            }
            return Ok(Answered { status: status.as_u16(), grpc_status, sign });
        }
    }
}
