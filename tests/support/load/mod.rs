//! Parallel clients that keep asking, and what became of each request.

mod fresh;
mod kept;
mod streams;

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{Netns, eventually};

/// An answer that takes longer is noted.
const SLOW: Duration = Duration::from_secs(1);

/// How long a test that fails waits for requests under way: nobody may be left to answer them.
const LAST_REQUEST: Duration = Duration::from_secs(5);

/// Requests on one connection, so that whoever takes new connections is given some.
const RENEWED_AFTER: u64 = 100;

/// What a client does with its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// Keeps it as long as the server does, by hyper's client of HTTP/1.
    Kept,
    /// The same, for a hundred requests at most.
    Renewed,
    /// Opens one for each request.
    Fresh,
    /// Renews it as often, and has four requests under way on it: hyper's client of HTTP/2.
    Streams,
}

/// Clients under way, each sending one request after the other.
#[derive(Debug)]
pub struct Load {
    tally: Arc<Tally>,
    clients: Vec<JoinHandle<()>>,
}

/// One request that failed, or was slow.
#[derive(Clone, Debug)]
pub struct Failure {
    pub started: Instant,
    pub ended: Instant,
    /// On a connection that was open before.
    pub kept: bool,
    pub error: String,
}

/// What became of all requests.
#[derive(Clone, Debug)]
pub struct LoadReport {
    pub answered: u64,
    /// Requests of which nothing was sent, for their connection had ended: they were sent on another one.
    pub sent_elsewhere: u64,
    pub failures: Vec<Failure>,
    /// Answered, after more than a second.
    pub slow: Vec<Failure>,
}

#[derive(Debug, Default)]
struct Tally {
    stop: AtomicBool,
    answered: AtomicU64,
    sent_elsewhere: AtomicU64,
    failures: Mutex<Vec<Failure>>,
    slow: Mutex<Vec<Failure>>,
}

/// How one request ended.
enum Outcome {
    Answered,
    /// Nothing of it was sent.
    Unsent,
    Failed(String),
}

impl Load {
    /// `clients` parallel clients in this namespace, each with one kept connection. One that fails opens a new one.
    pub fn start(netns: &Netns, server: SocketAddr, clients: usize) -> Self {
        Self::of(netns, server, &vec![Asking::Kept; clients])
    }

    /// One client for each of these.
    pub fn of(netns: &Netns, server: SocketAddr, clients: &[Asking]) -> Self {
        let tally = Arc::<Tally>::default();
        let client = |asking: &Asking| {
            let (netns, tally, asking) = (netns.clone(), Arc::clone(&tally), *asking);
            // Inside the namespace for good: entering it costs a thread each time.
            let ask = move || match asking {
                Asking::Kept => kept::ask(server, &tally, u64::MAX),
                Asking::Renewed => kept::ask(server, &tally, RENEWED_AFTER),
                Asking::Fresh => fresh::ask(server, &tally),
                Asking::Streams => streams::ask(server, &tally),
            };
            thread::spawn(move || netns.run(ask))
        };
        let clients = clients.iter().map(client).collect();
        Self { tally, clients }
    }

    /// Waits until this many more requests have been answered.
    pub fn eventually_answers(&self, more: u64) {
        let goal = self.answered() + more;
        while self.answered() < goal {
            let before = self.answered();
            eventually(&format!("{more} more answers"), || (self.answered() > before).then_some(()));
        }
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> u64 {
        self.tally.answered.load(Ordering::Relaxed)
    }

    /// How many have failed so far.
    pub fn failed(&self) -> usize {
        self.tally.failures.lock().unwrap().len()
    }

    /// Lets each client finish its request, and reports.
    pub fn stop(mut self) -> LoadReport {
        self.tally.stop.store(true, Ordering::Relaxed);
        std::mem::take(&mut self.clients).into_iter().for_each(|client| client.join().unwrap());
        let take = |list: &Mutex<Vec<Failure>>| std::mem::take(&mut *list.lock().unwrap());
        LoadReport {
            answered: self.tally.answered.load(Ordering::Relaxed),
            sent_elsewhere: self.tally.sent_elsewhere.load(Ordering::Relaxed),
            failures: take(&self.tally.failures),
            slow: take(&self.tally.slow),
        }
    }
}

impl Drop for Load {
    /// A client holds its namespace, which would outlive a test that failed.
    fn drop(&mut self) {
        self.tally.stop.store(true, Ordering::Relaxed);
        let begun = Instant::now();
        while begun.elapsed() < LAST_REQUEST && !self.clients.iter().all(JoinHandle::is_finished) {
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl LoadReport {
    /// Failures of requests that began this long after the given moment, or later.
    pub fn failures_begun_after(&self, moment: Instant, grace: Duration) -> Vec<&Failure> {
        self.failures.iter().filter(|failure| failure.started > moment + grace).collect()
    }
}

impl Tally {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, started: Instant, kept: bool, outcome: Outcome) {
        let failure = |error| Failure { started, ended: Instant::now(), kept, error };
        match outcome {
            Outcome::Answered => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                if started.elapsed() > SLOW {
                    let took = format!("took {:?}", started.elapsed());
                    self.slow.lock().unwrap().push(failure(took));
                }
            }
            Outcome::Unsent => {
                self.sent_elsewhere.fetch_add(1, Ordering::Relaxed);
            }
            Outcome::Failed(error) => self.failures.lock().unwrap().push(failure(error)),
        }
    }
}

/// hyper says `canceled` of a request it has not begun to send, and of no other.
fn outcome(error: &anyhow::Error) -> Outcome {
    match error.downcast_ref::<hyper::Error>() {
        Some(hyper) if hyper.is_canceled() => Outcome::Unsent,
        _ => Outcome::Failed(format!("{error:#}: {:?}", error.root_cause())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Node, upstream};

    #[test]
    fn a_server_that_dies_fails_every_later_request() {
        let node = Node::new();
        let (app, client) = (node.pod("app"), node.pod("client"));
        let app = upstream(&app).replies("ok").start();
        let load = Load::of(client.netns(), app.address(), &[Asking::Kept, Asking::Fresh]);
        load.eventually_answers(20);
        drop(app);
        let (died, answered) = (Instant::now(), load.tally.answered.load(Ordering::Relaxed));
        let failures_since = || {
            let failures = load.tally.failures.lock().unwrap();
            failures.iter().filter(|failure| failure.started > died).count()
        };
        eventually("failures", || (failures_since() >= 20).then_some(()));

        let report = load.stop();

        assert!(answered >= 20);
        // Each of the two may have its last answer and not have counted it yet.
        assert!(report.answered <= answered + 2, "no request is answered by a dead server");
    }
}
