//! Once a second: certificates of apps whose files have changed are read again.

use std::{sync::Arc, time::Duration};

use tokio::{
    task::spawn_blocking,
    time::{MissedTickBehavior, interval},
};

use crate::relay::tls::Certificates;

const EVERY: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or there is nothing to do.
pub(super) async fn renew(certificates: Arc<Certificates>) {
    if certificates.is_empty() {
        return;
    }
    let mut second = interval(EVERY);
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        second.tick().await;
        let certificates = Arc::clone(&certificates);
        // Files may lie on a slow disk.
        if spawn_blocking(move || certificates.reload()).await.is_err() {
            tracing::error!("reading certificates again panicked");
        }
    }
}
