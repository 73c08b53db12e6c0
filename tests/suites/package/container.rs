//! A program in a root of its own, as container engines start it: with the capabilities that are listed, no way to gain others,
//! and a root that cannot be written. By bubblewrap, for crun and runc want control groups to themselves.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{Netns, eventually};
use tempfile::TempDir;

pub(crate) struct Container<'a> {
    pub(crate) root: &'a Path,
    pub(crate) netns: &'a Netns,
    pub(crate) program: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) capabilities: Vec<String>,
    /// Folders of the machine, each with its place inside, which is there, and how it is mounted: `--bind`, `--ro-bind`.
    pub(crate) mounts: Vec<(PathBuf, String, &'static str)>,
}

/// It runs; killed when dropped.
pub(crate) struct Running {
    /// What started it, and ends with it.
    outer: Child,
    dir: TempDir,
    ended: Option<ExitStatus>,
}

impl Container<'_> {
    pub(crate) fn start(&self) -> Running {
        let dir = tempfile::tempdir().unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = self.netns.command("setpriv");
        let bounding: String =
            self.capabilities.iter().map(|name| name.replace("CAP_", ",+").to_lowercase()).collect();
        command.arg(format!("--bounding-set=-all{bounding}")).args(["--inh-caps=-all", "--no-new-privs"]);
        command.args(["bwrap", "--die-with-parent", "--ro-bind"]).arg(self.root).arg("/");
        command.args(["--proc", "/proc", "--dev", "/dev"]);
        for (from, to, how) in &self.mounts {
            command.arg(how).arg(from).arg(to);
        }
        command.args(["--cap-drop", "ALL"]);
        for name in &self.capabilities {
            command.args(["--cap-add", name]);
        }
        // What is set for the test is not for what it starts; the socket of a service manager of its own least of all.
        command.arg("--clearenv");
        for (name, value) in &self.environment {
            command.args(["--setenv", name, value]);
        }
        command.arg("--").args(&self.program);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let outer = command.spawn().unwrap_or_else(|error| panic!("cannot run setpriv: {error}"));
        Running { outer, dir, ended: None }
    }
}

impl Running {
    pub(crate) fn pid(&self) -> i32 {
        let outer = self.outer.id();
        eventually("the program to be started", || {
            fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?.trim().parse().ok()
        })
    }

    /// Everything it wrote.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    pub(crate) fn says(&mut self, what: &str) {
        eventually(what, || {
            let log = self.log();
            assert!(self.exit_status().is_none(), "it has ended:\n{log}");
            log.contains(what).then_some(())
        });
    }

    /// SIGTERM, and its end.
    pub(crate) fn stop(mut self) -> (ExitStatus, String) {
        kill(Pid::from_raw(self.pid()), Signal::SIGTERM).unwrap();
        let status = eventually("the program to end after SIGTERM", || self.exit_status());
        (status, self.log())
    }

    pub(crate) fn exit_status(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.outer.try_wait().unwrap();
        }
        self.ended
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            // It takes the program with it.
            let _ = self.outer.kill();
            let _ = self.outer.wait();
        }
    }
}
