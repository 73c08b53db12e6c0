//! A control group with a memory limit, of whichever version this machine has for memory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
};

/// Removed when dropped, once its processes have ended.
pub(crate) struct Group {
    path: PathBuf,
}

/// Memory that is used up in a group until this is dropped.
pub(crate) struct Fill {
    file: PathBuf,
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Group {
    pub(crate) fn new(limit: u64) -> Self {
        let root = Path::new("/sys/fs/cgroup");
        let v2 = fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|list| list.split_whitespace().any(|controller| controller == "memory"));
        let (parent, limits) = if v2 {
            fs::write(root.join("cgroup.subtree_control"), "+memory").unwrap();
            (root.to_owned(), "memory.max")
        } else {
            (root.join("memory"), "memory.limit_in_bytes")
        };
        let path = parent.join(format!("umbra-{}-{}", process::id(), next()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("{}: {error}; root is needed", path.display()));
        fs::write(path.join(limits), limit.to_string()).unwrap();
        Self { path }
    }

    /// A shell's command that enters it.
    pub(crate) fn enter(&self) -> String {
        format!("echo $$ > {}", self.path.join("cgroup.procs").display())
    }

    /// Uses up so many bytes, which the kernel cannot take back.
    pub(crate) fn fill(&self, bytes: u64) -> Fill {
        let file = PathBuf::from(format!("/dev/shm/umbra-{}-{}", process::id(), next()));
        let dd = format!("dd if=/dev/zero of={} bs=1M count={}", file.display(), bytes >> 20);
        let script = format!("{}\nexec {dd} 2> /dev/null", self.enter());
        let filled = Command::new("sh").args(["-ec", &script]).status();
        let fill = Fill { file };
        assert!(filled.unwrap().success());
        fill
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that was just killed leaves its group a moment later.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
