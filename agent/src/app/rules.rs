//! The rules in force: loaded, compiled, swapped when they change. A change with faults is reported in full and the
//! last good configuration stays.

use std::{path::PathBuf, sync::Arc};

use anyhow::bail;
use arc_swap::ArcSwap;
use tokio::signal::unix::{SignalKind, signal};

use super::heart::Enrolled;
use crate::{
    config::{self, Report, Resources},
    connection::Node,
    record::Accounts,
    route::Snapshot,
    source::{Sources, files},
};

/// Where the configuration comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// Files and directories, watched.
    Files(Vec<PathBuf>),
    /// The quick form's text; never changes.
    CommandLine(String),
}

impl Source {
    /// Reads everything anew.
    pub fn load(&self) -> (Resources, Report, Sources) {
        match self {
            Self::Files(paths) => files::load(paths),
            Self::CommandLine(text) => {
                let (mut resources, mut report) = (Resources::default(), Report::default());
                config::read("<command line>", text, &mut resources, &mut report);
                (resources, report, Sources::one("<command line>", text))
            }
        }
    }

    /// Reads and compiles; every fault of either is in the report.
    pub fn compile(&self, accounts: &Accounts) -> (Resources, Snapshot, Report, Sources) {
        let (resources, mut report, sources) = self.load();
        let snapshot = Snapshot::compile(&resources, accounts, &mut report);
        (resources, snapshot, report, sources)
    }
}

pub(super) struct Rules {
    source: Source,
    accounts: Arc<Accounts>,
    first: Snapshot,
}

impl Rules {
    /// The configuration an agent starts with.
    ///
    /// # Errors
    /// When it has faults; they are printed with their places.
    pub(super) fn first(source: Source) -> anyhow::Result<(Self, Resources)> {
        let accounts = Arc::new(Accounts::default());
        let (resources, snapshot, report, sources) = source.compile(&accounts);
        say(&report, &sources);
        if report.has_errors() {
            bail!("the configuration is refused; nothing was started");
        }
        Ok((Self { source, accounts, first: snapshot }, resources))
    }

    pub(super) fn accounts(&self) -> Arc<Accounts> {
        Arc::clone(&self.accounts)
    }
}

/// Reloads on SIGHUP and when a file changes, until `stop` is ready.
pub(super) async fn keep_current(
    rules: &Rules,
    node: &Node,
    enrolled: &Enrolled,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut changes = rules.source.watch()?;
    let mut stop = std::pin::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => return Ok(()),
            _ = hang_up.recv() => rules.reload(node, enrolled),
            () = changes.changed() => rules.reload(node, enrolled),
        }
    }
}
