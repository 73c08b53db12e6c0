//! An emulated machine: a kernel, and a memory disk with the programs to run.

use std::{
    fmt,
    fs::{self, File},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use super::{find, package::Kernel};
use crate::shell;

/// What the tests and the agent ask a kernel for, dependencies first; some kernels have them built in.
const MODULES: [&str; 3] = ["veth", "inet_diag", "tcp_diag"];
const TOOLS: [&str; 2] = ["busybox", "ip"];
/// A kernel that hangs is stopped after this.
const LONGEST: Duration = Duration::from_secs(600);
/// How long a test waits for anything: emulated, an agent takes some twenty seconds to read its kernel's types.
const PATIENCE: u32 = 150;

pub(super) struct Machine {
    kernel: Kernel,
    disk: PathBuf,
    log: PathBuf,
}

/// What a kernel said.
pub(super) struct Ran {
    release: String,
    took: Duration,
    tests: Vec<(String, bool)>,
    log: PathBuf,
}

impl Machine {
    /// Packs the disk. The first program is the agent, the second what is run.
    pub(super) fn prepare(dir: &Path, kernel: Kernel, programs: &[&Path; 2]) -> Result<Self> {
        let root = shell::anew(dir.join("root"))?;
        for folder in ["bin", "modules", "proc", "sys", "dev", "run", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        for tool in TOOLS {
            let path = shell::output(shell::command("sh").args(["-c", &format!("command -v {tool}")]))?;
            place(Path::new(&path), &root, tool)?;
        }
        let [agent, suite] = programs;
        place(agent, &root, "umbra")?;
        place(suite, &root, "suite")?;
        let mut modules = Vec::new();
        for module in MODULES {
            let names = [format!("{module}.ko"), format!("{module}.ko.xz")];
            let Some(file) = find(&kernel.tree, &|name| names.iter().any(|known| known == name)) else {
                continue;
            };
            let placed = root.join("modules").join(file.file_name().context("a file has a name")?);
            fs::copy(&file, &placed)?;
            if placed.extension().is_some_and(|ending| ending == "xz") {
                shell::run(shell::command("xz").arg("--decompress").arg(&placed))?;
            }
            modules.push(module);
        }
        let init = root.join("init");
        fs::write(&init, script(&modules))?;
        fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
        let disk = dir.join("disk.cpio");
        let mut pack = shell::command("sh");
        pack.args(["-c", "find . | cpio --create --format=newc --quiet"]).current_dir(&root);
        shell::run(pack.stdout(File::create(&disk)?))?;
        Ok(Self { kernel, disk, log: dir.join("console.log") })
    }

    /// Starts it and waits until it switches itself off.
    pub(super) fn run(self) -> Result<Ran> {
        let mut qemu = Command::new("timeout");
        qemu.arg(LONGEST.as_secs().to_string()).arg("qemu-system-x86_64");
        qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max", "-m", "2G", "-no-reboot"])
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", "none"])
            .arg("-kernel")
            .arg(&self.kernel.image)
            .arg("-initrd")
            .arg(&self.disk)
            .args(["-append", "console=ttyS0 quiet loglevel=3 panic=-1"]);
        let started = Instant::now();
        qemu.stdin(Stdio::null()).stdout(File::create(&self.log)?).stderr(Stdio::inherit());
        let status = qemu.status().context("cannot start qemu-system-x86_64")?;
        ensure!(status.success(), "kernel {}: {status}; see {}", self.kernel.release, self.log.display());
        // The firmware greets with control characters.
        let said = String::from_utf8_lossy(&fs::read(&self.log)?).into_owned();
        let tests = said.lines().filter_map(|line| {
            let (name, end) = line.trim().strip_prefix("test ")?.split_once(" ... ")?;
            Some((name.replace('_', " "), end == "ok"))
        });
        Ok(Ran {
            release: self.kernel.release,
            took: started.elapsed(),
            tests: tests.collect(),
            log: self.log,
        })
    }
}

impl Ran {
    pub(super) fn passed(&self) -> bool {
        !self.tests.is_empty() && self.tests.iter().all(|(_, passed)| *passed)
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = |passed| if passed { '✓' } else { '✗' };
        write!(f, "{} Linux {:<32} {:>5.0} s", mark(self.passed()), self.release, self.took.as_secs_f64())?;
        for (name, passed) in &self.tests {
            write!(f, "\n    {} {name}", mark(*passed))?;
        }
        if !self.passed() {
            write!(f, "\n    the console's words are in {}", self.log.display())?;
        }
        Ok(())
    }
}

/// A program without its debug information, with the libraries it needs.
fn place(program: &Path, root: &Path, name: &str) -> Result<()> {
    let placed = root.join("bin").join(name);
    shell::run(shell::command("strip").arg("-o").arg(&placed).arg(program))?;
    // One that is linked statically has none, which ldd calls a failure.
    let libraries = shell::output(shell::command("ldd").arg(program)).unwrap_or_default();
    let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    for library in paths.map(Path::new) {
        let placed = root.join(library.strip_prefix("/")?);
        fs::create_dir_all(placed.parent().context("a library lies in a folder")?)?;
        fs::copy(library, placed)?;
    }
    Ok(())
}

fn script(modules: &[&str]) -> String {
    let modules: String = modules.iter().map(|module| format!("insmod /modules/{module}.ko\n")).collect();
    format!(
        "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin UMBRA_BINARY=/bin/umbra UMBRA_PATIENCE={PATIENCE}
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs run /run
mount -t tmpfs tmp /tmp
ulimit -n 20000
{modules}ip link set lo up
umbra doctor
suite --test-threads=1
poweroff -f
"
    )
}
