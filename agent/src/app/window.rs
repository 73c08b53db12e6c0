//! The admin window's thread, and what it says of readiness.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, View},
    observe::Metrics,
};

pub(super) struct Window {
    /// Why the agent is not ready; empty when it is.
    missing: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Window {
    /// Opens the window, not ready yet.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub(super) fn open(address: SocketAddr, metrics: Metrics) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("listen on admin address {address}: another agent may be running; set spec.admin.address")
        })?;
        listener.set_nonblocking(true)?;
        let missing = Arc::new(Mutex::new(vec!["namespaces are being enrolled".to_owned()]));
        let said = Arc::clone(&missing);
        let view = View {
            metrics: Arc::new(metrics),
            missing: Arc::new(move || said.lock().unwrap_or_else(PoisonError::into_inner).clone()),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("umbra-admin".into()).spawn(move || {
            let served = runtime
                .block_on(async { admin::serve(TcpListener::from_std(listener)?, view, stopped).await });
            if let Err(error) = served {
                tracing::error!(%error, "the admin window is closed; traffic is not affected");
            }
        })?;
        Ok(Self { missing, stop, thread })
    }

    pub(super) fn ready(&self) {
        self.say(Vec::new());
    }

    pub(super) fn not_ready(&self, why: &str) {
        self.say(vec![why.to_owned()]);
    }

    fn say(&self, missing: Vec<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    pub(super) fn close(self) {
        self.stop.cancel();
        let _ = self.thread.join();
    }
}
