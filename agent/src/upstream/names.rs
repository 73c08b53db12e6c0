//! Addresses of names, as DNS and /etc/hosts give them: each kept as long as its TTL, resolved anew by the first who
//! asks after that. Old addresses stay in use until new ones come; a name that does not resolve is asked for less and
//! less often. Nobody ever waits here for a name that has failed before.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use hickory_resolver::{
    TokioResolver,
    config::{LookupIpStrategy, ResolverConfig, ResolverOpts},
    net::runtime::TokioRuntimeProvider,
};
use tokio::{
    sync::{Notify, Semaphore},
    time::{Instant, timeout},
};

/// How long one resolution may take, every name server and search domain together.
const LOOKUP: Duration = Duration::from_secs(5);
/// The shortest time between two resolutions of a name, whatever its TTL.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest time between two attempts at a name that does not resolve.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Resolutions under way at once; others wait their turn.
const AT_ONCE: usize = 16;
/// Names nobody has asked for so long are forgotten.
const KEPT: Duration = Duration::from_secs(600);

/// Shared by all workers of the plane.
pub struct Names {
    resolver: Result<TokioResolver, String>,
    known: Mutex<HashMap<Arc<str>, Known>>,
    /// Rises whenever the addresses of any name change.
    changes: AtomicU64,
    /// Told whenever a resolution has ended.
    ended: Notify,
    turns: Semaphore,
}

struct Known {
    addresses: Arc<[IpAddr]>,
    state: State,
    failures: u32,
    /// When it is to be resolved again.
    due: Instant,
    asked: Instant,
    under_way: bool,
}

/// What is known of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The first answer is still to come.
    New,
    Resolved,
    /// It did not resolve, and never has.
    Failed,
}

impl Names {
    /// With the system's resolver: /etc/resolv.conf and /etc/hosts. Without a name server there, names resolve by
    /// /etc/hosts alone.
    pub fn of_system() -> Arc<Self> {
        let (config, options) = hickory_resolver::system_conf::read_system_conf().unwrap_or_else(|error| {
            tracing::debug!(%error, "no name server: names resolve by /etc/hosts alone");
            (ResolverConfig::default(), ResolverOpts::default())
        });
        Self::new(config, options)
    }

    pub(super) fn new(config: ResolverConfig, options: ResolverOpts) -> Arc<Self> {
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        let options = builder.options_mut();
        // What was answered is kept here, with its failures.
        options.cache_size = 0;
        // As Istio: a name's IPv6 addresses where it has no others.
        options.ip_strategy = LookupIpStrategy::Ipv4thenIpv6;
        Arc::new(Self {
            resolver: builder.build().map_err(|error| error.to_string()),
            known: Mutex::default(),
            changes: AtomicU64::new(0),
            ended: Notify::new(),
            turns: Semaphore::new(AT_ONCE),
        })
    }

    /// The addresses of a name as far as they are known. Starts a resolution, on the caller's runtime, when one is due.
    pub(super) fn addresses(self: &Arc<Self>, name: &Arc<str>, now: Instant) -> (Arc<[IpAddr]>, State) {
        let mut known = self.lock();
        let entry = known.entry(Arc::clone(name)).or_insert_with(|| Known {
            addresses: Arc::default(),
            state: State::New,
            failures: 0,
            due: now,
            asked: now,
            under_way: false,
        });
        entry.asked = now;
        let due = entry.due <= now && !entry.under_way;
        entry.under_way |= due;
        let found = (Arc::clone(&entry.addresses), entry.state);
        // An attempt that is dropped unstarted takes the lock too.
        drop(known);
        if due {
            let attempt = Attempt { names: Arc::clone(self), name: Arc::clone(name), answer: None };
            drop(tokio::spawn(attempt.run()));
        }
        found
    }

    /// Differs from what it was before whenever an address may differ.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Ready when the next resolution ends. To be made before looking.
    pub(super) fn ended(&self) -> impl Future<Output = ()> {
        self.ended.notified()
    }

    pub(super) fn sweep(&self, now: Instant) {
        self.lock().retain(|_, entry| entry.under_way || now.duration_since(entry.asked) < KEPT);
    }

    async fn resolve(&self, name: &str) -> Result<(Vec<IpAddr>, Duration), String> {
        let resolver = self.resolver.as_ref().map_err(Clone::clone)?;
        let _turn = self.turns.acquire().await.map_err(|error| error.to_string())?;
        let answer = timeout(LOOKUP, resolver.lookup_ip(name)).await;
        let answer = answer.map_err(|_| format!("no answer within {LOOKUP:?}"))?;
        let answer = answer.map_err(|error| error.to_string())?;
        let addresses: Vec<_> = answer.iter().map(|address| address.to_canonical()).collect();
        if addresses.is_empty() {
            return Err("it has no address".to_owned());
        }
        Ok((addresses, answer.valid_until().saturating_duration_since(std::time::Instant::now())))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A resolution under way. Whatever becomes of its task, it ends in the books.
struct Attempt {
    names: Arc<Names>,
    name: Arc<str>,
    answer: Option<(Vec<IpAddr>, Duration)>,
}

impl Attempt {
    async fn run(mut self) {
        match self.names.resolve(&self.name).await {
            Ok(answer) => self.answer = Some(answer),
            Err(error) => tracing::warn!(name = %self.name, %error, "a shadow's name does not resolve"),
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let now = Instant::now();
        if let Some(entry) = self.names.lock().get_mut(&self.name) {
            entry.under_way = false;
            if let Some((addresses, ttl)) = self.answer.take() {
                entry.due = now + ttl.max(SHORTEST);
                (entry.state, entry.failures) = (State::Resolved, 0);
                if *entry.addresses != *addresses {
                    entry.addresses = addresses.into();
                    self.names.changes.fetch_add(1, Ordering::Release);
                }
            } else {
                let wait = SHORTEST * 2_u32.saturating_pow(entry.failures.min(6));
                entry.due = now + wait.min(LONGEST_RETRY);
                entry.failures += 1;
                if entry.state == State::New {
                    entry.state = State::Failed;
                }
            }
        }
        self.names.ended.notify_waiters();
    }
}
