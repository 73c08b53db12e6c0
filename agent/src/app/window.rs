//! The admin window's thread, and what it says of readiness.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::Instant,
};

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use super::doors;
use crate::{
    admin::{self, Rates, Token, View},
    config::umbra::Admin,
    observe::{Live, Metrics, Mix},
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
    pub(super) live: Arc<Live>,
    pub(super) namespaces: Box<dyn Fn() -> Vec<admin::Namespace> + Send + Sync>,
    /// What a source is still waited for.
    pub(super) missing: Box<dyn Fn() -> Vec<String> + Send + Sync>,
    pub(super) cluster: Box<dyn Fn() -> Option<admin::Cluster> + Send + Sync>,
    pub(super) mix: Arc<Mix>,
    pub(super) pressure: Box<dyn Fn() -> BTreeMap<&'static str, bool> + Send + Sync>,
    pub(super) log: Arc<dyn admin::Log>,
}

pub(super) struct Window {
    /// Why the agent is not ready; empty when it is.
    missing: Arc<Mutex<Vec<String>>>,
    stop: CancellationToken,
    thread: JoinHandle<()>,
}

impl Window {
    /// Opens the window, not ready yet. What another agent still has, which this one is to replace as a rule, is taken
    /// over when that one leaves.
    ///
    /// # Errors
    /// When the address cannot be bound, for another reason than that it is in use, or the token not be read.
    pub(super) fn open(admin: &Admin, published: Published) -> anyhow::Result<Self> {
        let address = admin.address;
        let listener = doors::at_address(address).with_context(|| {
            format!(
                "listen on admin address {address}: it must be one of this machine; set spec.admin.address"
            )
        })?;
        let token = admin.token_file.as_deref().map(|path| {
            let why =
                || format!("read the token of the admin API in {} (spec.admin.tokenFile)", path.display());
            Token::open(path).map(Arc::new).with_context(why)
        });
        let token = token.transpose()?;
        let socket = doors::at_socket(admin.socket.clone(), address);
        let missing = Arc::new(Mutex::new(vec!["namespaces are being enrolled".to_owned()]));
        let said = Arc::clone(&missing);
        let Published {
            metrics,
            rules,
            configuration,
            accounts,
            plane,
            live,
            namespaces,
            missing: waiting,
            cluster,
            mix,
            pressure,
            log,
        } = published;
        let view = View {
            metrics,
            missing: Box::new(move || {
                let said = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
                said.into_iter().chain(waiting()).collect()
            }),
            rules,
            configuration,
            accounts,
            plane,
            live,
            token,
            rates: Rates::default(),
            known: admin::Rules::default(),
            namespaces,
            cluster,
            mix,
            pressure,
            log,
            started: Instant::now(),
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("umbra-admin".into()).spawn(move || {
            privileges::keep_maps();
            let served = runtime.block_on(admin::serve(listener, socket, view, stopped));
            if let Err(error) = served {
                tracing::error!(%error, "the admin window is closed; traffic is not affected");
            }
        })?;
        Ok(Self { missing, stop, thread })
    }

    pub(super) fn ready(&self) {
        self.say(Vec::new());
    }

    /// Leaves address and socket to whoever follows. Who has asked is still answered: for what is missing now.
    pub(super) fn close(&self, why: &str) {
        self.say(vec![why.to_owned()]);
        self.stop.cancel();
    }

    fn say(&self, missing: Vec<String>) {
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
    }

    /// Waits for the last answers.
    pub(super) fn closed(self) {
        self.stop.cancel();
        let _ = self.thread.join();
    }
}
