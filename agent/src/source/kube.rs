//! The cluster as a source: every kind that says something about mirroring is watched at the API server, and each object is a
//! part of the configuration. Asks for no more than it reads, and for pods of the agent's own node alone.
//!
//! ```text
//! finder: which kinds are there ─▶ one watch for each ─▶ store: trimmed, read ─▶ Cluster::changed ─▶ compiled
//!                                  labels of pods elsewhere ◀──────────── what its rules mirror to ◀──┘
//! ```
//!
//! While the server is away the last known state stays in force, and its age is told. Refuses nothing: what cannot be read is
//! left out and told of (`store`). Writes nothing, unless it is asked to (`status`).

mod destinations;
mod finder;
mod kinds;
mod labels;
mod lines;
mod pause;
mod place;
mod shared;
mod shown;
mod standing;
mod status;
mod store;
#[cfg(test)]
mod tests;
mod watch;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    env,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context as _;
use kube::{Client, Config};
use tokio::{
    select,
    sync::{Notify, watch as channel},
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};
use tokio_util::sync::CancellationToken;

use destinations::Destinations;
use finder::{Finder, Versions};
use kinds::{KINDS, Scope};
use pause::spread;
use shared::Shared;
pub use shown::{ClusterStanding, KindStanding};
pub use standing::State;
use status::Writer;
pub use status::{Rules, WriterStanding};
pub use store::{Faulty, Gathered, Overruled, is_of_cluster};
use store::{Selector, Target};
use watch::{Follow, LOOK};

use crate::{
    config::{Diagnostic, Sources},
    process::privileges::Programs,
    route::{Locality, Snapshot},
};

/// A burst of changes is over when it has been quiet this long.
const QUIET: Duration = Duration::from_millis(100);
/// Changes that never rest take effect all the same.
const PATIENCE: Duration = Duration::from_millis(400);
/// To begin talking to the server.
const CONNECT: Duration = Duration::from_secs(5);

/// How the agent finds itself in the cluster.
#[derive(Clone, Debug)]
pub struct Options {
    /// The node whose pods are known in full.
    pub node: String,
    /// The AgentConfig, in the agent's own namespace; None: the only one there, or the one called `default`.
    pub agent: Option<String>,
    /// Whether to write what became of objects into their status.
    pub writes_status: bool,
}

/// A cluster, followed until this is dropped.
pub struct Cluster {
    shared: Arc<Shared>,
    client: Client,
    options: Options,
    /// Whether credentials come from one, again and again.
    programs: Programs,
    /// Its own.
    namespace: String,
    server: String,
    look: Arc<Notify>,
    tasks: Vec<JoinHandle<()>>,
    /// Of labels of pods elsewhere.
    labels: Mutex<BTreeMap<Selector, JoinHandle<()>>>,
    /// The first change that was not told of.
    due: Mutex<Option<Instant>>,
}

impl Cluster {
    /// Begins to follow the cluster that KUBECONFIG names, or the one this process runs in.
    ///
    /// # Errors
    /// When nothing says where the API server is. That it does not answer is none.
    pub async fn follow(options: Options) -> anyhow::Result<Self> {
        let mut config = Config::infer().await.context(
            "find the API server: in a pod a service account tells (automountServiceAccountToken), elsewhere KUBECONFIG",
        )?;
        config.connect_timeout = Some(CONNECT);
        let server = config.cluster_url.to_string();
        let own = env::var("POD_NAMESPACE").unwrap_or_else(|_| config.default_namespace.clone());
        let programs = programs(&config);
        let client =
            Client::try_from(config).with_context(|| format!("speak to the API server at {server}"))?;
        tracing::info!(%server, node = options.node, "the cluster is followed");
        let shared = Arc::new(Shared::new(options.node.clone(), options.writes_status));
        let look = Arc::<Notify>::default();
        let built_in = |kind: usize| KINDS[kind].is_built_in().then_some(KINDS[kind].versions[0]);
        let versions = Arc::new(channel::Sender::new(std::array::from_fn(built_in)));
        let finder = Finder {
            client: client.clone(),
            shared: Arc::clone(&shared),
            versions: Arc::clone(&versions),
            look: Arc::clone(&look),
        };
        let place = place::find(client.clone(), Arc::clone(&shared), options.node.clone());
        let mut tasks = vec![tokio::spawn(finder.run()), tokio::spawn(place)];
        for (index, kind) in KINDS.iter().enumerate() {
            let (client, shared) = (client.clone(), Arc::clone(&shared));
            let namespace = (kind.scope == Scope::Own).then(|| own.clone());
            let fields = (kind.scope == Scope::Node).then(|| format!("spec.nodeName={}", options.node));
            let follow = move |version| {
                let (client, shared) = (client.clone(), Arc::clone(&shared));
                let (namespace, fields) = (namespace.clone(), fields.clone());
                Follow { client, shared, target: Target::Kind(index), version, namespace, fields }
            };
            tasks.push(tokio::spawn(keep(index, Arc::clone(&versions), Arc::clone(&look), follow)));
        }
        let (labels, due) = (Mutex::default(), Mutex::default());
        Ok(Self { shared, client, options, programs, namespace: own, server, look, tasks, labels, due })
    }

    /// Where the API server is.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// Waits until everything is known, or for so long. What is missing is told of.
    pub async fn listed(&self, within: Duration) {
        let until = Instant::now() + within;
        loop {
            let missing = self.shared.missing();
            if missing.is_empty() {
                return;
            }
            if timeout_at(until, self.shared.progress.notified()).await.is_err() {
                tracing::warn!(
                    server = self.server,
                    "not known of the cluster after {within:?}: {}",
                    missing.join("; ")
                );
                return;
            }
        }
    }

    /// Ready when something has changed that is to be compiled: soon after the last change of a burst, and soon enough after the
    /// first one; later, where all of it is about endpoints elsewhere that get no copies from here. Cancel-safe.
    pub async fn changed(&self) {
        let due = || self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due().is_none() {
            select! {
                () = self.shared.changed.notified() => {}
                () = self.shared.overdue() => {}
            }
            *due() = Some(Instant::now());
        }
        let first = due().unwrap_or_else(Instant::now);
        loop {
            let until = (Instant::now() + QUIET).min(first + PATIENCE);
            if timeout_at(until, self.shared.changed.notified()).await.is_err()
                || Instant::now() >= first + PATIENCE
            {
                *due() = None;
                return;
            }
        }
    }

    /// What the process must be able to start for as long as it follows the cluster.
    pub fn programs(&self) -> Programs {
        self.programs
    }

    /// Where the node is, once its labels are known.
    pub fn place(&self) -> Option<Locality> {
        self.shared.place.get().cloned()
    }

    /// Looks now for kinds that were not installed.
    pub fn look(&self) {
        self.look.notify_one();
    }

    /// What is known; nothing before everything is. `overruled` is passed over.
    pub fn gather(&self, overruled: &Overruled) -> Gathered {
        self.shared.gather(overruled, self.options.agent.as_deref())
    }

    /// The texts of what people wrote, under the names of the parts.
    pub fn add_texts(&self, overruled: &Overruled, sources: &mut Sources) {
        self.shared.inner().store.add_texts(overruled, self.options.agent.as_deref(), sources);
    }

    /// The same for as long as those texts are.
    pub fn revision(&self) -> u64 {
        self.shared.inner().store.revision()
    }

    /// What was gathered is in force, with these findings; the errors of them are references that lead nowhere.
    pub fn accept(&self, found: &[Diagnostic]) {
        self.shared.accept(found);
    }

    /// The rules of what was accepted are in force now.
    pub fn in_force(&self) {
        self.shared.status.notify_one();
    }

    /// Writes what becomes of objects into their status until `stop`, whenever this agent is the one of all that does. None where
    /// it was not asked to.
    pub fn write_status(&self, rules: Rules, stop: CancellationToken) -> Option<JoinHandle<()>> {
        let (client, shared) = (self.client.clone(), Arc::clone(&self.shared));
        let (namespace, node) = (self.namespace.clone(), self.options.node.clone());
        let writer = Writer { client, shared, namespace, node, rules };
        self.options.writes_status.then(|| tokio::spawn(writer.run(stop)))
    }

    /// Takes the objects in which these errors lie back to the version before, or out. False when there are none.
    pub fn take_back(&self, errors: &[&Diagnostic]) -> bool {
        self.shared.inner().store.take_back(errors)
    }

    /// Follows what these rules need of the cluster: the labels of those pods elsewhere by which subsets are made that something
    /// here is mirrored to, and no others; and at once what becomes of the endpoints of services that something here is mirrored
    /// to. True when there are new labels to wait for.
    pub fn follow_rules(&self, snapshot: &Snapshot) -> bool {
        let mut inner = self.shared.inner();
        let destinations = Destinations::of(snapshot, &inner.store, &self.options.node);
        let wanted = labels::wanted(&destinations, &inner.store);
        if inner.store.nearby.sends_to(destinations.services()) {
            self.shared.changed.notify_one();
        }
        let mut followed = self.labels.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|selector, task| {
            let stays = wanted.contains(selector);
            if !stays {
                task.abort();
                inner.end(selector);
            }
            stays
        });
        let before = followed.len();
        for selector in wanted {
            let Entry::Vacant(new) = followed.entry(selector) else { continue };
            inner.begin(new.key());
            let follow = Follow {
                client: self.client.clone(),
                shared: Arc::clone(&self.shared),
                target: Target::Labels(new.key().clone()),
                version: "v1",
                namespace: Some(new.key().namespace.clone()),
                fields: None,
            };
            new.insert(tokio::spawn(follow.run()));
        }
        followed.len() > before
    }

    /// Why the agent is not ready; empty once the rules of the cluster have been in force.
    pub fn missing(&self) -> Vec<String> {
        if self.shared.was_in_force() {
            return Vec::new();
        }
        let missing = self.shared.missing();
        if missing.is_empty() {
            return vec!["the cluster's configuration is being compiled".to_owned()];
        }
        missing.into_iter().map(|why| format!("the cluster's configuration is not known: {why}")).collect()
    }

    /// None where this agent was not asked to write status.
    pub fn writer(&self) -> Option<WriterStanding> {
        self.shared.writer()
    }

    pub fn standing(&self) -> ClusterStanding {
        self.shared.standing()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let labels = self.labels.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.tasks.iter().chain(labels.values()).for_each(JoinHandle::abort);
    }
}

/// As clouds' kubeconfigs have it; a service account's has none.
fn programs(config: &Config) -> Programs {
    let Some(command) = config.auth_info.exec.as_ref().and_then(|exec| exec.command.as_deref()) else {
        return Programs::Forbidden;
    };
    tracing::info!(
        command,
        "KUBECONFIG has credentials from a program: the agent goes on being able to start programs"
    );
    Programs::Allowed
}

/// Follows a kind whenever the server has it.
async fn keep(
    kind: usize,
    versions: Arc<channel::Sender<Versions>>,
    look: Arc<Notify>,
    follow: impl Fn(&'static str) -> Follow,
) {
    let mut found = versions.subscribe();
    // The sender is here: waiting cannot fail.
    while let Ok(version) = found.wait_for(|versions| versions[kind].is_some()).await.map(|found| found[kind])
    {
        let Some(version) = version else { continue };
        let follow = follow(version);
        follow.shared.begins(kind, version);
        let shared = Arc::clone(&follow.shared);
        follow.run().await;
        shared.lost(kind);
        if KINDS[kind].is_built_in() {
            sleep(spread(LOOK)).await;
        } else {
            versions.send_modify(|versions| versions[kind] = None);
            look.notify_one();
        }
    }
}
