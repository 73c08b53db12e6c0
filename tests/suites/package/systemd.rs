//! A Debian that is booted: its own systemd as the first process of a PID namespace, in a network of the test's, so that
//! the package and its unit meet the one they are written for. Ends, with everything in it, when dropped.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{Netns, eventually};

use crate::{debian::Debian, output};

/// Enters a control group, and namespaces of its own, with the mounts that a container engine would make; of devices, those
/// that every program may use. `$1` is the root, `$2` the control group.
const BOOT: &str = r#"
echo $$ >"$2/cgroup.procs"
exec unshare --fork --kill-child --pid --mount --uts --ipc --cgroup sh -ec '
    mount --make-rprivate /
    mount --bind "$1" "$1"
    mount -t proc proc "$1/proc"
    mount -t sysfs -o ro sysfs "$1/sys"
    mount -t cgroup2 cgroup2 "$1/sys/fs/cgroup"
    mount -t tmpfs -o mode=755 tmpfs "$1/run"
    mount -t tmpfs -o mode=755 tmpfs "$1/dev"
    for device in null zero full random urandom tty; do
        touch "$1/dev/$device"
        mount --bind "/dev/$device" "$1/dev/$device"
    done
    ln -s /proc/self/fd "$1/dev/fd"
    exec chroot "$1" env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd
' sh "$1"
"#;

/// What sets up a machine, which this is not: its settings are those of the machine that tests.
const WANTS: [&str; 4] = [
    "usr/lib/systemd/system/sysinit.target.wants",
    "usr/lib/systemd/system/multi-user.target.wants",
    "etc/systemd/system/sysinit.target.wants",
    "etc/systemd/system/timers.target.wants",
];

pub(crate) struct Systemd<'a> {
    debian: &'a Debian,
    outer: Child,
    first: i32,
    cgroup: PathBuf,
}

impl<'a> Systemd<'a> {
    /// Boots it, in this network.
    pub(crate) fn boot(debian: &'a Debian, netns: &Netns) -> Self {
        let root = debian.root();
        for wants in WANTS {
            let _ = fs::remove_dir_all(root.join(wants));
        }
        let target = root.join("etc/systemd/system/default.target");
        symlink("/lib/systemd/system/multi-user.target", target).unwrap();
        // With one it is not booted for the first time, when systemd would enable what it likes.
        fs::write(root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let name = root.file_name().unwrap().to_string_lossy();
        let cgroup = cgroups().join(format!("umbra-systemd{name}"));
        fs::create_dir(&cgroup).unwrap();
        let mut boot = netns.command("sh");
        let said = root.join("tmp/boot.log");
        boot.args(["-ec", BOOT, "sh"]).arg(root).arg(&cgroup);
        boot.stdin(Stdio::null()).stderr(File::create(&said).unwrap());
        let outer = boot.spawn().unwrap_or_else(|error| panic!("cannot run sh: {error}"));
        let mut systemd = Self { debian, outer, first: 0, cgroup };
        systemd.first = eventually("the first process", || {
            let ended = systemd.outer.try_wait().unwrap();
            assert!(ended.is_none(), "it does not boot: {}", fs::read_to_string(&said).unwrap());
            let outer = systemd.outer.id();
            let children = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).ok()?;
            children.trim().parse().ok()
        });
        eventually("systemd to be up", || {
            // `degraded` would be told by the exit status.
            let asked = systemd.asked(&["systemctl", "is-system-running", "--wait"]);
            asked.status.success().then_some(())
        });
        systemd
    }

    /// A program of this Debian, beside its first process.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--net", "--root", "--wd"]);
        command.args(["--target", &self.first.to_string()]).args(words).env_clear();
        command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    fn asked(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    pub(crate) fn run(&self, words: &[&str]) -> String {
        output(&mut self.command(words))
    }

    /// Runs dpkg, whose scripts ask systemd for what they want.
    pub(crate) fn dpkg(&self, words: &[&str]) -> String {
        self.run(&[&["dpkg"], words].concat())
    }

    /// What is known of umbra.service by this name.
    pub(crate) fn property(&self, name: &str) -> String {
        self.run(&["systemctl", "show", "--value", "--property", name, "umbra"]).trim().to_owned()
    }

    /// Its process, as this machine knows it.
    pub(crate) fn agent(&self) -> i32 {
        let processes = self.cgroup.join("system.slice/umbra.service/cgroup.procs");
        fs::read_to_string(processes).unwrap().trim().parse().unwrap()
    }

    /// Everything that it wrote.
    pub(crate) fn journal(&self) -> String {
        self.run(&["journalctl", "--unit", "umbra", "--no-pager", "--output", "cat"])
    }

    /// Settings of this Debian's own for the unit, beside those of the package.
    pub(crate) fn adjust(&self, settings: &str) {
        let folder = self.debian.root().join("etc/systemd/system/umbra.service.d");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("test.conf"), settings).unwrap();
        self.run(&["systemctl", "daemon-reload"]);
    }
}

impl Drop for Systemd<'_> {
    fn drop(&mut self) {
        // The kernel ends everything that has it for its first process.
        if self.first == 0 {
            let _ = self.outer.kill();
        } else {
            let _ = kill(Pid::from_raw(self.first), Signal::SIGKILL);
        }
        let _ = self.outer.wait();
        remove(&self.cgroup);
    }
}

/// Where the kernel's control groups of version 2 are.
fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let unified = mounts.lines().find(|line| line.contains(" - cgroup2 ")).unwrap();
    unified.split(' ').nth(4).unwrap().into()
}

/// With those below it.
fn remove(cgroup: &Path) {
    for below in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if below.path().is_dir() {
            remove(&below.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}
