//! Another client of the same app, who asks at a walking pace and must always be answered.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use support::{Connection, Netns, patience};

use crate::frames::{PREFACE, get, settings};

pub(crate) const ASKS: &str = "GET /bystander HTTP/1.1\r\nHost: a\r\n\r\n";
pub(crate) const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// Asks until stopped; each tenth time on a new connection, on HTTP/2 each time.
pub(crate) struct Bystander {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU32>,
    /// The longest wait in milliseconds.
    slowest: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Bystander {
    pub(crate) fn start(from: &Netns, app: SocketAddr, http2: bool) -> Self {
        let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU32>::default());
        let slowest = Arc::<AtomicU64>::default();
        let (stopped, count, from) = (Arc::clone(&stop), Arc::clone(&answered), from.clone());
        let longest = Arc::clone(&slowest);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut wire = Connection::open(&from, app);
                // How long it waits is printed, not judged: a machine may be busy.
                wire.stream().set_read_timeout(Some(patience().saturating_mul(4))).unwrap();
                for _ in 0..if http2 { 1 } else { 10 } {
                    let asked = Instant::now();
                    if http2 {
                        ask_http2(&mut wire);
                    } else {
                        ask(&mut wire);
                    }
                    let waited = u64::try_from(asked.elapsed().as_millis()).unwrap();
                    longest.fetch_max(waited, Ordering::Relaxed);
                    count.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(10));
                }
            }
        });
        Self { stop, answered, slowest, thread }
    }

    /// Waits until it was answered this often from now on.
    pub(crate) fn eventually_answered(&self, more: u32) {
        let goal = self.answered.load(Ordering::Relaxed) + more;
        let deadline = Instant::now() + patience().saturating_mul(4);
        while self.answered.load(Ordering::Relaxed) < goal {
            assert!(!self.thread.is_finished(), "the bystander was not answered; its complaint is above");
            assert!(
                Instant::now() < deadline,
                "the bystander waits for longer than {:?}",
                patience().saturating_mul(4)
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Its longest wait since this was last asked, in milliseconds.
    pub(crate) fn slowest(&self) -> u64 {
        self.slowest.swap(0, Ordering::Relaxed)
    }

    /// How often it was answered. Fails if any request was not.
    pub(crate) fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        self.answered.load(Ordering::Relaxed)
    }
}

fn ask(wire: &mut Connection) {
    let reply = wire.send(ASKS).reply();
    assert_eq!((reply.status, reply.text().as_str()), (200, "ok"));
}

/// Its answer ends with the data of the only stream.
fn ask_http2(wire: &mut Connection) {
    wire.send([PREFACE, &settings(&[]), &get(1)].concat());
    let mut said = Vec::new();
    while !said.ends_with(b"\0\0\x01ok") {
        said.extend(wire.read(1));
    }
}
