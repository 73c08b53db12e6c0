//! From what is written to a snapshot: files are read, the cluster's objects are added, all of it is compiled. What did not
//! change is neither parsed nor compiled again.
//!
//! Files stand and fall together: whoever writes them is told, and the last good ones stay. Objects of a cluster are many
//! people's: an error takes back the object it lies in and nothing else. A reference that leads nowhere takes back nothing; the
//! mirror it stands in is left out until there is what it names, for in a cluster services come and go.

use std::{path::PathBuf, sync::Arc};

use crate::{
    app::pods::Pods,
    config::{self, Code, Diagnostic, Report, Resources, Sources, umbra::AgentConfig},
    record::Accounts,
    relay,
    route::{Compilation, Here, Locality, Snapshot},
    source::{
        files,
        kube::{self, Cluster, Gathered, Overruled},
    },
    upstream,
};

/// How often objects are taken back before a change is refused as a whole. Each finds its errors at once as a rule.
const ROUNDS: usize = 8;

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
    /// To be put in force only when it is not refused.
    pub snapshot: Snapshot,
    pub report: Report,
    /// It has errors that keep it from being put in force.
    pub refused: bool,
    /// Where pods are enrolled by their labels: those of this node.
    pub(in crate::app) pods: Option<Pods>,
    /// What the report points into.
    pub sources: Sources,
    /// Of what is watched of it, for [`watch`](crate::source::watch).
    pub fingerprint: u64,
}

/// What is to be read anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::app) enum Changed {
    /// Both.
    Files,
    Cluster,
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
        Loader::new(self, None, Here::default()).load(Changed::Files, accounts)
    }
}

/// Reads and compiles one configuration after the other.
pub(in crate::app) struct Loader {
    source: Source,
    cluster: Option<Arc<Cluster>>,
    /// The name of this one; None: pods are not enrolled by their labels.
    node: Option<String>,
    reader: files::Reader,
    compilation: Compilation,
    /// Where the node is is known.
    is_placed: bool,
    /// What is in force of the files.
    written: Option<Arc<Written>>,
    /// The texts of both, as they were shown last.
    shown: Option<Shown>,
}

/// Of which files, with which texts of the cluster.
struct Shown {
    written: Arc<Written>,
    revision: u64,
    sources: Sources,
}

/// What was read of files.
#[derive(Debug, Default)]
struct Written {
    parts: Vec<Arc<Resources>>,
    report: Report,
    sources: Sources,
    overruled: Overruled,
}

impl Loader {
    pub(in crate::app) fn new(source: Source, cluster: Option<Arc<Cluster>>, here: Here) -> Self {
        let (node, is_placed) = (here.node.clone(), here.locality != Locality::default());
        let (reader, compilation) = (files::Reader::default(), Compilation::at(here));
        Self { source, cluster, node, reader, compilation, is_placed, written: None, shown: None }
    }

    pub(in crate::app) fn cluster(&self) -> Option<Arc<Cluster>> {
        self.cluster.clone()
    }

    /// What is to be watched.
    pub(in crate::app) fn paths(&self) -> &[PathBuf] {
        match &self.source {
            Source::Files(paths) => paths,
            Source::CommandLine(_) => &[],
        }
    }

    /// One that is refused leaves no trace: the next is compared with the last good one.
    pub(in crate::app) fn load(&mut self, what: Changed, accounts: &Accounts) -> Compiled {
        let written = match (what, &self.written) {
            (Changed::Cluster, Some(written)) => Arc::clone(written),
            _ => Arc::new(self.read()),
        };
        let fingerprint = written.sources.fingerprint();
        self.stand();
        let mut compiled = self.compile(&written, accounts);
        if let Some(cluster) = self.cluster.clone() {
            for _ in 0..ROUNDS {
                let refuses = refuses(true);
                let errors = compiled.report.diagnostics.iter();
                let errors = errors.filter(|it| refuses(it) && kube::is_of_cluster(&it.at.file));
                if !cluster.take_back(&errors.collect::<Vec<_>>()) {
                    break;
                }
                compiled = self.compile(&written, accounts);
            }
            if !compiled.refused {
                cluster.accept(&compiled.report.diagnostics);
            }
            compiled.sources = self.show(&cluster, &written);
        }
        if !compiled.refused {
            self.reader.accept();
            self.written = Some(written);
        }
        Compiled { fingerprint, ..compiled }
    }

    /// What people wrote, in files and in the cluster.
    fn show(&mut self, cluster: &Cluster, written: &Arc<Written>) -> Sources {
        let revision = cluster.revision();
        let same = |shown: &&Shown| shown.revision == revision && Arc::ptr_eq(&shown.written, written);
        if let Some(shown) = self.shown.as_ref().filter(same) {
            return shown.sources.clone();
        }
        let mut sources = written.sources.clone();
        cluster.add_texts(&written.overruled, &mut sources);
        let shown = Shown { written: Arc::clone(written), revision, sources: sources.clone() };
        self.shown = Some(shown);
        sources
    }

    /// Where the node's labels say it is, unless somebody has said so. Of what was compiled anywhere else nothing is of use.
    fn stand(&mut self) {
        let place = self.cluster.as_ref().and_then(|cluster| cluster.place());
        if let Some(locality) = place.filter(|_| !self.is_placed) {
            self.compilation = Compilation::at(Here { node: self.node.clone(), locality });
            self.is_placed = true;
        }
    }

    fn read(&mut self) -> Written {
        let (parts, report, sources) = match &self.source {
            Source::Files(paths) => self.reader.load(paths),
            Source::CommandLine(text) => {
                let (resources, report, sources) = command_line(text);
                (vec![Arc::new(resources)], report, sources)
            }
        };
        let overruled = if self.cluster.is_some() { overruled(&parts) } else { Overruled::default() };
        Written { parts, report, sources, overruled }
    }

    fn compile(&mut self, written: &Written, accounts: &Accounts) -> Compiled {
        let cluster = self.cluster.as_ref().map(|cluster| cluster.gather(&written.overruled));
        let Gathered { parts, warnings } = cluster.unwrap_or_default();
        let parts: Vec<_> = written.parts.iter().cloned().chain(parts).collect();
        let mut report = written.report.clone();
        report.diagnostics.extend(warnings);
        let agent = parts.iter().find_map(|part| part.agent.as_deref().cloned());
        let pods = self.node.as_ref().map(|node| Pods::of(node, parts.iter().map(|part| &**part)));
        let refuses = refuses(self.cluster.is_some());
        let snapshot = self.compilation.compile_unless(parts, accounts, &mut report, refuses);
        upstream::check_files(snapshot.clusters(), &mut report);
        if let Some(agent) = &agent {
            relay::tls::check(&agent.capture.tls, &mut report);
        }
        let refused = report.diagnostics.iter().any(refuses);
        Compiled { agent, snapshot, pods, report, refused, sources: written.sources.clone(), fingerprint: 0 }
    }
}

/// What of a cluster does not count beside these.
fn overruled(parts: &[Arc<Resources>]) -> Overruled {
    let metas = parts.iter().flat_map(|part| part.metas());
    let named = metas.map(|(kind, meta)| (kind, meta.namespace.clone(), meta.name.value.clone()));
    Overruled { written: named.collect(), agent: parts.iter().any(|part| part.agent.is_some()) }
}

/// What keeps a configuration from being put in force. With a cluster a mirror to a service, subset or port that is not there is
/// left out instead, and looked at again when it is.
fn refuses(with_cluster: bool) -> impl Fn(&Diagnostic) -> bool + Copy {
    let leads_nowhere = |fault: &Diagnostic| {
        matches!(fault.code, Code::UnknownHost | Code::UnknownSubset | Code::UnknownPort)
    };
    move |fault| fault.is_error() && !(with_cluster && leads_nowhere(fault))
}

fn command_line(text: &str) -> (Resources, Report, Sources) {
    const NAME: &str = "<command line>";
    let (mut resources, mut report, mut sources) =
        (Resources::default(), Report::default(), Sources::default());
    config::read(NAME, text, &mut resources, &mut report);
    sources.insert(NAME, text);
    (resources, report, sources)
}
