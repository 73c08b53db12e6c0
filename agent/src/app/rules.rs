//! The rules in force: loaded, compiled, swapped when they change. A change with faults is reported in full and the
//! last good configuration stays.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::Arc,
};

use anyhow::{Context as _, bail};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch as channel,
};

use super::{enrolled::Enrolled, namespaces::Wanted, pods::Pods};
use crate::{
    admin::Configuration,
    capture::{Endpoints, Enrolment},
    config::{self, Report, Resources, Sources, umbra::AgentConfig},
    connection::Node,
    record::Accounts,
    relay,
    route::{Compilation, Here, Snapshot},
    source::{Watch, files, watch},
    upstream,
};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files and directories, watched.
    Files(Vec<PathBuf>),
    /// The quick form's text; never changes.
    CommandLine(String),
}

/// A configuration, read and compiled, with every fault of either step.
#[derive(Debug)]
pub struct Compiled {
    pub agent: Option<AgentConfig>,
    /// To be put in force only when the report has no errors.
    pub snapshot: Snapshot,
    /// Where pods are enrolled by their labels: those of this node.
    pub(super) pods: Option<Pods>,
    pub report: Report,
    /// What the report points into.
    pub sources: Sources,
}

impl Source {
    /// Reads everything anew.
    pub fn read(&self) -> (Resources, Report, Sources) {
        match self {
            Self::Files(paths) => files::load(paths),
            Self::CommandLine(text) => command_line(text),
        }
    }

    /// Reads everything anew and compiles it.
    pub fn compile(self, accounts: &Accounts) -> Compiled {
        Loader::new(self, Here::default()).load(accounts)
    }
}

/// Reads and compiles one configuration after the other; what did not change is neither parsed nor compiled again.
#[derive(Debug)]
pub(super) struct Loader {
    source: Source,
    /// The name of this one; None: pods are not enrolled by their labels.
    node: Option<String>,
    reader: files::Reader,
    compilation: Compilation,
}

impl Loader {
    pub(super) fn new(source: Source, here: Here) -> Self {
        let node = here.node.clone();
        Self { source, node, reader: files::Reader::default(), compilation: Compilation::at(here) }
    }

    /// One with errors leaves no trace: the next is compared with the last good one.
    fn load(&mut self, accounts: &Accounts) -> Compiled {
        let (parts, mut report, sources) = match &self.source {
            Source::Files(paths) => self.reader.load(paths),
            Source::CommandLine(text) => {
                let (resources, report, sources) = command_line(text);
                (vec![Arc::new(resources)], report, sources)
            }
        };
        let agent = parts.iter().find_map(|part| part.agent.as_deref().cloned());
        let pods = self.node.as_ref().map(|node| Pods::of(node, parts.iter().map(|part| &**part)));
        let snapshot = self.compilation.compile(parts, accounts, &mut report);
        upstream::check_files(snapshot.clusters(), &mut report);
        if let Some(agent) = &agent {
            relay::tls::check(&agent.capture.tls, &mut report);
        }
        if !report.has_errors() {
            self.reader.accept();
        }
        Compiled { agent, snapshot, pods, report, sources }
    }
}

fn command_line(text: &str) -> (Resources, Report, Sources) {
    const NAME: &str = "<command line>";
    let (mut resources, mut report, mut sources) =
        (Resources::default(), Report::default(), Sources::default());
    config::read(NAME, text, &mut resources, &mut report);
    sources.insert(NAME, text);
    (resources, report, sources)
}

/// The configuration an agent starts with.
///
/// # Errors
/// When it has faults; they are printed with their places.
pub(super) fn first(loader: &mut Loader, accounts: &Accounts) -> anyhow::Result<Compiled> {
    let compiled = loader.load(accounts);
    print(&compiled);
    if compiled.report.has_errors() {
        bail!("the configuration is refused, nothing was started; `umbra check` shows the same findings");
    }
    Ok(compiled)
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
    /// Reloads on SIGHUP and when a file changes, until `stop` is ready.
    ///
    /// # Errors
    /// When signals or files cannot be watched.
    pub(super) async fn keep(&mut self, loaded: u64, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let mut hang_up = signal(SignalKind::hangup()).context("listen for SIGHUP")?;
        let mut files = match &self.loader.source {
            Source::Files(paths) => Some(watch(paths, loaded)?),
            Source::CommandLine(_) => None,
        };
        let mut stop = std::pin::pin!(stop);
        loop {
            tokio::select! {
                () = &mut stop => return Ok(()),
                _ = hang_up.recv() => self.reload(),
                () = changed(&mut files) => self.reload(),
            }
        }
    }

    fn reload(&mut self) {
        let compiled = self.loader.load(&self.accounts);
        print(&compiled);
        if compiled.report.has_errors() {
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
        self.node.snapshot.store(Arc::new(compiled.snapshot));
        self.published.accepted(self.agent.clone(), compiled.sources, &compiled.report);
        // A namespace whose map cannot be written goes on with the endpoints it had; the relay asks the new rules.
        if let Err(error) = capture(self.node, self.enrolled) {
            tracing::error!("{error:#}");
        }
        self.accounts.forget_unused();
        super::memory::give_back();
        tracing::info!(ports = self.node.snapshot.load().captured_ports().len(), "new rules are in force");
    }
}

impl Keeper<'_> {
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

/// As `umbra check` shows them, source lines included. A reader that is gone misses them.
fn print(compiled: &Compiled) {
    let _ = write!(io::stderr(), "{}", compiled.report.render(&compiled.sources));
}
