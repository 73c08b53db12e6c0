//! Container runtimes themselves, with folders of their own: they take the image, by the name that the chart has, and run it.

use std::{
    fs,
    path::Path,
    process::{self, Child, Command, Stdio},
};

use support::{Netns, eventually};

use crate::{output, packaged};

const NAME: &str = concat!("docker.io/library/umbra:", env!("CARGO_PKG_VERSION"));
const SAYS: &str = concat!("umbra ", env!("CARGO_PKG_VERSION"), "\n");

/// podman and crun. They look at control groups though they are told to use none, and refuse a machine with both versions:
/// they see one of the newer.
const PODMAN: &str = r#"
mount --make-rprivate /
umount --lazy /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
podman() {
    command podman --root "$1/root" --runroot "$1/run" --tmpdir "$1/tmp" --storage-driver vfs --cgroup-manager cgroupfs \
        --runtime crun --events-backend none "${@:2}"
}
podman "$1" load --quiet --input "$2" >&2
podman "$1" run --rm --network none --cgroups disabled --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 \
    --read-only --cap-drop all --security-opt no-new-privileges "$3" --version
"#;

#[test]
fn podman_loads_it_and_runs_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut podman = Command::new("unshare");
    podman.args(["--mount", "bash", "-ec", PODMAN, "bash"]);
    podman.arg(dir.path()).arg(packaged(".image.tar")).arg(NAME);
    assert_eq!(output(&mut podman), SAYS);
}

/// containerd, which most clusters' nodes have; ended when dropped.
struct Containerd {
    child: Child,
    dir: tempfile::TempDir,
}

impl Containerd {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().display();
        let config = format!(
            "version = 2\nroot = '{at}/root'\nstate = '{at}/state'\n\
             disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.internal.v1.opt']\n\
             [grpc]\naddress = '{at}/sock'\n"
        );
        fs::write(dir.path().join("config.toml"), config).unwrap();
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let mut command = Netns::host().command("containerd");
        command
            .arg("--config")
            .arg(dir.path().join("config.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let child =
            command.stderr(log).spawn().unwrap_or_else(|error| panic!("cannot run containerd: {error}"));
        let containerd = Self { child, dir };
        eventually("containerd to answer", || {
            let asked = containerd.ctr(&["version"]).output().unwrap();
            asked.status.success().then_some(())
        });
        containerd
    }

    fn ctr(&self, words: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(self.dir.path().join("sock")).args(words);
        ctr
    }

    fn import(&self, image: &Path) {
        output(self.ctr(&["images", "import", "--snapshotter", "native"]).arg(image));
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn containerd_imports_it_and_runs_it() {
    let containerd = Containerd::start();
    containerd.import(&packaged(".image.tar"));
    // One control group, which ends with it; by default there would be another above it that stays.
    let cgroup = format!("umbra-image-{}", process::id());
    let run = ["run", "--rm", "--snapshotter", "native", "--read-only", "--cgroup", &cgroup, NAME, &cgroup];
    let mut run = containerd.ctr(&run);
    assert_eq!(output(run.args(["/usr/bin/umbra", "--version"])), SAYS);
}
