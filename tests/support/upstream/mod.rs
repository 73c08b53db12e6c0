//! Servers in a pod: well-behaved ones that record every request, and every kind of bad one.

mod received;
mod serve;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

pub use received::{Body, Received, Recorder};
use received::{Ledger, Transcripts};
use serve::Behaviour;
use tokio::runtime::{self, Runtime};

use crate::{Netns, Pod, in_time};

/// A server for this pod, listening on every address of it.
pub fn upstream(pod: &Pod) -> UpstreamBuilder<'_> {
    UpstreamBuilder::new(pod.netns(), pod.ip())
}

#[derive(Debug)]
#[must_use = "not a server before `start`"]
pub struct UpstreamBuilder<'a> {
    netns: &'a Netns,
    ip: IpAddr,
    listen: SocketAddr,
    name: String,
    delay: Duration,
    behaviour: Behaviour,
}

impl<'a> UpstreamBuilder<'a> {
    /// A server in a namespace, known to others by `ip`. It echoes until told otherwise.
    pub fn new(netns: &'a Netns, ip: IpAddr) -> Self {
        let listen = "[::]:0".parse().unwrap();
        let delay = Duration::ZERO;
        Self { netns, ip, listen, name: "upstream".to_owned(), delay, behaviour: Behaviour::Echo }
    }

    /// What its echoes call it, and its response header `x-served-by`.
    pub fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// A fixed port instead of a free one: its pod is its own world.
    pub fn port(mut self, port: u16) -> Self {
        self.listen.set_port(port);
        self
    }

    /// Listens on this address alone, as apps bound to the pod's address or to loopback do.
    pub fn only_on(mut self, ip: IpAddr) -> Self {
        self.listen.set_ip(ip);
        self
    }

    /// Waits before each response.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Answers with what it saw, as JSON: served_by, peer, method, target, headers, body_length.
    pub fn echoes(self) -> Self {
        self.behaving(Behaviour::Echo)
    }

    /// Answers 200 with this body.
    pub fn replies(self, body: impl Into<bytes::Bytes>) -> Self {
        self.behaving(Behaviour::Reply(body.into()))
    }

    /// Takes requests and stays silent.
    pub fn never_answers(self) -> Self {
        self.behaving(Behaviour::NeverAnswers)
    }

    /// Answers the first bytes of a connection with RST.
    pub fn resets(self) -> Self {
        self.behaving(Behaviour::Resets)
    }

    /// Answers the first bytes of a connection with what is no HTTP, and closes.
    pub fn answers_garbage(self) -> Self {
        self.behaving(Behaviour::Garbage)
    }

    /// Lets the test speak for the server, on a thread per connection; see [`Upstream::transcripts`].
    pub fn speaks(self, conversation: impl Fn(Recorder) + Send + Sync + 'static) -> Self {
        self.behaving(Behaviour::Speaks(Arc::new(conversation)))
    }

    fn behaving(mut self, behaviour: Behaviour) -> Self {
        self.behaviour = behaviour;
        self
    }

    pub fn start(self) -> Upstream {
        let listener = self.netns.listen(self.listen);
        let port = listener.local_addr().unwrap().port();
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (ledger, transcripts) = (Arc::<Ledger>::default(), Arc::<Transcripts>::default());
        let server = serve::Server {
            name: self.name,
            delay: self.delay,
            behaviour: self.behaviour,
            ledger: Arc::clone(&ledger),
            transcripts: Arc::clone(&transcripts),
        };
        runtime.spawn(serve::run(listener, Arc::new(server)));
        let address = (self.ip, port).into();
        Upstream { netns: self.netns.clone(), address, ledger, transcripts, runtime: Some(runtime) }
    }
}

/// A running server; dropping it closes its port and all its connections.
#[derive(Debug)]
pub struct Upstream {
    netns: Netns,
    address: SocketAddr,
    ledger: Arc<Ledger>,
    transcripts: Arc<Transcripts>,
    runtime: Option<Runtime>,
}

impl Upstream {
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The namespace it listens in.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Every request that arrived whole, in the order of their ends.
    pub fn received(&self) -> Vec<Received> {
        self.ledger.all()
    }

    /// How many arrived whole.
    pub fn count(&self) -> usize {
        self.ledger.len()
    }

    /// Waits until at least this many arrived.
    pub fn eventually_received(&self, count: usize) -> Vec<Received> {
        let received = in_time(|| (self.count() >= count).then(|| self.received()));
        received.unwrap_or_else(|| panic!("{} has {} requests, not {count}", self.address, self.count()))
    }

    /// Forgets what arrived so far.
    pub fn forget(&self) {
        self.ledger.clear();
    }

    /// The bytes each connection brought, of a server made by [`UpstreamBuilder::speaks`].
    pub fn transcripts(&self) -> Vec<Vec<u8>> {
        self.transcripts.all()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A conversation may be blocked in a read for ever.
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests;
