//! Finds a Kubernetes pod by its cgroup: the kubelet names that after the pod's UID, whatever the container runtime. Where
//! cgroups are mounted is read from the kernel, never assumed.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs, io,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use super::{Shared, of_process};
use crate::process::mounts::{self, Mount};

/// Directories looked at in search of pods: a node has some hundreds above and beside its pods.
const MOST_LOOKED_AT: usize = 20_000;

/// Below its pods a node has a cgroup per container, and systemd's own may nest.
const DEEPEST: usize = 12;

/// The pods of this node, by their cgroups. These are looked through once, when the first pod is asked for: one value is
/// for one look.
#[derive(Debug)]
pub(super) struct Cgroups {
    trees: Vec<Tree>,
}

/// A hierarchy of cgroups.
#[derive(Debug)]
struct Tree {
    root: PathBuf,
    /// The cgroup of each pod in it, by UID. None before somebody asks.
    pods: Option<HashMap<String, PathBuf>>,
}

/// Why a pod's network is not found. Of several reasons the last here says most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Missing {
    /// Nor any other pod.
    NoPods,
    NotHere,
    /// It has processes that have no number here.
    Invisible,
    OnHost,
    Forbidden,
}

impl Cgroups {
    pub(super) fn read() -> io::Result<Self> {
        let roots = cgroups(mounts::read()?);
        Ok(Self { trees: roots.into_iter().map(Tree::new).collect() })
    }

    /// Through one of the pod's processes: all of them share its network.
    ///
    /// # Errors
    /// `NotFound` where no process of such a pod runs here.
    pub(super) fn netns_of(&mut self, uid: &str, shared: &Shared) -> io::Result<PathBuf> {
        let found = process_of(uid, &mut self.trees, |pid| whose(pid, shared));
        found.map(of_process).map_err(|missing| missing.of(uid))
    }
}

/// Where cgroups are mounted, those of version 2 first (also in hybrid mode, where it is below version 1's), then each
/// controller of version 1; the same tree once. In a container with a cgroup namespace of its own the host's are those that
/// somebody has mounted there from outside.
fn cgroups(mut mounts: Vec<Mount>) -> Vec<PathBuf> {
    let mut known = HashSet::new();
    mounts.retain(|mount| {
        matches!(mount.kind.as_str(), "cgroup" | "cgroup2")
            && known.insert((mount.device.clone(), mount.root.clone()))
    });
    mounts.sort_by_key(|mount| mount.kind != "cgroup2");
    mounts.into_iter().map(|mount| mount.at).collect()
}

impl Tree {
    fn new(root: PathBuf) -> Self {
        Self { root, pods: None }
    }

    /// What is below a pod is the pod's own, also where it is a node itself.
    fn pods(&mut self) -> &HashMap<String, PathBuf> {
        self.pods.get_or_insert_with(|| {
            let mut pods = HashMap::new();
            let _: Option<()> = walk(&self.root, |cgroup| {
                let pod = pod_of(cgroup);
                let descend = pod.is_none();
                if let Some(uid) = pod {
                    pods.entry(uid).or_insert_with(|| cgroup.to_owned());
                }
                ControlFlow::Continue(descend)
            });
            pods
        })
    }
}

/// The first process of the pod's cgroup, or of one below, that is in a namespace of the pod's. Runtimes have helpers there
/// that stay in the host's (CRI-O's conmon).
fn process_of(
    uid: &str,
    trees: &mut [Tree],
    whose: impl Fn(u32) -> Result<(), Missing>,
) -> Result<u32, Missing> {
    let mut missing = Missing::NoPods;
    for tree in trees {
        let pods = tree.pods();
        if !pods.is_empty() {
            missing = missing.max(Missing::NotHere);
        }
        let Some(cgroup) = pods.get(uid) else { continue };
        let found = walk(cgroup, |cgroup| {
            for pid in processes(cgroup) {
                // One of a PID namespace that is not below the agent's is 0.
                let judged = if pid == 0 { Err(Missing::Invisible) } else { whose(pid) };
                match judged {
                    Ok(()) => return ControlFlow::Break(pid),
                    Err(why) => missing = missing.max(why),
                }
            }
            ControlFlow::Continue(true)
        });
        if let Some(pid) = found {
            return Ok(pid);
        }
    }
    Err(missing)
}

/// Whether a process is in a namespace that is its pod's own.
fn whose(pid: u32, shared: &Shared) -> Result<(), Missing> {
    match shared.has(&of_process(pid)) {
        Ok(true) => Err(Missing::OnHost),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Missing::Forbidden),
        // It has just ended.
        Err(_) => Err(Missing::NotHere),
    }
}

/// Breadth first: `visit` is given each cgroup and says whether to go on below it. Links are not followed.
fn walk<T>(root: &Path, mut visit: impl FnMut(&Path) -> ControlFlow<T, bool>) -> Option<T> {
    let mut waiting = VecDeque::from([(root.to_owned(), 0)]);
    for _ in 0..MOST_LOOKED_AT {
        let (path, depth) = waiting.pop_front()?;
        match visit(&path) {
            ControlFlow::Break(found) => return Some(found),
            ControlFlow::Continue(false) => continue,
            ControlFlow::Continue(true) if depth == DEEPEST => continue,
            ControlFlow::Continue(true) => {}
        }
        // What has ended meanwhile has nothing below it.
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(directories.map(|entry| (entry.path(), depth + 1)));
    }
    None
}

/// The UID in the name of a pod's cgroup: `pod<uid>`, as the cgroupfs driver has it, or
/// `kubepods-burstable-pod<uid with _>.slice`, as systemd's has.
fn pod_of(cgroup: &Path) -> Option<String> {
    let name = cgroup.file_name()?.to_str()?;
    match name.strip_suffix(".slice") {
        Some(slice) => Some(slice.rsplit_once("-pod")?.1.replace('_', "-")),
        None => name.strip_prefix("pod").map(str::to_owned),
    }
}

/// A threaded cgroup cannot be asked.
fn processes(cgroup: &Path) -> Vec<u32> {
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    processes.lines().filter_map(|pid| pid.parse().ok()).collect()
}

impl Missing {
    fn of(self, uid: &str) -> io::Error {
        let none = format!("no process of a pod {uid} runs on this node");
        let (kind, why) = match self {
            Self::NoPods => (
                io::ErrorKind::NotFound,
                format!(
                    "{none}, nor of any other pod; in a container the agent needs the host's /sys/fs/cgroup, mounted anywhere"
                ),
            ),
            Self::NotHere => (io::ErrorKind::NotFound, none),
            Self::Invisible => (
                io::ErrorKind::NotFound,
                format!(
                    "the processes of pod {uid} cannot be seen from here: in a container the agent needs `hostPID: true`"
                ),
            ),
            Self::OnHost => (
                io::ErrorKind::Other,
                format!(
                    "what runs of pod {uid} is on the host's network (hostNetwork), which it shares with everything else there"
                ),
            ),
            Self::Forbidden => (
                io::ErrorKind::PermissionDenied,
                format!("the network of pod {uid} may not be looked at: it takes CAP_SYS_PTRACE"),
            ),
        };
        io::Error::new(kind, why)
    }
}

#[cfg(test)]
mod tests;
