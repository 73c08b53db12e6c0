//! Says when files may have changed: inotify where it works, a slow look otherwise. Never reads meaning; announces
//! only what has other bytes than before.

use std::{
    path::PathBuf,
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use super::files;

/// Finds what inotify cannot: network file systems, links that lead elsewhere, lost events.
const LOOK: Duration = Duration::from_secs(5);
/// A save is several events; they are over when it has been quiet this long.
const QUIET: Duration = Duration::from_millis(200);
/// A file that never rests is announced all the same.
const PATIENCE: Duration = Duration::from_secs(2);

/// Watches until dropped.
#[derive(Debug)]
pub struct Watch {
    changes: mpsc::Receiver<()>,
}

impl Watch {
    /// Completes when something may have changed. Changes while nobody waits are one. Cancel-safe.
    /// False when watching has ended, which only a failing thread does.
    pub async fn changed(&mut self) -> bool {
        self.changes.recv().await.is_some()
    }
}

/// Watches what `paths` name. `loaded` is [`Sources::fingerprint`](crate::config::Sources::fingerprint) of what is in
/// force, so that a change between loading and watching is not lost.
///
/// # Errors
/// When no thread can be started. Where inotify cannot be had the slow look goes on alone.
pub fn watch(paths: &[PathBuf], loaded: u64) -> anyhow::Result<Watch> {
    // notify's thread --something happened--> this module's thread. Full: one is waiting already, which says it all.
    let (event_tx, event_rx) = sync_channel(1);
    // this module's thread --bytes differ--> the app. Full: the app has yet to look, and will see the newest.
    let (change_tx, changes) = mpsc::channel(1);
    let watcher = watch_directories(paths, &event_tx);
    let eyes =
        Eyes { paths: paths.to_vec(), seen: loaded, events: event_rx, _wake: event_tx, _watcher: watcher };
    thread::Builder::new()
        .name("config-watch".into())
        .spawn(move || eyes.run(&change_tx))
        .context("start the thread that watches the configuration")?;
    Ok(Watch { changes })
}

fn watch_directories(paths: &[PathBuf], events: &SyncSender<()>) -> Option<RecommendedWatcher> {
    let events = events.clone();
    let on_event = move |event: notify::Result<notify::Event>| {
        // Reading is an event too; answering it by reading would never end.
        if !event.is_ok_and(|event| event.kind.is_access()) {
            let _ = events.try_send(());
        }
    };
    let mut watcher = match notify::recommended_watcher(on_event) {
        Ok(watcher) => watcher,
        Err(error) => {
            tracing::warn!(%error, "no inotify: changed configuration is seen within {LOOK:?}");
            return None;
        }
    };
    for directory in files::directories(paths) {
        if let Err(error) = watcher.watch(&directory, RecursiveMode::NonRecursive) {
            let directory = directory.display();
            tracing::warn!(%error, %directory, "cannot watch: changes there are seen within {LOOK:?}");
        }
    }
    Some(watcher)
}

struct Eyes {
    paths: Vec<PathBuf>,
    seen: u64,
    events: Receiver<()>,
    /// Keeps `events` open where there is no inotify.
    _wake: SyncSender<()>,
    _watcher: Option<RecommendedWatcher>,
}

impl Eyes {
    fn run(mut self, changes: &mpsc::Sender<()>) {
        let mut seen = files::Seen::default();
        while !changes.is_closed() {
            let now = files::fingerprint(&self.paths, &mut seen);
            if now != self.seen {
                self.seen = now;
                let _ = changes.try_send(());
            }
            if self.events.recv_timeout(LOOK).is_ok() {
                self.settle();
            }
        }
    }

    fn settle(&self) {
        let start = Instant::now();
        while self.events.recv_timeout(QUIET) != Err(RecvTimeoutError::Timeout) && start.elapsed() < PATIENCE
        {
        }
    }
}
