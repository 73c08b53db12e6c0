//! Finds the network namespace of a process, or of a Kubernetes pod by its UID: what the container runtime says comes first
//! where its socket is configured, since it made the pod's network; else, and where it cannot say, the pod's cgroup tells.

mod cgroups;
mod runtime;

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub use runtime::Runtime;

use super::netns::{self, Identity};
use cgroups::Cgroups;
use runtime::{Asked, Trouble};

pub(super) fn of_process(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// The pods of this node. One value is for one look: what it has read of the node is not read again.
#[derive(Debug, Default)]
pub struct Pods {
    runtime: Option<Asked>,
    cgroups: Option<Cgroups>,
    shared: Option<Shared>,
}

/// Where a pod's network is.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Why another way than the first led there.
    pub(super) note: Option<String>,
}

impl Found {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, note: None }
    }
}

impl Pods {
    /// Asks this container runtime first.
    pub fn by(runtime: Option<Arc<Runtime>>) -> Self {
        Self { runtime: runtime.map(Asked::new), ..Self::default() }
    }

    /// # Errors
    /// `NotFound` where no process of such a pod runs here. With the reasons of both ways where both were tried.
    pub(super) fn netns_of(&mut self, uid: &str) -> io::Result<Found> {
        let shared = self.shared.get_or_insert_with(Shared::read);
        let not_told = match self.runtime.as_mut().map(|runtime| runtime.netns_of(uid, shared)) {
            None => None,
            Some(Ok(path)) => return Ok(Found::at(path)),
            // Cgroups would know no better.
            Some(Err(trouble @ Trouble::OnHost)) => return Err(io::Error::other(trouble)),
            Some(Err(trouble)) => Some(trouble),
        };
        let cgroups = match &mut self.cgroups {
            Some(cgroups) => cgroups,
            none => none.insert(Cgroups::read()?),
        };
        match (cgroups.netns_of(uid, shared), not_told) {
            (Ok(path), not_told) => {
                let note = not_told.map(|trouble| format!("found by its cgroup, since {trouble}"));
                Ok(Found { path, note })
            }
            (Err(error), Some(trouble)) => {
                Err(io::Error::new(error.kind(), format!("{trouble}; and by cgroups {error}")))
            }
            (Err(error), None) => Err(error),
        }
    }
}

/// Namespaces that are no pod's own: the agent's and the host's.
#[derive(Debug)]
struct Shared(Vec<Identity>);

impl Shared {
    fn read() -> Self {
        let shared = [Path::new(netns::OWN), &of_process(1)];
        // Another PID namespace's first process says nothing about the host, and may not be looked at.
        let known = shared.iter().filter_map(|path| path.metadata().ok());
        Self(known.map(|it| netns::identity(&it)).collect())
    }

    /// Whether the file leads to one of them.
    fn has(&self, path: &Path) -> io::Result<bool> {
        path.metadata().map(|metadata| self.0.contains(&netns::identity(&metadata)))
    }
}

#[cfg(test)]
mod tests;
