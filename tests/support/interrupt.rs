//! Ctrl-C, SIGTERM and a closed terminal as something a show asks about, so that leaving early is leaving in order.

use std::{
    sync::mpsc::{Receiver, sync_channel},
    thread,
};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

/// Signals thread --a signal came--> whoever asks. Full is as good as one: it ends at the first.
pub struct Interrupt(Receiver<()>);

impl Interrupt {
    /// From here on these signals no longer end the process by themselves.
    pub fn watch() -> Result<Self> {
        let (came, interrupt) = sync_channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let [mut ctrl_c, mut term, mut hangup] = runtime.block_on(async {
            let [interrupt, terminate, hangup] =
                [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].map(signal);
            anyhow::Ok([interrupt?, terminate?, hangup?])
        })?;
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! { _ = ctrl_c.recv() => {} _ = term.recv() => {} _ = hangup.recv() => {} }
                    let _ = came.try_send(());
                }
            });
        });
        Ok(Self(interrupt))
    }

    /// Between two steps: fails once a signal came.
    pub fn check(&self) -> Result<()> {
        if self.0.try_recv().is_ok() {
            bail!("interrupted");
        }
        Ok(())
    }

    /// Until it comes.
    pub fn wait(&self) {
        let _ = self.0.recv();
    }
}
