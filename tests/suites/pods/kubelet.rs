//! What a kubelet and a container runtime make of a pod: cgroups by its UID, with the processes of its containers.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Child},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use support::{Netns, eventually};

/// Who makes the cgroups of pods and containers, and by which names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    /// containerd, with the systemd driver.
    Containerd,
    /// The same with the cgroupfs driver.
    Cgroupfs,
    /// CRI-O without infra containers: nothing lives as long as the pod but its helper, which stays on the host's network.
    Crio,
}

/// A pod's cgroups and processes, gone when dropped.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) uid: String,
    runtime: Runtime,
    pod: PathBuf,
    netns: Netns,
    /// What lives as long as the pod: its pause process, or CRI-O's helper.
    _lasting: Process,
    container: Option<Process>,
}

/// A process in a cgroup of its own.
#[derive(Debug)]
struct Process {
    cgroup: PathBuf,
    child: Child,
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// Where the kernel's cgroups of version 2 are.
pub(crate) fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
    unified.split(' ').nth(4).unwrap().into()
}

impl Sandbox {
    /// A pod whose network is `netns`, on a node that is `host`.
    pub(crate) fn new(runtime: Runtime, netns: &Netns, host: &Netns) -> Self {
        let uid = format!("6b1f0a4e-37a5-4b1c-9d7e-{:06x}{:06x}", process::id(), next());
        Self::of(uid, runtime, netns, host)
    }

    fn of(uid: String, runtime: Runtime, netns: &Netns, host: &Netns) -> Self {
        // A tree of this program's own, beside others' of other programs.
        let top = format!("umbra{}", process::id());
        let pod = cgroups().join(match runtime {
            Runtime::Cgroupfs => format!("{top}-kubepods/burstable/pod{uid}"),
            Runtime::Containerd | Runtime::Crio => {
                let (class, uid) = (format!("{top}-kubepods-burstable"), uid.replace('-', "_"));
                format!("{top}-kubepods.slice/{class}.slice/{class}-pod{uid}.slice")
            }
        });
        let lasting = match runtime {
            Runtime::Crio => Process::start(&pod, &format!("crio-conmon-{}.scope", next()), host),
            _ => Process::start(&pod, &container(runtime), netns),
        };
        let mut sandbox =
            Self { uid, runtime, pod, netns: netns.clone(), _lasting: lasting, container: None };
        sandbox.start();
        sandbox
    }

    /// The same pod after the kubelet has made its sandbox anew, with another network.
    pub(crate) fn anew(self, netns: &Netns, host: &Netns) -> Self {
        let (uid, runtime) = (self.uid.clone(), self.runtime);
        drop(self);
        Self::of(uid, runtime, netns, host)
    }

    /// Starts its container, or starts it again.
    pub(crate) fn start(&mut self) {
        drop(self.container.take());
        self.container = Some(Process::start(&self.pod, &container(self.runtime), &self.netns));
    }
}

fn container(runtime: Runtime) -> String {
    let id = format!("{:08x}", next());
    match runtime {
        Runtime::Containerd => format!("cri-containerd-{id}.scope"),
        Runtime::Cgroupfs => id,
        Runtime::Crio => format!("crio-{id}.scope"),
    }
}

impl Process {
    fn start(pod: &Path, name: &str, netns: &Netns) -> Self {
        let cgroup = pod.join(name);
        // Another test may just be removing what was the last one's above it.
        eventually("its cgroup", || fs::create_dir_all(&cgroup).ok());
        let child = netns.command("sleep").arg("1000").spawn().unwrap();
        fs::write(cgroup.join("cgroup.procs"), child.id().to_string()).unwrap();
        Self { cgroup, child }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        remove(&self.cgroup);
    }
}

/// With those above it that are empty now. The kernel needs a moment after the last process.
fn remove(cgroup: &Path) {
    for _ in 0..100 {
        match fs::remove_dir(cgroup) {
            Err(error) if error.kind() == std::io::ErrorKind::ResourceBusy => {
                thread::sleep(Duration::from_millis(5));
            }
            _ => break,
        }
    }
    let mut above = cgroup.parent();
    while let Some(path) = above.filter(|path| path.to_string_lossy().contains("umbra")) {
        if fs::remove_dir(path).is_err() {
            return;
        }
        above = path.parent();
    }
}
