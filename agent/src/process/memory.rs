//! Memory, against the limits of the control groups this process is in: at a limit the kernel kills. Files in memory do not
//! count, for the kernel takes those back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{
    Usage,
    mounts::{self, Mount},
};

/// The groups with memory of their own that this process is in, innermost first.
#[derive(Clone, Debug)]
pub struct Memory {
    version: &'static Version,
    groups: Vec<PathBuf>,
}

/// What the files are called.
#[derive(Debug)]
struct Version {
    name: &'static str,
    used: &'static str,
    /// The lowest counts. At `high` the kernel slows a process down until it hardly runs.
    limits: &'static [&'static str],
    /// Of `memory.stat`: files in memory, those of groups inside included.
    files: [&'static str; 2],
}

static V1: Version = Version {
    name: "v1",
    used: "memory.usage_in_bytes",
    limits: &["memory.limit_in_bytes"],
    files: ["total_inactive_file", "total_active_file"],
};
static V2: Version = Version {
    name: "v2",
    used: "memory.current",
    limits: &["memory.max", "memory.high"],
    files: ["inactive_file", "active_file"],
};

/// More than any machine has: what version 1 says for "no limit" is a little below 2^63.
const NO_LIMIT: u64 = 1 << 62;

impl Memory {
    /// Of this process; None where no group accounts for memory.
    pub fn own() -> Option<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = mounts::read().ok()?;
        let of_v1 = || Some((&V1, place(&groups, &mounts, "memory")?));
        let of_v2 = || Some((&V2, place(&groups, &mounts, "")?));
        // With both mounted, memory belongs to one of them.
        [of_v1(), of_v2()].into_iter().flatten().find_map(|(version, (mount, own))| {
            let groups: Vec<_> = own
                .ancestors()
                .take_while(|group| group.starts_with(&mount))
                .filter(|group| group.join(version.used).exists())
                .map(Path::to_owned)
                .collect();
            (!groups.is_empty()).then_some(Self { version, groups })
        })
    }

    /// `v1` or `v2`.
    pub fn version(&self) -> &'static str {
        self.version.name
    }

    /// Of the group that is fullest; None when none has a limit.
    pub fn usage(&self) -> Option<Usage> {
        let usages = self.groups.iter().filter_map(|group| self.version.usage(group));
        usages.max_by_key(|usage| u128::from(usage.used) * 1_000_000 / u128::from(usage.limit.max(1)))
    }
}

impl Version {
    fn usage(&self, group: &Path) -> Option<Usage> {
        let limit = self.limits.iter().filter_map(|name| number(&group.join(name))).min()?;
        if limit >= NO_LIMIT {
            return None;
        }
        let taken = number(&group.join(self.used))?;
        // The statistics of a group cost more to read than the rest, and matter only when it seems full.
        let used = if taken > limit / 2 { taken.saturating_sub(self.files(group)) } else { taken };
        Some(Usage { used, limit })
    }

    fn files(&self, group: &Path) -> u64 {
        let statistics = fs::read_to_string(group.join("memory.stat")).unwrap_or_default();
        let of_files = |line: &str| {
            let (name, bytes) = line.split_once(' ')?;
            self.files.contains(&name).then(|| bytes.trim().parse::<u64>().ok()).flatten()
        };
        statistics.lines().filter_map(of_files).sum()
    }
}

/// None for `max`, and for a file that is not there.
fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Where the hierarchy of a controller is mounted (no name: that of version 2), and this process's group in it.
fn place(groups: &str, mounts: &[Mount], controller: &str) -> Option<(PathBuf, PathBuf)> {
    let names = |list: &str| list.split(',').any(|name| name == controller);
    let group = groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        names(fields.next()?).then(|| fields.next()).flatten()
    })?;
    let found = mounts.iter().find(|mount| {
        let is_wanted = match mount.kind.as_str() {
            "cgroup2" => controller.is_empty(),
            "cgroup" => !controller.is_empty() && names(&mount.options),
            _ => false,
        };
        // Of what is mounted from outside of the cgroup namespace (cgroup_namespaces(7)) nobody can tell where this process is.
        is_wanted && !mount.root.starts_with("/..")
    })?;
    // A container sees its own group as the root of the mount, whatever its own path is called.
    let inside = Path::new(group).strip_prefix(&found.root).unwrap_or(Path::new(""));
    let own = found.at.join(inside);
    Some((found.at.clone(), if own.is_dir() { own } else { found.at.clone() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(dir: &Path, files: &[(&str, &str)]) -> PathBuf {
        for (name, text) in files {
            fs::write(dir.join(name), text).unwrap();
        }
        dir.to_owned()
    }

    #[test]
    fn files_in_memory_do_not_count() {
        let dir = tempfile::tempdir().unwrap();
        let stat = "anon 1\ninactive_file 300\nactive_file 100\nfile 9999\n";
        let files = [("memory.current", "900\n"), ("memory.max", "1000\n"), ("memory.stat", stat)];
        let memory = Memory { version: &V2, groups: vec![group(dir.path(), &files)] };
        assert_eq!(memory.usage(), Some(Usage { used: 500, limit: 1000 }));
        group(dir.path(), &[("memory.high", "950\n")]);
        assert_eq!(memory.usage(), Some(Usage { used: 500, limit: 950 }));
        group(dir.path(), &[("memory.high", "max\n"), ("memory.max", "max\n")]);
        assert_eq!(memory.usage(), None);

        let stat = "cache 5\ntotal_inactive_file 30\ntotal_active_file 20\n";
        let none = ("memory.limit_in_bytes", "9223372036854771712\n");
        let files = [("memory.usage_in_bytes", "90\n"), none, ("memory.stat", stat)];
        let memory = Memory { version: &V1, groups: vec![group(dir.path(), &files)] };
        assert_eq!(memory.usage(), None);
        group(dir.path(), &[("memory.limit_in_bytes", "100\n")]);
        assert_eq!(memory.usage(), Some(Usage { used: 40, limit: 100 }));
    }

    #[test]
    fn the_fullest_group_counts() {
        let (inner, outer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let limit = ("memory.max", "1000\n");
        let inner = group(inner.path(), &[("memory.current", "100"), limit, ("memory.stat", "")]);
        let outer = group(outer.path(), &[("memory.current", "950"), limit, ("memory.stat", "")]);
        let memory = Memory { version: &V2, groups: vec![inner, outer] };
        assert_eq!(memory.usage(), Some(Usage { used: 950, limit: 1000 }));
    }

    #[test]
    fn the_group_is_found_wherever_it_is_mounted() {
        let place = |groups: &str, mounts: &str, controller: &str| {
            super::place(groups, &mounts::parse(mounts), controller)
        };
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        fs::create_dir_all(dir.path().join("system.slice/umbra.service")).unwrap();
        let mounts = format!(
            "24 1 0:2 / /sys rw - sysfs sysfs rw\n31 24 0:29 / {at}/v1 rw - cgroup cgroup rw,cpu\n\
             32 24 0:30 / {at} rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
        );
        let (mount, own) = place("0::/system.slice/umbra.service\n", &mounts, "").unwrap();
        assert_eq!((mount.as_path(), own), (dir.path(), dir.path().join("system.slice/umbra.service")));
        // A container whose group's path means nothing in what it sees.
        let (_, own) = place("0::/kubepods/pod1/abc\n", &mounts, "").unwrap();
        assert_eq!(own, dir.path());
        // The node's, beside its own, as the agent of a DaemonSet has it.
        let both = format!("31 24 0:30 /../../.. / ro - cgroup2 cgroup2 rw\n{mounts}");
        assert_eq!(place("0::/\n", &both, "").unwrap().0, dir.path());
        assert_eq!(place("4:memory:/\n0::/\n", &mounts, "memory"), None);
        let mounts = format!("32 31 0:30 / {at} rw - cgroup cgroup rw,cpu,memory\n");
        assert!(place("4:cpu,memory:/system.slice\n", &mounts, "memory").is_some());
    }
}
