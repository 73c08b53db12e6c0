//! The data threads: each owns a runtime, its listeners and the connections it accepted. A connection never changes
//! thread, so nothing on its path is shared but what is read-only.

use std::{
    io,
    net::TcpListener as StdListener,
    os::fd::AsRawFd as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    sync::mpsc,
    task::{JoinSet, LocalSet},
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{memory, pressure::Pressure};
use crate::{
    capture::{Inbound, WorkerListeners},
    connection::{self, Node},
    process::privileges,
    relay::Leaving,
};

/// How often a worker shows that it is alive.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How often a worker gives back what others have freed of its memory: bodies of copies end on shadow workers.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// Within it every data thread that is not hung has dropped what was cut.
const TO_CUT: Duration = Duration::from_secs(1);
/// A burst of enrolments may wait here; enrolling waits for room, connections never do.
const LISTENERS_WAITING: usize = 64;

/// All data threads.
pub(super) struct Workers {
    threads: Vec<Worker>,
    accepting: CancellationToken,
    stop: CancellationToken,
    connections: TaskTracker,
    pressure: Arc<Pressure>,
    node: Arc<Node>,
    started: Instant,
}

struct Worker {
    listeners: mpsc::Sender<Listening>,
    /// Milliseconds after `started` of the last tick.
    last_tick: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

/// app --a listener of an enrolled namespace, or a plain one--> worker.
type Listening = (StdListener, Arc<Inbound>, Attendance);

/// Gives listeners to the data threads.
#[derive(Clone)]
pub(super) struct Hands {
    /// One for each worker.
    listeners: Vec<mpsc::Sender<Listening>>,
    accepting: CancellationToken,
    node: Arc<Node>,
}

/// Who attends to one namespace: those who accept its connections, and the connections.
#[derive(Clone)]
pub(super) struct Attendance {
    /// While it is not cancelled connections are accepted. Ends with that of all workers.
    accepting: CancellationToken,
    /// The word to those that are open. Hears that to the whole agent.
    pub(super) leaving: Arc<Leaving>,
    /// Ends the connections that are open.
    cut: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl Workers {
    /// # Errors
    /// When a thread or its runtime cannot be made.
    pub(super) fn start(count: usize, node: &Arc<Node>, pressure: &Arc<Pressure>) -> anyhow::Result<Self> {
        let mut workers = Self {
            threads: Vec::with_capacity(count),
            accepting: CancellationToken::new(),
            stop: CancellationToken::new(),
            connections: TaskTracker::new(),
            pressure: Arc::clone(pressure),
            node: Arc::clone(node),
            started: Instant::now(),
        };
        for index in 0..count {
            let worker = workers.start_one(index).with_context(|| format!("start data thread {index}"))?;
            workers.threads.push(worker);
        }
        Ok(workers)
    }

    fn start_one(&self, index: usize) -> io::Result<Worker> {
        let (listeners, mut arriving) = mpsc::channel(LISTENERS_WAITING);
        let last_tick = Arc::new(AtomicU64::new(0));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let context = Context {
            node: Arc::clone(&self.node),
            connections: self.connections.clone(),
            pressure: Arc::clone(&self.pressure),
        };
        let (stop, started, ticks) = (self.stop.clone(), self.started, Arc::clone(&last_tick));
        let thread = std::thread::Builder::new().name(format!("umbra-data-{index}")).spawn(move || {
            privileges::keep_for_traffic();
            LocalSet::new().block_on(&runtime, async move {
                let mut tick = interval(TICK);
                tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut tidy = interval(TIDY_EVERY);
                tidy.set_missed_tick_behavior(MissedTickBehavior::Delay);
                loop {
                    tokio::select! {
                        () = stop.cancelled() => return,
                        _ = tick.tick() => ticks.store(milliseconds(started), Ordering::Relaxed),
                        _ = tidy.tick() => memory::tidy(),
                        Some(listening) = arriving.recv() => context.accept_on(listening),
                    }
                }
            });
        })?;
        Ok(Worker { listeners, last_tick, thread })
    }

    pub(super) fn count(&self) -> usize {
        self.threads.len()
    }

    pub(super) fn hands(&self) -> Hands {
        let listeners = self.threads.iter().map(|worker| worker.listeners.clone()).collect();
        Hands { listeners, accepting: self.accepting.clone(), node: Arc::clone(&self.node) }
    }

    /// The age of the oldest last tick: how long the slowest worker has been silent.
    pub(super) fn silence(&self) -> impl Fn() -> Duration + Send + Sync + use<> {
        let ticks: Vec<_> = self.threads.iter().map(|worker| Arc::clone(&worker.last_tick)).collect();
        let (started, stop) = (self.started, self.stop.clone());
        move || {
            // Workers that have ended are not hung.
            if stop.is_cancelled() {
                return Duration::ZERO;
            }
            let oldest = ticks.iter().map(|tick| tick.load(Ordering::Relaxed)).min().unwrap_or(0);
            Duration::from_millis(milliseconds(started).saturating_sub(oldest))
        }
    }

    /// Accepts no more, waits for the open connections up to the deadline, then cuts them. Returns how many were cut.
    pub(super) async fn drain(self, deadline: Duration) -> usize {
        self.accepting.cancel();
        self.connections.close();
        let _ = tokio::time::timeout(deadline, self.connections.wait()).await;
        let cut = self.connections.len();
        self.stop.cancel();
        for worker in self.threads {
            if worker.thread.join().is_err() {
                tracing::error!("a data thread panicked");
            }
        }
        cut
    }
}

impl Hands {
    /// How many workers there are.
    pub(super) fn count(&self) -> usize {
        self.listeners.len()
    }

    /// Gives worker `n` the `n`th group of listeners.
    ///
    /// # Errors
    /// When a worker is gone.
    pub(super) async fn listen(
        &self,
        groups: Vec<WorkerListeners>,
        inbound: &Arc<Inbound>,
    ) -> anyhow::Result<Attendance> {
        let attendance = Attendance {
            accepting: self.accepting.child_token(),
            leaving: self.node.leaving.part(),
            cut: CancellationToken::new(),
            connections: TaskTracker::new(),
        };
        for (worker, group) in self.listeners.iter().zip(groups) {
            for listener in group.listeners {
                let listening = (listener, Arc::clone(inbound), attendance.clone());
                worker.send(listening).await.ok().context("a data thread has ended")?;
            }
        }
        Ok(attendance)
    }
}

impl Attendance {
    /// Accepts no more, waits for the open connections up to the deadline, then cuts them. Returns how many were cut.
    pub(super) async fn end(self, deadline: Duration) -> usize {
        self.accepting.cancel();
        self.connections.close();
        let _ = tokio::time::timeout(deadline, self.connections.wait()).await;
        let cut = self.connections.len();
        self.cut.cancel();
        let _ = tokio::time::timeout(TO_CUT, self.connections.wait()).await;
        cut
    }
}

struct Context {
    node: Arc<Node>,
    /// Of all namespaces.
    connections: TaskTracker,
    pressure: Arc<Pressure>,
}

impl Context {
    fn accept_on(&self, (listener, inbound, attendance): Listening) {
        let listener = match listener.set_nonblocking(true).and_then(|()| TcpListener::from_std(listener)) {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "a listener could not be used; its connections go to the app directly");
                return;
            }
        };
        let (node, connections) = (Arc::clone(&self.node), self.connections.clone());
        let pressure = Arc::clone(&self.pressure);
        tokio::task::spawn_local(async move {
            // Dropping it cuts the connections in it.
            let mut open = JoinSet::new();
            loop {
                let accepted = tokio::select! {
                    biased; // After the word to stop nothing more is accepted.
                    () = attendance.accepting.cancelled() => break,
                    Some(_) = open.join_next() => continue,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok(accepted) => {
                        if !pressure.accepted(accepted.0.as_raw_fd()) {
                            inbound.shed();
                        }
                        let (node, inbound) = (Arc::clone(&node), Arc::clone(&inbound));
                        let leaving = Arc::clone(&attendance.leaving);
                        let serve =
                            async move { connection::serve(accepted, &inbound, &node, &leaving).await };
                        let serve = attendance.connections.track_future(connections.track_future(serve));
                        open.spawn_local(serve);
                    }
                    Err(error) => {
                        // What is missing is told once, by the heart; the rest concerns that one connection.
                        if !pressure.refused(&error) {
                            tracing::debug!(%error, "a connection could not be accepted");
                        }
                        sleep(Duration::from_millis(50)).await;
                    }
                }
            }
            drop(listener);
            tokio::select! {
                () = attendance.cut.cancelled() => {}
                () = async { while open.join_next().await.is_some() {} } => {}
            }
        });
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}
