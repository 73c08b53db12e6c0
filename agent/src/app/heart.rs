//! The heartbeat the kernel programs wait for: it stops when any data thread has been silent for too long, and a
//! second later the kernel gives new connections to the applications directly.

use std::{
    sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    thread::JoinHandle,
    time::Duration,
};

use super::enrolled::Enrolled;

/// A worker silent for longer than this is taken for hung. With the kernel's one second it stays below the second
/// that a busy machine may cost, and above the tick.
const LONGEST_SILENCE: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_millis(100);

/// The thread that beats. Dropping it stops the heart.
pub(super) struct Heart {
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Heart {
    /// Beats for `enrolled` as long as `silence` stays short.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub(super) fn start(
        enrolled: Enrolled,
        silence: impl Fn() -> Duration + Send + 'static,
    ) -> std::io::Result<Self> {
        let (stop, stopped) = sync_channel(0);
        let thread = std::thread::Builder::new().name("umbra-heart".into()).spawn(move || {
            let mut trouble = None;
            while matches!(stopped.recv_timeout(BEAT), Err(RecvTimeoutError::Timeout)) {
                let now = pulse(&enrolled, silence());
                if now != trouble {
                    match &now {
                        Some(what) => tracing::warn!("{what}: its connections go to the apps directly"),
                        None => tracing::info!("the heart beats again"),
                    }
                    trouble = now;
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// Beats unless a data thread is hung. What keeps it from beating, in words that stay the same while it lasts.
fn pulse(enrolled: &Enrolled, silence: Duration) -> Option<String> {
    if silence > LONGEST_SILENCE {
        return Some("a data thread does not answer".to_owned());
    }
    beat(enrolled).err()
}

/// One beat, in every enrolled namespace.
///
/// # Errors
/// Which namespace cannot be told, and why.
pub(super) fn beat(enrolled: &Enrolled) -> Result<(), String> {
    let mut told = Ok(());
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.beat() {
            told = Err(format!("no heartbeat in {} ({error})", enrolment.name()));
        }
    }
    told
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
