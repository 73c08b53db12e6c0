//! A real containerd with its CRI plugin, for one node of the test: its files below a directory of its own, its pods' networks
//! made by CNI's plugins, their sandboxes with a pause process by runc.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{Netns, eventually};
use tempfile::TempDir;

use crate::cri;

const PAUSE: &str = "umbra.test/pause:1";

/// Gone when dropped, with its pods.
pub(crate) struct Containerd {
    node: Netns,
    daemon: Option<Child>,
    sandboxes: Vec<String>,
    directory: TempDir,
}

impl Containerd {
    /// Ready for pods. Networks are those of `node`.
    pub(crate) fn start(node: &Netns) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let at = directory.path();
        for folder in ["cni", "image"] {
            fs::create_dir(at.join(folder)).unwrap();
        }
        fs::write(at.join("cni/pods.conflist"), networks(at)).unwrap();
        fs::write(at.join("config.toml"), config(at)).unwrap();
        let mut containerd = Self { node: node.clone(), daemon: None, sandboxes: Vec::new(), directory };
        containerd.resume();
        let image = pause_image(&containerd.directory.path().join("image"));
        containerd.ctr(&["images", "import", "--no-unpack", image.to_str().unwrap()]);
        eventually("the image to be known", || cri::has_image(&containerd.socket(), PAUSE).then_some(()));
        containerd
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("containerd.sock")
    }

    /// Starts it again; pods have gone on meanwhile.
    pub(crate) fn resume(&mut self) {
        let at = self.directory.path();
        let log = fs::OpenOptions::new().create(true).append(true).open(at.join("log")).unwrap();
        let mut command = self.node.command("containerd");
        command.arg("--config").arg(at.join("config.toml")).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        let daemon = command.spawn().unwrap_or_else(|error| {
            panic!("cannot run containerd: {error}; run this by `cargo xtask test`, which installs it")
        });
        self.daemon = Some(daemon);
        eventually("containerd to answer", || cri::is_ready(&self.socket()).then_some(()));
    }

    /// Kills it; its pods go on.
    pub(crate) fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }

    /// Runs a pod of the namespace `shop`, in a cgroup that says nothing of its UID. Returns its network.
    pub(crate) fn run(&mut self, name: &str, uid: &str) -> Netns {
        let sandbox = cri::run(&self.socket(), name, uid, &self.cgroup())
            .unwrap_or_else(|error| panic!("no sandbox for {name}: {error}\n{}", self.log()));
        self.sandboxes.push(sandbox.clone());
        let tasks = self.ctr(&["tasks", "ls"]);
        let task = tasks.lines().find(|line| line.starts_with(&sandbox)).unwrap();
        Netns::of_process(name, task.split_whitespace().nth(1).unwrap().parse().unwrap())
    }

    fn cgroup(&self) -> String {
        let name = self.directory.path().file_name().unwrap().to_string_lossy();
        format!("/umbra{}-cri{}", process::id(), name.trim_start_matches('.'))
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]).args(arguments);
        let output = ctr.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn log(&self) -> String {
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        log.lines().rev().take(20).map(|line| format!("{line:.500}\n")).collect()
    }

    /// Processes that something here has started, and that it did not end.
    fn left(&self) -> Vec<i32> {
        let of_shim = |path: &Path| {
            let command = fs::read_to_string(path.join("cmdline")).unwrap_or_default();
            command.contains("containerd-shim") && command.contains(&*self.directory.path().to_string_lossy())
        };
        let in_cgroup = |path: &Path| {
            fs::read_to_string(path.join("cgroup")).unwrap_or_default().contains(&self.cgroup())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let left = processes.filter(|path| of_shim(path) || in_cgroup(path));
        left.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
    }
}

impl Drop for Containerd {
    // Not a panic, whatever fails: this runs while a failed test unwinds.
    fn drop(&mut self) {
        for sandbox in &self.sandboxes {
            let _ = cri::remove(&self.socket(), sandbox);
        }
        self.kill();
        for _ in 0..100 {
            let left = self.left();
            if left.is_empty() {
                break;
            }
            for pid in left {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let at = self.directory.path().to_string_lossy();
        for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
            if mount.starts_with(&*at) {
                let _ = Command::new("umount").args(["--lazy", mount]).status();
            }
        }
        for hierarchy in mounts.lines().filter(|line| line.contains(" - cgroup")) {
            let root = hierarchy.split(' ').nth(4).unwrap_or_default();
            remove(Path::new(&format!("{root}{}", self.cgroup())));
        }
    }
}

/// With those below it.
fn remove(cgroup: &Path) {
    let below = fs::read_dir(cgroup).into_iter().flatten().flatten().map(|entry| entry.path());
    below.filter(|path| path.is_dir()).for_each(|path| remove(&path));
    let _ = fs::remove_dir(cgroup);
}

fn config(at: &Path) -> String {
    let at = at.display();
    format!(
        r#"version = 2
root = "{at}/root"
state = "{at}/state"
[grpc]
address = "{at}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE}"
netns_mounts_under_state_dir = true
disable_tcp_service = true
disable_apparmor = true
# A sandbox comes last for the kernel's OOM killer, which takes a right that a test may not have.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{at}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
# Without overlayfs, which not every file system below it takes.
snapshotter = "native"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
Root = "{at}/runc"
"#
    )
}

/// A veth pair for each pod, and the node as its router.
fn networks(at: &Path) -> String {
    let ipam = serde_json::json!({
        "type": "host-local", "dataDir": at.join("addresses"), "ranges": [[{"subnet": "10.98.240.0/24"}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    let plugin = serde_json::json!({"type": "ptp", "ipam": ipam});
    serde_json::json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}).to_string()
}

/// As `docker save` writes them: with a single file, which waits for ever.
fn pause_image(at: &Path) -> PathBuf {
    fs::write(at.join("pause.c"), "int pause(void); int main() { for (;;) pause(); }").unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(at).output().unwrap_or_else(|error| {
            panic!("cannot run {program}: {error}; run this by `cargo xtask test`, which installs it")
        });
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    run("musl-gcc", &["-static", "-Os", "-o", "pause", "pause.c"]);
    fs::set_permissions(at.join("pause"), fs::Permissions::from_mode(0o755)).unwrap();
    run("tar", &["--create", "--file=layer.tar", "pause"]);
    let sum = run("sha256sum", &["layer.tar"]);
    let layer = format!("sha256:{}", sum.split(' ').next().unwrap());
    let config = serde_json::json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }, "os": "linux",
        "config": {"Entrypoint": ["/pause"]}, "rootfs": {"type": "layers", "diff_ids": [layer]},
    });
    let manifest =
        serde_json::json!([{"Config": "config.json", "RepoTags": [PAUSE], "Layers": ["layer.tar"]}]);
    fs::write(at.join("config.json"), config.to_string()).unwrap();
    fs::write(at.join("manifest.json"), manifest.to_string()).unwrap();
    run("tar", &["--create", "--file=image.tar", "manifest.json", "config.json", "layer.tar"]);
    at.join("image.tar")
}
