//! The smallest agent: it relays what it is handed.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::pod::{Namespace, closing, eventually};
use crate::{
    capture::{
        Captured, ConnectError, Endpoints, Enrolment, Inbound, Options, Seed, Verdict, WorkerListeners,
    },
    config::umbra::{ClientAddress, NetnsRef},
    route::Share,
};

/// An agent in a namespace, until it is dropped.
pub(super) struct Agent {
    pub(super) enrolment: Arc<Enrolment>,
    /// Held while it beats: after `hang` there is not one beat more.
    beating: Arc<Mutex<bool>>,
    /// Connections accepted, by worker.
    pub(super) accepted: Arc<Vec<AtomicUsize>>,
    runtime: Option<tokio::runtime::Runtime>,
}

pub(super) fn options() -> Options {
    Options { workers: 1, exempt: Vec::new(), client_address: ClientAddress::Keep, seed: Seed(7) }
}

/// Every connection there.
pub(super) fn whole(captured: &[Captured]) -> Endpoints {
    captured.iter().map(|&captured| (captured, Share::ALL)).collect()
}

impl Agent {
    /// Captures a port of every address, keeping the client's.
    pub(super) fn on(namespace: &Namespace, port: u16) -> Self {
        Self::with(namespace, &options(), &[(None, port)])
    }

    pub(super) fn with(namespace: &Namespace, options: &Options, captured: &[Captured]) -> Self {
        Self::in_netns(&namespace.reference(), options, captured)
    }

    pub(super) fn in_netns(netns: &NetnsRef, options: &Options, captured: &[Captured]) -> Self {
        let (enrolment, workers) = Enrolment::enrol(netns, options)
            .unwrap_or_else(|error| panic!("tests of capture run as root: {error}"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let accepted: Arc<Vec<_>> = Arc::new(workers.iter().map(|_| AtomicUsize::new(0)).collect());
        for (worker, listeners) in workers.into_iter().enumerate() {
            let _context = runtime.enter();
            accept(&Inbound::Enrolled(Arc::clone(&enrolment)), worker, listeners, &accepted);
        }
        enrolment.capture(&whole(captured)).unwrap();
        enrolment.beat().unwrap();
        let beating = Arc::new(Mutex::new(true));
        let (heart, on) = (Arc::downgrade(&enrolment), Arc::clone(&beating));
        thread::spawn(move || {
            while let Some(enrolment) = heart.upgrade() {
                let beats = on.lock().unwrap();
                if *beats {
                    enrolment.beat().unwrap();
                }
                drop(beats);
                drop(enrolment);
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self { enrolment, beating, accepted, runtime: Some(runtime) }
    }

    /// Stops saying that it is alive.
    pub(super) fn hang(&self) {
        *self.beating.lock().unwrap() = false;
    }

    pub(super) fn recover(&self) {
        *self.beating.lock().unwrap() = true;
    }

    /// Closes every listener, as the kernel does for a process that was killed.
    pub(super) fn close_listeners(&mut self) {
        let runtime = self.runtime.take().expect("closed once");
        closing(|| runtime.shutdown_timeout(Duration::from_secs(5)));
    }

    pub(super) fn count(&self, verdict: Verdict) -> u64 {
        let verdicts = self.enrolment.verdicts().unwrap();
        verdicts.iter().find(|(counted, _)| *counted == verdict).expect("all are listed").1
    }

    /// How often a verdict is given while something is done.
    pub(super) fn counting<T>(&self, verdict: Verdict, act: impl FnOnce() -> T) -> (u64, T) {
        let before = self.count(verdict);
        let result = act();
        (self.count(verdict) - before, result)
    }

    pub(super) fn eventually_counts(&self, verdict: Verdict, more_than: u64) {
        eventually(verdict.as_str(), || self.count(verdict) > more_than);
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
        self.enrolment.withdraw().unwrap();
    }
}

pub(super) fn accept(
    inbound: &Inbound,
    worker: usize,
    set: WorkerListeners,
    accepted: &Arc<Vec<AtomicUsize>>,
) {
    for listener in set.listeners {
        let (inbound, accepted) = (inbound.clone(), Arc::clone(accepted));
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            loop {
                let (stream, client) = listener.accept().await.unwrap();
                accepted[worker].fetch_add(1, Ordering::SeqCst);
                tokio::spawn(relay(inbound.clone(), stream, client));
            }
        });
    }
}

async fn relay(inbound: Inbound, mut downstream: TcpStream, client: SocketAddr) {
    let destination = inbound.original_destination(&downstream).expect("never our own connection");
    match inbound.connect(client, destination).await {
        Ok(mut upstream) => {
            let _ = tokio::io::copy_bidirectional(&mut downstream, &mut upstream).await;
        }
        Err(error) => {
            eprintln!("{client} to {destination}: {error}");
            if matches!(error, ConnectError::Refused) {
                inbound.release(destination);
            }
            SockRef::from(&downstream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }
}
