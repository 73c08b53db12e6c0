//! A single thread of a process that stands still, as one that hangs does.

use std::fs;

use nix::{
    sys::{
        ptrace::{self, Options},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};

/// Stands still until it is woken. Only the thread that stopped it can do that.
#[must_use = "woken when dropped"]
pub(crate) struct Hung(Pid);

impl Hung {
    pub(crate) fn thread(process: u32, name: &str) -> Self {
        let named = |thread: &fs::DirEntry| {
            fs::read_to_string(thread.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
        };
        let mut threads = fs::read_dir(format!("/proc/{process}/task")).unwrap().map(Result::unwrap);
        let thread = threads.find(named).unwrap_or_else(|| panic!("no thread {name}"));
        let thread = Pid::from_raw(thread.file_name().to_str().unwrap().parse().unwrap());
        ptrace::seize(thread, Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(WaitPidFlag::__WALL)).unwrap();
        Self(thread)
    }

    pub(crate) fn wake(self) {}
}

impl Drop for Hung {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
}
