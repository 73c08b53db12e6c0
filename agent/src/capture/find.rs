//! Finds the network namespace of a process, or of a Kubernetes pod by its UID: the kubelet names the cgroup of a pod
//! after it, whatever the container runtime. Where cgroups are mounted is read from the kernel, never assumed.

use std::{
    collections::VecDeque,
    fs, io,
    path::{Path, PathBuf},
};

/// Directories looked at in search of one pod: a node has some hundreds above its pods.
const MOST_LOOKED_AT: usize = 20_000;

/// Below its pods a node has a cgroup per container, and systemd's own may nest.
const DEEPEST: usize = 12;

pub(super) fn of_process(pid: u32) -> PathBuf {
    format!("/proc/{pid}/ns/net").into()
}

/// Through one of the pod's processes: all of them share its network.
///
/// # Errors
/// `NotFound` where no process of such a pod runs here.
pub(super) fn of_pod(uid: &str) -> io::Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let roots = cgroups(&mounts);
    if roots.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "no cgroup file system is mounted here"));
    }
    process_of(uid, &roots).map(of_process).ok_or_else(|| {
        io::Error::new(io::ErrorKind::NotFound, format!("no process of a pod {uid} runs on this node"))
    })
}

/// Where cgroups are mounted, those of version 2 first (also in hybrid mode, where it is below version 1's), then each
/// controller of version 1 (proc_pid_mountinfo(5)).
fn cgroups(mounts: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = mounts
        .lines()
        .filter_map(|line| {
            let (before, after) = line.split_once(" - ")?;
            let version = match after.split(' ').next()? {
                "cgroup2" => 2,
                "cgroup" => 1,
                _ => return None,
            };
            Some((version, PathBuf::from(unescaped(before.split(' ').nth(4)?))))
        })
        .collect();
    found.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    found.into_iter().map(|(_, path)| path).collect()
}

/// Spaces, tabs, new lines and backslashes stand there as `\040` and so on.
fn unescaped(path: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(path.to_owned(), |path, (code, text)| path.replace(code, text))
}

/// The first process of the pod's cgroup, or of one below.
fn process_of(uid: &str, roots: &[PathBuf]) -> Option<u32> {
    let named = |cgroup: &Path| pod_of(cgroup).is_some_and(|pod| pod == uid);
    roots.iter().find_map(|root| {
        let other_pod = |cgroup: &Path| pod_of(cgroup).is_some() && !named(cgroup);
        let pod = walk(root, other_pod, |cgroup| named(cgroup).then(|| cgroup.to_owned()))?;
        walk(&pod, |_| false, first_process)
    })
}

/// Breadth first, but for what is left out and all below it. Links are not followed.
fn walk<T>(root: &Path, left_out: impl Fn(&Path) -> bool, look: impl Fn(&Path) -> Option<T>) -> Option<T> {
    let mut waiting = VecDeque::from([(root.to_owned(), 0)]);
    for _ in 0..MOST_LOOKED_AT {
        let (path, depth) = waiting.pop_front()?;
        if let Some(found) = look(&path) {
            return Some(found);
        }
        // What has ended meanwhile has nothing below it.
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below = directories.map(|entry| entry.path()).filter(|path| depth < DEEPEST && !left_out(path));
        waiting.extend(below.map(|path| (path, depth + 1)));
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

fn first_process(cgroup: &Path) -> Option<u32> {
    // A threaded cgroup cannot be asked, and a process of another PID namespace is 0.
    let processes = fs::read_to_string(cgroup.join("cgroup.procs")).ok()?;
    processes.lines().filter_map(|pid| pid.parse().ok()).find(|pid| *pid > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "6b1f0a4e-37a5-4b1c-9d7e-0c9a3a4c1f55";

    /// A tree of cgroups with these processes.
    fn tree(cgroups: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, processes) in cgroups {
            fs::create_dir_all(root.path().join(path)).unwrap();
            fs::write(root.path().join(path).join("cgroup.procs"), processes).unwrap();
        }
        root
    }

    #[test]
    fn a_pod_is_found_under_either_driver() {
        let systemd = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod6b1f0a4e_37a5_4b1c_9d7e_0c9a3a4c1f55.slice";
        let fs = format!("kubepods/besteffort/pod{UID}");
        for pod in [systemd, &fs] {
            let container = format!("{pod}/cri-containerd-0123.scope");
            let tree = tree(&[
                ("system.slice/ssh.service", "1\n"),
                ("kubepods/pod00000000-37a5-4b1c-9d7e-0c9a3a4c1f55/c", "2\n"),
                (pod, ""),
                (&container, "0\n77\n78\n"),
            ]);
            assert_eq!(process_of(UID, &[tree.path().to_owned()]), Some(77), "{pod}");
        }
    }

    #[test]
    fn a_pod_that_is_elsewhere_or_over_is_not_found() {
        let pod = format!("kubepods/pod{UID}");
        for cgroups in [&[(pod.as_str(), "")][..], &[], &[("kubepods/pod6b1f0a4e", "5\n")]] {
            assert_eq!(process_of(UID, &[tree(cgroups).path().to_owned()]), None);
        }
    }

    #[test]
    fn of_several_hierarchies_the_one_with_the_pod_counts() {
        let (unified, memory) =
            (tree(&[("init.scope", "1\n")]), tree(&[(&format!("kubepods/pod{UID}/c"), "9\n")]));
        assert_eq!(process_of(UID, &[unified.path().to_owned(), memory.path().to_owned()]), Some(9));
    }

    #[test]
    fn mounts_are_those_of_the_kernel_in_any_mode() {
        let hybrid = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
            31 24 0:27 / /sys/fs/cgroup/memory rw,nosuid shared:8 - cgroup cgroup rw,memory\n\
            30 24 0:26 / /sys/fs/cgroup/uni\\040fied rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        let expected = ["/sys/fs/cgroup/uni fied", "/sys/fs/cgroup/memory"].map(PathBuf::from);
        assert_eq!(cgroups(hybrid), expected);
        assert!(cgroups("24 1 0:22 / /sys rw - sysfs sysfs rw\n").is_empty());
    }

    #[test]
    fn nobody_has_a_pod_that_was_never_made() {
        let error = of_pod("00000000-0000-0000-0000-000000000000").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}
