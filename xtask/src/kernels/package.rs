//! A kernel from a Debian suite, whichever this machine runs: fetched by apt with lists of its own, unpacked, never
//! installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use super::{anew, find};
use crate::shell;

/// Small, and with all that containers need.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// Newer Debians build parts of a kernel as packages of their own.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

pub(super) struct Kernel {
    /// `6.12.117+deb13-cloud-amd64`
    pub(super) release: String,
    pub(super) image: PathBuf,
    /// Where its packages were unpacked.
    pub(super) tree: PathBuf,
}

impl Kernel {
    /// The newest of these suites; what was fetched before is used again.
    pub(super) fn fetch(dir: &Path, suites: &[&str]) -> Result<Self> {
        let apt = Apt::new(dir, suites)?;
        let package = apt.depends(META_PACKAGE)?.into_iter().find(|name| name.starts_with(PARTS[0]));
        let package = package.with_context(|| format!("{META_PACKAGE} names no kernel in {suites:?}"))?;
        let release = package.trim_start_matches(PARTS[0]).to_owned();
        let tree = dir.join(&release);
        if !tree.exists() {
            println!("▸ fetch {package}");
            let mut packages = apt.depends(&package)?;
            packages
                .retain(|name| PARTS.iter().any(|part| name.starts_with(part)) && name.ends_with(&release));
            packages.push(package);
            apt.unpack(&packages, &tree)?;
        }
        let image = find(&tree, &|name| name.starts_with("vmlinuz"));
        let image = image.with_context(|| format!("no vmlinuz in {}", tree.display()))?;
        Ok(Self { release, image, tree })
    }
}

/// apt with a folder of its own.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn new(dir: &Path, suites: &[&str]) -> Result<Self> {
        for folder in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let source = |suite: &&str| {
            let archive = if suite.ends_with("-security") { "debian-security" } else { "debian" };
            format!("deb [signed-by={KEYS}] http://deb.debian.org/{archive} {suite} main\n")
        };
        fs::write(dir.join("sources.list"), suites.iter().map(source).collect::<String>())?;
        let apt = Self { dir: dir.to_owned() };
        shell::run(apt.command("apt-get").args(["update", "--quiet=2"]))?;
        Ok(apt)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = shell::command(program);
        for (option, value) in [
            ("Dir::Etc::SourceList", self.dir.join("sources.list")),
            ("Dir::Etc::SourceParts", "-".into()),
            ("Dir::State::Lists", self.dir.join("lists")),
            ("Dir::State::Status", "/dev/null".into()),
            ("Dir::Cache", self.dir.join("cache")),
            // A folder under root's home is closed to apt's own user.
            ("APT::Sandbox::User", "root".into()),
        ] {
            command.arg("--option").arg(format!("{option}={}", value.display()));
        }
        command
    }

    fn depends(&self, package: &str) -> Result<Vec<String>> {
        let said = shell::output(self.command("apt-cache").args(["depends", package]))?;
        let names = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }

    fn unpack(&self, packages: &[String], tree: &Path) -> Result<()> {
        let debs = anew(self.dir.join("debs"))?;
        shell::run(
            self.command("apt-get").args(["download", "--quiet=2"]).args(packages).current_dir(&debs),
        )?;
        // Under another name until it is whole.
        let partial = anew(self.dir.join("partial"))?;
        let mut count = 0;
        for deb in fs::read_dir(&debs)? {
            shell::run(shell::command("dpkg-deb").arg("--extract").arg(deb?.path()).arg(&partial))?;
            count += 1;
        }
        ensure!(count == packages.len(), "apt fetched {count} of {packages:?}");
        fs::rename(&partial, tree)?;
        Ok(fs::remove_dir_all(&debs)?)
    }
}
