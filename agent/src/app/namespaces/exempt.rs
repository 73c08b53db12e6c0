//! Whose connections are never captured: sources that are named, and with `exemptNode` the node's own addresses as they
//! are at the moment.

use std::time::{Duration, Instant};

use ipnet::IpNet;
use tokio::task::spawn_blocking;

use super::Wanted;
use crate::capture;

/// The node's addresses are looked at this often: they change when its network is set up.
const EVERY: Duration = Duration::from_secs(5);
/// More are not taken: they share the kernel's map (4096) with those that are named, and nobody calls from thousands.
const MOST_OF_NODE: usize = 1024;

/// The sources in force, followed.
#[derive(Default)]
pub(super) struct Exempt {
    /// As last read, with the time of it.
    node: Option<(Instant, Vec<IpNet>)>,
    told: bool,
}

impl Exempt {
    /// What is exempt now, in an order that stays the same.
    pub(super) async fn sources(&mut self, wanted: &Wanted) -> Vec<IpNet> {
        let mut sources = wanted.exempt.clone();
        if wanted.exempt_node {
            sources.extend(self.node().await);
        } else {
            self.node = None;
        }
        sources
    }

    async fn node(&mut self) -> Vec<IpNet> {
        let known = match self.node.take() {
            Some((read, known)) if read.elapsed() < EVERY => {
                self.node = Some((read, known.clone()));
                return known;
            }
            before => before.map(|(_, known)| known).unwrap_or_default(),
        };
        let addresses = match spawn_blocking(capture::node_addresses).await {
            Ok(Ok(addresses)) => self.not_too_many(addresses),
            Ok(Err(error)) => {
                self.warn(&format!(
                    "the node's addresses cannot be read: {error}; those known before stay exempt"
                ));
                known
            }
            Err(error) => {
                tracing::error!(%error, "reading the node's addresses panicked");
                known
            }
        };
        self.node = Some((Instant::now(), addresses.clone()));
        addresses
    }

    fn not_too_many(&mut self, mut addresses: Vec<IpNet>) -> Vec<IpNet> {
        let count = addresses.len();
        if count > MOST_OF_NODE {
            addresses.truncate(MOST_OF_NODE);
            self.warn(&format!(
                "the node has {count} addresses: the first {MOST_OF_NODE} are exempt (capture.exemptNode); name networks in \
                 capture.exempt instead"
            ));
        }
        addresses
    }

    /// Once.
    fn warn(&mut self, what: &str) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!("{what}");
        }
    }
}
