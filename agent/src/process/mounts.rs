//! What is mounted where, as the kernel tells it (proc_pid_mountinfo(5)).

use std::{fs, io, path::PathBuf};

#[derive(Debug, PartialEq, Eq)]
pub struct Mount {
    /// Of the file system, as `MAJOR:MINOR`.
    pub device: String,
    /// The directory of the file system that is seen there.
    pub root: String,
    pub at: PathBuf,
    /// `cgroup2`, `proc`
    pub kind: String,
    /// Of the file system, separated by commas; of cgroups of version 1 the controllers are among them.
    pub options: String,
}

/// In the order in which they were mounted.
pub fn read() -> io::Result<Vec<Mount>> {
    Ok(parse(&fs::read_to_string("/proc/self/mountinfo")?))
}

pub fn parse(text: &str) -> Vec<Mount> {
    let mount = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(2);
        let (device, root) = (fields.next()?.to_owned(), unescaped(fields.next()?));
        let at = unescaped(fields.next()?).into();
        let mut after = after.split(' ');
        let (kind, options) = (after.next()?.to_owned(), after.next_back().unwrap_or_default().to_owned());
        Some(Mount { device, root, at, kind, options })
    };
    text.lines().filter_map(mount).collect()
}

/// Spaces, tabs, new lines and backslashes stand there as `\040` and so on.
fn unescaped(path: &str) -> String {
    let escapes = [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")];
    escapes.iter().fold(path.to_owned(), |path, (code, text)| path.replace(code, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_read_with_its_root_and_its_path() {
        let text = "24 1 0:22 / /sys rw - sysfs sysfs rw\n\
                    30 24 0:26 /../.. /host/uni\\040fied rw,nosuid shared:8 - cgroup2 cgroup2 rw,nsdelegate\nnonsense\n";
        let [sys, cgroup] = &parse(text)[..] else { panic!("two mounts") };
        assert_eq!((sys.kind.as_str(), sys.root.as_str()), ("sysfs", "/"));
        assert_eq!((cgroup.device.as_str(), cgroup.root.as_str()), ("0:26", "/../.."));
        assert_eq!((&cgroup.at, cgroup.kind.as_str()), (&PathBuf::from("/host/uni fied"), "cgroup2"));
        assert_eq!(cgroup.options, "rw,nsdelegate");
    }
}
