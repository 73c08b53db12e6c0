//! Parallel clients that keep asking, and what became of each request.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use http::Method;

use crate::{Netns, client::Client, eventually};

/// Clients under way, each sending one request after the other.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<Failure>>>,
}

/// One request that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub started: Instant,
    pub ended: Instant,
    pub error: String,
}

/// What became of all requests.
#[derive(Clone, Debug)]
pub struct LoadReport {
    pub answered: u64,
    pub failures: Vec<Failure>,
}

impl Load {
    /// `clients` parallel clients in this namespace, each with one kept connection. One that fails opens a new one.
    pub fn start(netns: &Netns, server: SocketAddr, clients: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicU64>::default();
        let client = |_| {
            let netns = netns.clone();
            let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
            thread::spawn(move || ask_on(&mut Client::new(&netns, server), &stop, &answered))
        };
        let clients = (0..clients).map(client).collect();
        Self { stop, answered, clients }
    }

    /// Waits until this many more requests have been answered.
    pub fn eventually_answers(&self, more: u64) {
        let goal = self.answered() + more;
        eventually(&format!("{more} more answers"), || (self.answered() >= goal).then_some(()));
    }

    /// How many requests have been answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets each client finish its request, and reports.
    pub fn stop(self) -> LoadReport {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect();
        LoadReport { answered: self.answered.load(Ordering::Relaxed), failures }
    }
}

impl LoadReport {
    /// Failures of requests that began this long after the given moment, or later.
    pub fn failures_begun_after(&self, moment: Instant, grace: Duration) -> Vec<&Failure> {
        self.failures.iter().filter(|failure| failure.started > moment + grace).collect()
    }
}

fn ask_on(client: &mut Client<'_>, stop: &AtomicBool, answered: &AtomicU64) -> Vec<Failure> {
    let mut failures = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        match client.send(Method::GET, "/load", b"") {
            Ok(_) => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => {
                failures.push(Failure { started, ended: Instant::now(), error: format!("{error:#}") });
            }
        }
    }
    failures
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
        let load = Load::start(client.netns(), app.address(), 4);
        load.eventually_answers(20);
        drop(app);
        let died = Instant::now();
        eventually("a second", || (died.elapsed() > Duration::from_millis(50)).then_some(()));

        let report = load.stop();

        assert!(report.answered >= 20);
        assert!(!report.failures_begun_after(died, Duration::ZERO).is_empty(), "{report:?}");
    }
}
