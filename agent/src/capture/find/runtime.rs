//! Asks a container runtime by its CRI socket (containerd, CRI-O) where a pod's network is: the process of the pod's sandbox,
//! or of a container in it, or the file by which the runtime keeps the namespace. What it answers is a hint to a place that
//! is looked at before it is taken; a runtime that hangs is left alone for a while.

mod grpc;
mod messages;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use nix::sys::statfs::{NSFS_MAGIC, statfs};
use prost::Message;

use super::{Shared, of_process};
use grpc::{CallError, Channel, Method, words};
use messages::{
    CONTAINER_RUNNING, ContainerFilter, ContainerStatusRequest, ContainerStatusResponse, Info,
    ListContainersRequest, ListContainersResponse, ListPodSandboxRequest, ListPodSandboxResponse, NODE,
    PodSandbox, PodSandboxFilter, PodSandboxStatusRequest, PodSandboxStatusResponse, SANDBOX_READY,
    StateValue, UID_LABEL, VersionRequest, VersionResponse,
};

/// For one answer. It takes a millisecond or so.
const PATIENCE: Duration = Duration::from_secs(1);
/// For all answers of one look: other namespaces wait for its end.
const LOOK: Duration = Duration::from_secs(2);
/// One that did not answer in time is left alone for this long at first, then twice that, and so on.
const REST: Duration = Duration::from_secs(5);
const REST_AT_MOST: Duration = Duration::from_secs(60);
/// Containers of a pod that are asked for a process.
const CONTAINERS: usize = 8;

const VERSION: Method = Method("Version", 64 << 10);
// Annotations come along, at most 256 KiB of each pod (Kubernetes' own limit).
const LIST_SANDBOXES: Method = Method("ListPodSandbox", 1 << 20);
const LIST_CONTAINERS: Method = Method("ListContainers", 1 << 20);
// Annotations come up to three times, and quoted.
const SANDBOX: Method = Method("PodSandboxStatus", 4 << 20);
const CONTAINER: Method = Method("ContainerStatus", 4 << 20);

/// A container runtime. Kept from look to look, so that one that hangs does not hold up each of them.
#[derive(Debug)]
pub struct Runtime {
    socket: PathBuf,
    /// Locked for a copy only.
    rest: Mutex<Rest>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    until: Option<Instant>,
    /// How often in a row it did not answer in time.
    times: u32,
}

/// Why the runtime does not say where a pod's network is.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the pod is on the host's network (hostNetwork), which it shares with everything else there")]
    OnHost,
    #[error("the container runtime {0}")]
    Call(String),
    #[error("the container runtime does not answer in time, and is left alone for a while")]
    Slow,
    #[error("the container runtime knows of no running sandbox of pod {0}")]
    Unknown(String),
    #[error("what the container runtime says of pod {0} cannot be read: {1}")]
    Unreadable(String, String),
    #[error(
        "the container runtime names neither a process of pod {0} nor a file of its network that is seen here"
    )]
    Nowhere(String),
    #[error(
        "process {0}, which the container runtime names, is not seen here: in a container the agent needs `hostPID: true`"
    )]
    Invisible(u32),
    #[error("the network of process {0} may not be looked at: it takes CAP_SYS_PTRACE")]
    Forbidden(u32),
}

impl Runtime {
    /// Nothing is asked yet.
    pub fn at(socket: PathBuf) -> Self {
        Self { socket, rest: Mutex::default() }
    }

    /// Its name and version, for a person. For a thread that may wait.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn version(&self) -> Result<String, String> {
        let asked = Channel::open(&self.socket, PATIENCE)
            .and_then(|mut channel| channel.call(VERSION, &VersionRequest {}, PATIENCE));
        let VersionResponse { runtime_name, runtime_version } =
            asked.map_err(|error| format!("{} {error}", self.socket.display()))?;
        Ok(words(&format!("{runtime_name} {runtime_version}")))
    }

    fn is_resting(&self) -> bool {
        self.rest().until.is_some_and(|until| until > Instant::now())
    }

    fn was_slow(&self) {
        let mut rest = self.rest();
        let wait = REST.saturating_mul(1 << rest.times.min(10)).min(REST_AT_MOST);
        *rest = Rest { until: Some(Instant::now() + wait), times: rest.times + 1 };
    }

    fn has_answered(&self) {
        *self.rest() = Rest::default();
    }

    fn rest(&self) -> MutexGuard<'_, Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The questions of one look.
#[derive(Debug)]
pub(super) struct Asked {
    runtime: Arc<Runtime>,
    channel: Option<Channel>,
    /// When the last question of this look must be answered.
    until: Option<Instant>,
    /// Why no further one is worth asking.
    over: Option<String>,
}

impl Asked {
    pub(super) fn new(runtime: Arc<Runtime>) -> Self {
        Self { runtime, channel: None, until: None, over: None }
    }

    pub(super) fn netns_of(&mut self, uid: &str, shared: &Shared) -> Result<PathBuf, Trouble> {
        let found = self.ask(uid, shared);
        if !matches!(found, Err(Trouble::Call(_) | Trouble::Slow)) {
            self.runtime.has_answered();
        }
        found
    }

    fn ask(&mut self, uid: &str, shared: &Shared) -> Result<PathBuf, Trouble> {
        let sandbox = self.sandbox_of(uid)?;
        let question = PodSandboxStatusRequest { pod_sandbox_id: sandbox.clone(), verbose: true };
        let PodSandboxStatusResponse { status, info } = self.call(SANDBOX, &question)?;
        let options = status.and_then(|status| status.linux?.namespaces?.options);
        if options.is_some_and(|options| options.network == NODE) {
            return Err(Trouble::OnHost);
        }
        let hint = Hint::read(&info, &sandbox, uid)?;
        if let Some(netns) = hint.leads(shared)? {
            return Ok(netns);
        }
        // CRI-O makes no process for the sandbox itself.
        for container in self.containers_of(&sandbox)? {
            let question = ContainerStatusRequest { container_id: container.clone(), verbose: true };
            let ContainerStatusResponse { info } = self.call(CONTAINER, &question)?;
            if let Some(netns) = Hint::read(&info, &container, uid)?.leads(shared)? {
                return Ok(netns);
            }
        }
        Err(Trouble::Nowhere(uid.to_owned()))
    }

    /// The newest of the pod's sandboxes: one that the kubelet has made anew comes after one that ends.
    fn sandbox_of(&mut self, uid: &str) -> Result<String, Trouble> {
        let filter = PodSandboxFilter {
            state: Some(StateValue { state: SANDBOX_READY }),
            label_selector: HashMap::from([(UID_LABEL.to_owned(), uid.to_owned())]),
        };
        let question = ListPodSandboxRequest { filter: Some(filter) };
        let ListPodSandboxResponse { items } = self.call(LIST_SANDBOXES, &question)?;
        let of_pod = |item: &PodSandbox| {
            item.state == SANDBOX_READY && item.metadata.as_ref().is_some_and(|metadata| metadata.uid == uid)
        };
        let newest = items.into_iter().filter(of_pod).max_by_key(|item| item.created_at);
        newest.map(|item| item.id).ok_or_else(|| Trouble::Unknown(uid.to_owned()))
    }

    /// Those that run, the first of them.
    fn containers_of(&mut self, sandbox: &str) -> Result<Vec<String>, Trouble> {
        let filter = ContainerFilter {
            state: Some(StateValue { state: CONTAINER_RUNNING }),
            pod_sandbox_id: sandbox.to_owned(),
        };
        let question = ListContainersRequest { filter: Some(filter) };
        let ListContainersResponse { containers } = self.call(LIST_CONTAINERS, &question)?;
        let of_sandbox = containers.into_iter().filter(|container| container.pod_sandbox_id == sandbox);
        Ok(of_sandbox.map(|container| container.id).take(CONTAINERS).collect())
    }

    fn call<A: Message + Default>(&mut self, method: Method, question: &impl Message) -> Result<A, Trouble> {
        if let Some(over) = &self.over {
            return Err(Trouble::Call(over.clone()));
        }
        if self.runtime.is_resting() {
            return Err(Trouble::Slow);
        }
        let until = *self.until.get_or_insert_with(|| Instant::now() + LOOK);
        let patience = || until.saturating_duration_since(Instant::now()).min(PATIENCE);
        let channel = match &mut self.channel {
            Some(channel) => Ok(channel),
            none => Channel::open(&self.runtime.socket, patience()).map(|channel| none.insert(channel)),
        };
        let answer = channel.and_then(|channel| channel.call(method, question, patience()));
        answer.map_err(|error| {
            if let CallError::Late(_) = error {
                self.runtime.was_slow();
                return Trouble::Slow;
            }
            let said = format!("at {} {error}", self.runtime.socket.display());
            if error.ends_the_channel() {
                self.over = Some(said.clone());
            }
            Trouble::Call(said)
        })
    }
}

/// What the runtime says of a sandbox, or of a container in it.
#[derive(Debug)]
struct Hint<'a> {
    info: Info,
    /// Its name, which is a part of that of its cgroup.
    id: &'a str,
    /// The pod's.
    uid: &'a str,
}

impl<'a> Hint<'a> {
    fn read(info: &HashMap<String, String>, id: &'a str, uid: &'a str) -> Result<Self, Trouble> {
        let unreadable =
            |error: serde_json::Error| Trouble::Unreadable(uid.to_owned(), words(&error.to_string()));
        Ok(Self { info: Info::read(info).map_err(unreadable)?, id, uid })
    }

    /// Where it leads, if that is seen here. Of a process and a file the process comes first: the file is seen only where the
    /// runtime's directory is.
    fn leads(&self, shared: &Shared) -> Result<Option<PathBuf>, Trouble> {
        let by_process = self.info.pid().map(|pid| self.of_process(pid, shared));
        match by_process {
            Some(Ok(netns)) => Ok(Some(netns)),
            Some(Err(Trouble::OnHost)) => Err(Trouble::OnHost),
            other => match (self.info.netns().map(Path::new).filter(|file| is_namespace(file)), other) {
                (Some(file), _) if matches!(shared.has(file), Ok(false)) => Ok(Some(file.to_owned())),
                (_, Some(Err(trouble))) => Err(trouble),
                _ => Ok(None),
            },
        }
    }

    /// The number may be another process's here: in another PID namespace than the runtime's, or when its own has ended. So
    /// its cgroup must name what the runtime named, or the pod.
    fn of_process(&self, pid: u32, shared: &Shared) -> Result<PathBuf, Trouble> {
        let netns = of_process(pid);
        let on_host = shared.has(&netns).map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied => Trouble::Forbidden(pid),
            _ => Trouble::Invisible(pid),
        });
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let names = |part: &str| !part.is_empty() && cgroups.contains(part);
        if !(names(self.id) || names(self.uid) || names(&self.uid.replace('-', "_"))) {
            return Err(Trouble::Invisible(pid));
        }
        if on_host? { Err(Trouble::OnHost) } else { Ok(netns) }
    }
}

/// Asked before it is opened: opening a pipe waits for who writes to it.
fn is_namespace(file: &Path) -> bool {
    statfs(file).is_ok_and(|found| found.filesystem_type() == NSFS_MAGIC)
}

#[cfg(test)]
mod tests;
