//! Encrypted connections of ports whose certificates AgentConfig names: opened, so that what they carry is relayed and
//! read like anything else, and encrypted again. The client is answered with the very certificate the app shows, or
//! not at all: where its key is not known, and wherever else anything is in doubt, the connection stays sealed and is
//! relayed as it is, with a reason that is counted.
//!
//! ```text
//! client ── ClientHello ─▶ hello ─▶ ask the app: same name, protocols, signatures ─▶ its key known? ─▶ answer the client
//!                            └────────── otherwise: the same bytes, to the app, untouched ──────────┘
//! ```

mod hello;
mod open;
mod pair;
mod secured;
mod shown;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use rustls::{
    crypto::ring::Ticketer, pki_types::CertificateDer, server::ProducesTickets, sign::CertifiedKey,
};

use self::pair::Pair;
pub use self::{open::Opened, pair::check, secured::Secured};
use crate::{config::umbra::Certificate, record::reasons, upstream::pem::Stamp};

/// How long a port stays sealed after its app asked a client for a certificate.
const SEALED_FOR: Duration = Duration::from_secs(60);

reasons! {
    /// Why an encrypted connection of a port with certificates stayed closed.
    Sealed {
        /// None of the port's certificates can be used: `umbra check` tells why.
        NoCertificate = "tls_no_certificate",
        /// The app shows a certificate whose key is not among the port's.
        OtherCertificate = "tls_other_certificate",
        /// The app asks its clients for certificates, and nobody can show a client's in its stead.
        ClientCertificate = "tls_client_certificate",
        /// The client wants a version or algorithm that is not spoken here.
        ClientHello = "tls_client_hello",
        /// The app does not agree with the agent: no TLS, another version, a name it does not serve.
        App = "tls_app",
    }
}

/// The certificates of all ports.
#[derive(Debug, Default)]
pub struct Certificates {
    ports: BTreeMap<u16, Port>,
    reloads: [AtomicU64; 2],
}

/// The certificates of one port.
#[derive(Debug)]
pub struct Port {
    written: Vec<Certificate>,
    /// Those that can be used; the last good ones.
    pairs: ArcSwap<Vec<Pair>>,
    /// Of the files, as they were read last.
    stamps: Mutex<Vec<Option<Stamp>>>,
    /// Milliseconds after `started`.
    sealed_until: AtomicU64,
    started: Instant,
    /// Clients that come again need no new proof. None: each handshake is a full one.
    ticketer: Option<Arc<dyn ProducesTickets>>,
    /// Completed, and failed after the client was answered.
    handshakes: [AtomicU64; 2],
}

impl Certificates {
    /// Reads the files. What cannot be used is left out: [`check`] reports it.
    pub fn load(written: &[Certificate]) -> Self {
        let ticketer = Ticketer::new().ok();
        let mut by_port = BTreeMap::<u16, Vec<Certificate>>::new();
        for certificate in written {
            by_port.entry(*certificate.port).or_default().push(certificate.clone());
        }
        let ports = by_port.into_iter().map(|(port, written)| (port, Port::load(written, ticketer.clone())));
        Self { ports: ports.collect(), reloads: Default::default() }
    }

    pub fn at(&self, port: u16) -> Option<&Port> {
        self.ports.get(&port)
    }

    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// Reads files again that have changed. A pair that is wrong now leaves the last good one in force. To be called now
    /// and then, not by a data thread.
    pub fn reload(&self) {
        for (number, port) in &self.ports {
            let Some(faults) = port.reload() else { continue };
            self.reloads[usize::from(!faults.is_empty())].fetch_add(1, Ordering::Relaxed);
            for fault in &faults {
                tracing::error!("{fault}; the last good certificate stays in force for port {number}");
            }
            if faults.is_empty() {
                tracing::info!(port = number, "certificates have changed and are in force");
            }
        }
    }

    /// How often files had changed: and could be used, and could not.
    pub fn reloads(&self) -> [u64; 2] {
        [0, 1].map(|at| self.reloads[at].load(Ordering::Relaxed))
    }

    /// Of each port: how many certificates can be used, and how many handshakes with clients were completed or failed.
    pub fn standing(&self) -> impl Iterator<Item = (u16, usize, [u64; 2])> {
        self.ports.iter().map(|(number, port)| {
            let handshakes = [0, 1].map(|at| port.handshakes[at].load(Ordering::Relaxed));
            (*number, port.pairs.load().len(), handshakes)
        })
    }
}

impl Port {
    fn load(written: Vec<Certificate>, ticketer: Option<Arc<dyn ProducesTickets>>) -> Self {
        let stamps = stamps(&written);
        let pairs = written.iter().filter_map(|written| Pair::load(written).ok()).collect();
        Self {
            written,
            pairs: ArcSwap::from_pointee(pairs),
            stamps: Mutex::new(stamps),
            sealed_until: AtomicU64::new(0),
            started: Instant::now(),
            ticketer,
            handshakes: Default::default(),
        }
    }

    /// What is wrong, if any file has changed.
    fn reload(&self) -> Option<Vec<String>> {
        let now = stamps(&self.written);
        let mut known = self.stamps.lock().unwrap_or_else(PoisonError::into_inner);
        if *known == now {
            return None;
        }
        *known = now;
        let (last, mut faults) = (self.pairs.load_full(), Vec::new());
        let pair = |written: &Certificate| match Pair::load(written) {
            Ok(pair) => Some(pair),
            Err(fault) => {
                faults.push(fault.what);
                last.iter().find(|pair| pair.is_of(written)).cloned()
            }
        };
        let pairs: Vec<_> = self.written.iter().filter_map(pair).collect();
        self.pairs.store(Arc::new(pairs));
        self.sealed_until.store(0, Ordering::Relaxed);
        Some(faults)
    }

    /// Why connections need not even be looked at.
    fn stays_sealed(&self) -> Option<Sealed> {
        let sealed = self.now() < self.sealed_until.load(Ordering::Relaxed);
        let none = self.pairs.load().is_empty();
        none.then_some(Sealed::NoCertificate).or(sealed.then_some(Sealed::ClientCertificate))
    }

    /// Where the app asks for certificates, later clients are not held up by asking it once more.
    fn remember(&self, why: Sealed) {
        if why == Sealed::ClientCertificate {
            let until = Duration::from_millis(self.now()) + SEALED_FOR;
            self.sealed_until.store(milliseconds(until), Ordering::Relaxed);
        }
    }

    /// What the app showed, with its key.
    fn certified(&self, chain: &[CertificateDer<'static>]) -> Option<CertifiedKey> {
        self.pairs.load().iter().find_map(|pair| pair.certify(chain))
    }

    fn count(&self, completed: bool) {
        self.handshakes[usize::from(!completed)].fetch_add(1, Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        milliseconds(self.started.elapsed())
    }
}

fn stamps(written: &[Certificate]) -> Vec<Option<Stamp>> {
    let files = written.iter().flat_map(|written| [&written.certificate, &written.private_key]);
    files.map(|file| Stamp::of(&file.value)).collect()
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
