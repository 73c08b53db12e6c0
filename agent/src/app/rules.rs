//! The rules in force: loaded, compiled, swapped when they change. A change with faults is reported in full and the
//! last good configuration stays. In a cluster a faulty object keeps no other from taking effect.

mod loader;

use std::{
    io::{self, Write as _},
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch as channel,
    time::sleep_until,
};

use self::loader::Changed;
pub(super) use self::loader::Loader;
pub use self::loader::{Compiled, Source};
use super::{enrolled::Enrolled, namespaces::Wanted};
use crate::{
    admin::Configuration,
    capture::{Endpoints, Enrolment},
    config::{Report, umbra::AgentConfig},
    connection::Node,
    record::Accounts,
    source::{Watch, kube, watch},
};

/// How long the start waits for the cluster before it goes on without its rules, which capture nothing until they are known.
const FIRST_LISTS: Duration = Duration::from_secs(10);
/// How long it waits for the labels that those rules ask for.
const FIRST_LABELS: Duration = Duration::from_secs(2);
/// A large cluster never rests, and every change of it is compiled: so long for each time that it takes, nothing is. That is a
/// twentieth of a core at most.
const REST: u32 = 19;
/// Unless a change would wait for longer than this, as it would for a burst to end.
const LONGEST_REST: Duration = Duration::from_millis(400);

/// The configuration an agent starts with.
///
/// # Errors
/// When it has faults; they are printed with their places.
pub(super) async fn first(loader: &mut Loader, accounts: &Accounts) -> anyhow::Result<Compiled> {
    if let Some(cluster) = loader.cluster() {
        cluster.listed(FIRST_LISTS).await;
    }
    let compiled = loader.load(Changed::Files, accounts);
    print(&compiled);
    if compiled.refused {
        bail!("the configuration is refused, nothing was started; `umbra check` shows the same findings");
    }
    match loader.cluster() {
        Some(cluster) if cluster.follow_rules(&compiled.snapshot) => {
            cluster.listed(FIRST_LABELS).await;
            let with_labels = loader.load(Changed::Cluster, accounts);
            Ok(if with_labels.refused { compiled } else { with_labels })
        }
        _ => Ok(compiled),
    }
}

/// Tells the kernel which endpoints to hand over by the rules in force, and what share of their connections, in every
/// namespace.
///
/// # Errors
/// When a namespace's map cannot be written, or cannot hold them all: the last such one. The others have the new
/// endpoints all the same.
pub(super) fn capture(node: &Node, enrolled: &Enrolled) -> anyhow::Result<()> {
    capture_in(node, enrolled, || enrolled.all())
}

/// The same in some namespaces.
pub(super) fn capture_in(
    node: &Node,
    enrolled: &Enrolled,
    enrolments: impl FnOnce() -> Vec<Arc<Enrolment>>,
) -> anyhow::Result<()> {
    enrolled.tell(|| {
        let captures = node.snapshot.load().captures();
        let endpoints: Endpoints =
            captures.iter().map(|(at, share)| ((at.address, at.port), *share)).collect();
        let mut captured = Ok(());
        for enrolment in enrolments() {
            let tried = enrolment.capture(&endpoints);
            captured = tried.with_context(|| format!("capture in {}", enrolment.name())).and(captured);
        }
        captured
    })
}

/// Keeps the rules of a running agent current.
pub(super) struct Keeper<'a> {
    pub(super) loader: Loader,
    pub(super) accounts: Arc<Accounts>,
    pub(super) node: &'a Node,
    pub(super) enrolled: &'a Enrolled,
    /// What is in force of it. But for what is sent to `wanted` it cannot change while the parts run.
    pub(super) agent: AgentConfig,
    pub(super) wanted: channel::Sender<Wanted>,
    /// What the admin window tells of it.
    pub(super) published: &'a Configuration,
}

impl Keeper<'_> {
    /// Reloads on SIGHUP and when a file or the cluster changes, until `stop` is ready.
    ///
    /// # Errors
    /// When signals or files cannot be watched.
    pub(super) async fn keep(&mut self, loaded: u64, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut hang_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        let mut files = match self.loader.paths() {
            [] => None,
            paths => Some(watch(paths, loaded)?),
        };
        let cluster = self.loader.cluster();
        let mut rested = Instant::now();
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = hang_up.recv() => {
                    cluster.iter().for_each(|cluster| cluster.look());
                    self.reload(Changed::Files);
                }
                () = changed(&mut files) => self.reload(Changed::Files),
                // Whatever else is ready first reads the cluster too.
                () = changed_cluster(cluster.as_deref(), rested) => {
                    let begun = Instant::now();
                    self.reload(Changed::Cluster);
                    rested = Instant::now() + (begun.elapsed() * REST).min(LONGEST_REST);
                }
            }
        }
    }

    fn reload(&mut self, what: Changed) {
        let compiled = self.loader.load(what, &self.accounts);
        if what == Changed::Files {
            print(&compiled);
        }
        if compiled.refused {
            self.accounts.forget_unused();
            self.published.refused(&compiled.report);
            tracing::error!("the new configuration is refused; the last good one stays in force");
            return;
        }
        match compiled.agent {
            // Its defaults would capture in another namespace, the host's.
            None if self.agent.meta.is_some() => {
                tracing::warn!(
                    "there is no AgentConfig any more: what the last one said holds until the next start"
                );
            }
            agent => self.configure(&agent.unwrap_or_default()),
        }
        let wanted = Wanted::by(&self.agent, compiled.pods.as_ref());
        self.wanted.send_if_modified(|before| std::mem::replace(before, wanted) != *before);
        self.node.plane.enforce(&compiled.snapshot);
        if let Some(cluster) = self.loader.cluster() {
            cluster.follow_rules(&compiled.snapshot);
        }
        self.node.snapshot.store(Arc::new(compiled.snapshot));
        if let Some(cluster) = self.loader.cluster() {
            cluster.in_force();
        }
        let agent = self.agent.clone();
        match what {
            Changed::Files => self.published.accepted(agent, compiled.sources, &compiled.report),
            Changed::Cluster => self.published.followed(agent, compiled.sources, &compiled.report),
        }
        // A namespace whose map cannot be written goes on with the endpoints it had; the relay asks the new rules.
        if let Err(error) = capture(self.node, self.enrolled) {
            tracing::error!("{error:#}");
        }
        self.accounts.forget_unused();
        super::memory::give_back();
        match what {
            Changed::Files => {
                let ports = self.node.snapshot.load().ports().count();
                tracing::info!(ports, "new rules are in force");
            }
            // A cluster never rests.
            Changed::Cluster => tracing::debug!("the cluster has changed"),
        }
    }

    /// Takes over what can change while the agent runs, and tells of the rest.
    fn configure(&mut self, new: &AgentConfig) {
        self.agent.meta.clone_from(&new.meta);
        self.agent.capture.inbound.clone_from(&new.capture.inbound);
        self.agent.capture.exempt.clone_from(&new.capture.exempt);
        self.agent.capture.exempt_node = new.capture.exempt_node;
        if *new != self.agent {
            tracing::warn!(
                "AgentConfig has changed: but for capture.inbound, capture.exempt and capture.exemptNode it takes effect when \
                 the agent is started again"
            );
        }
    }
}

/// Ready when a watched file has changed; never when nothing is watched.
async fn changed(files: &mut Option<Watch>) {
    let Some(watch) = files else { return std::future::pending().await };
    if !watch.changed().await {
        tracing::error!("files are no longer watched; SIGHUP still reloads them");
        *files = None;
    }
}

/// Ready when the cluster has changed, and not before that moment.
async fn changed_cluster(cluster: Option<&kube::Cluster>, rested: Instant) {
    match cluster {
        Some(cluster) => drop(tokio::join!(cluster.changed(), sleep_until(rested.into()))),
        None => std::future::pending().await,
    }
}

/// As `umbra check` shows them, source lines included. A reader that is gone misses them. Those of a cluster's objects have
/// no line that anybody wrote, and may be many: the status has them.
fn print(compiled: &Compiled) {
    let of_files = compiled.report.diagnostics.iter().filter(|fault| !kube::is_of_cluster(&fault.at.file));
    let of_files = Report { diagnostics: of_files.cloned().collect() };
    let _ = write!(io::stderr(), "{}", of_files.render(&compiled.sources));
}
