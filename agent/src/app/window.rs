//! The admin window's thread, and what it says of readiness.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{self, Rates, Socket, View},
    config::umbra::Admin,
    observe::Metrics,
    process::privileges,
    record::Accounts,
    route::Snapshot,
    shadow::Plane,
};

/// What the parts publish for the window.
pub(super) struct Published {
    pub(super) metrics: Metrics,
    pub(super) rules: Box<dyn Fn() -> Arc<Snapshot> + Send + Sync>,
    pub(super) configuration: Arc<admin::Configuration>,
    pub(super) accounts: Arc<Accounts>,
    pub(super) plane: Arc<Plane>,
    pub(super) namespaces: Box<dyn Fn() -> Vec<admin::Namespace> + Send + Sync>,
}

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
    pub(super) fn open(admin: &Admin, published: Published) -> anyhow::Result<Self> {
        let address = admin.address;
        let listener = std::net::TcpListener::bind(address).with_context(|| {
            format!("listen on admin address {address}: another agent may be running; set spec.admin.address")
        })?;
        listener.set_nonblocking(true)?;
        let missing = Arc::new(Mutex::new(vec!["namespaces are being enrolled".to_owned()]));
        let said = Arc::clone(&missing);
        let Published { metrics, rules, configuration, accounts, plane, namespaces } = published;
        let view = View {
            metrics,
            missing: Box::new(move || said.lock().unwrap_or_else(PoisonError::into_inner).clone()),
            rules,
            configuration,
            accounts,
            plane,
            rates: Rates::default(),
            namespaces,
            started: Instant::now(),
        };
        let socket = open_socket(admin);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("umbra-admin".into()).spawn(move || {
            privileges::keep_maps();
            let served = runtime.block_on(async {
                admin::serve(TcpListener::from_std(listener)?, socket, view, stopped).await
            });
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

/// What cannot be had is said, and done without: the address answers all the same.
fn open_socket(admin: &Admin) -> Option<Socket> {
    let path = admin.socket.as_deref()?;
    match Socket::open(path) {
        Ok(socket) => Some(socket),
        Err(error) => {
            let (path, address) = (path.display(), admin.address);
            tracing::warn!(%error, "no admin socket at {path} (spec.admin.socket): the admin API answers at {address} alone");
            None
        }
    }
}
