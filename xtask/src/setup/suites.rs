//! Packages of Debian suites, whichever this machine runs: fetched by apt with lists of its own, unpacked, never installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, ensure};

use crate::shell;

const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// apt with a folder of its own.
pub(crate) struct Suites {
    dir: PathBuf,
}

impl Suites {
    pub(crate) fn new(dir: &Path, suites: &[&str]) -> Result<Self> {
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

    /// What the package needs, by name.
    pub(crate) fn depends(&self, package: &str) -> Result<Vec<String>> {
        let said = shell::output(self.command("apt-cache").args(["depends", package]))?;
        let names = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
        Ok(names.map(str::to_owned).collect())
    }

    /// Puts what the packages hold there.
    pub(crate) fn unpack(&self, packages: &[String], tree: &Path) -> Result<()> {
        let debs = shell::anew(self.dir.join("debs"))?;
        shell::run(
            self.command("apt-get").args(["download", "--quiet=2"]).args(packages).current_dir(&debs),
        )?;
        // Under another name until it is whole.
        let partial = shell::anew(self.dir.join("partial"))?;
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
