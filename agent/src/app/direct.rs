//! The plain listeners of an agent: capture for whoever may not, or need not, ask the kernel for it.

use std::{io, net::SocketAddr, sync::Arc};

use anyhow::Context as _;
use tokio_util::task::TaskTracker;

use super::workers::Hands;
use crate::{
    capture::{Direct, Inbound},
    config::umbra::AgentConfig,
};

/// A listener, and the connections it has accepted.
#[derive(Clone)]
pub(super) struct Listening {
    pub(super) direct: Arc<Direct>,
    pub(super) connections: TaskTracker,
}

/// Opens them.
///
/// # Errors
/// When an address cannot be listened on, or a data thread is gone.
pub(super) async fn listen(config: &AgentConfig, hands: &Hands) -> anyhow::Result<Vec<Listening>> {
    let mut all = Vec::new();
    for direct in &config.capture.direct {
        let listen = *direct.listen;
        let (direct, listeners) = Direct::listen(listen, direct.upstream, hands.count())
            .with_context(|| format!("{}: cannot listen on {listen}", direct.listen.at))
            .map_err(|error| advised(error, listen))?;
        let inbound = Arc::new(Inbound::Direct(Arc::clone(&direct)));
        let connections = hands.listen(listeners, &inbound).await?.connections;
        tracing::info!(listen = %direct.address(), upstream = %direct.upstream(), "listening");
        all.push(Listening { direct, connections });
    }
    Ok(all)
}

/// With what to do about it.
fn advised(error: anyhow::Error, listen: SocketAddr) -> anyhow::Error {
    let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
    let advice = match kind {
        Some(io::ErrorKind::AddrInUse) => {
            "somebody listens there already: if that is the app, let it listen on another port, or on 127.0.0.1 alone"
        }
        Some(io::ErrorKind::AddrNotAvailable) => "no interface of this machine has the address",
        Some(io::ErrorKind::PermissionDenied) if listen.port() < 1024 => {
            "a port below 1024 takes CAP_NET_BIND_SERVICE; without it choose a higher one"
        }
        _ => return error,
    };
    anyhow::anyhow!("{error:#} ({advice})")
}
