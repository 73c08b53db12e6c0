//! The heartbeat the kernel programs wait for: it stops when any data thread has been silent for too long, and a
//! second later the kernel gives new connections to the applications directly.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use crate::capture::Enrolment;

/// A worker silent for longer than this is taken for hung. With the kernel's one second it stays below the second
/// that a busy machine may cost, and above the tick.
const LONGEST_SILENCE: Duration = Duration::from_millis(500);
const BEAT: Duration = Duration::from_millis(100);

/// The enrolled namespaces, shared with metrics and reloads. Locked for a copy of the list only.
#[derive(Clone, Default)]
pub(super) struct Enrolled(Arc<Mutex<Vec<Arc<Enrolment>>>>);

impl Enrolled {
    pub(super) fn add(&self, enrolment: Arc<Enrolment>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(enrolment);
    }

    pub(super) fn all(&self) -> Vec<Arc<Enrolment>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

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
            let mut hung = false;
            while matches!(stopped.recv_timeout(BEAT), Err(RecvTimeoutError::Timeout)) {
                let silent_for = silence();
                let now_hung = silent_for > LONGEST_SILENCE;
                if now_hung != hung {
                    tracing::warn!(
                        ?silent_for,
                        hung = now_hung,
                        "a data thread changed between silent and alive"
                    );
                    hung = now_hung;
                }
                if !hung {
                    beat(&enrolled);
                }
            }
        })?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }
}

/// One beat, in every enrolled namespace.
pub(super) fn beat(enrolled: &Enrolled) {
    for enrolment in enrolled.all() {
        if let Err(error) = enrolment.beat() {
            tracing::warn!(netns = enrolment.name(), %error, "no heartbeat; connections go to the app directly");
        }
    }
}

impl Drop for Heart {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
