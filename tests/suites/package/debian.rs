//! A Debian made for the test: what every Debian has, and systemd, in a folder.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{output, target};

pub(crate) struct Debian(TempDir);

impl Debian {
    pub(crate) fn new() -> Self {
        let packed = target().join("debian/bookworm-systemd.tar");
        assert!(
            packed.exists(),
            "{} is missing: run by `cargo xtask test`, which makes it",
            packed.display()
        );
        let dir = tempfile::tempdir().unwrap();
        output(Command::new("tar").arg("-xpf").arg(packed).arg("-C").arg(dir.path()));
        Self(dir)
    }

    pub(crate) fn root(&self) -> &Path {
        self.0.path()
    }

    /// A program of this Debian, with these arguments.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("chroot");
        command.arg(self.root()).args(words);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive");
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> String {
        output(&mut self.command(words))
    }

    /// Brings a file; its path inside.
    pub(crate) fn bring(&self, file: &Path) -> String {
        let inside = format!("/tmp/{}", file.file_name().unwrap().to_string_lossy());
        fs::copy(file, self.root().join(&inside[1..])).unwrap();
        inside
    }

    /// The same package as the next version of it; its path inside.
    pub(crate) fn bring_next(&self, deb: &Path, version: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        output(Command::new("dpkg-deb").arg("--raw-extract").arg(deb).arg(&tree));
        let control = tree.join("DEBIAN/control");
        let text = fs::read_to_string(&control).unwrap();
        let next = text.lines().map(|line| match line.strip_prefix("Version: ") {
            Some(_) => format!("Version: {version}\n"),
            None => format!("{line}\n"),
        });
        fs::write(&control, next.collect::<String>()).unwrap();
        let next = dir.path().join("next.deb");
        output(
            Command::new("dpkg-deb").args(["--build", "--root-owner-group", "-Znone"]).arg(&tree).arg(&next),
        );
        self.bring(&next)
    }

    /// Everything that lies in it, but for what dpkg and this test keep for themselves.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        collect(self.root(), self.root(), &mut files);
        files.sort();
        files
    }
}

fn collect(root: &Path, dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let inside = path.strip_prefix(root).unwrap();
        let kept = ["var/lib/dpkg", "var/log/dpkg.log", "tmp", "var/cache/ldconfig"];
        if kept.iter().any(|kept| inside.starts_with(kept)) {
            continue;
        }
        files.push(inside.to_owned());
        let metadata = fs::symlink_metadata(&path).unwrap();
        if metadata.is_dir() && metadata.dev() == fs::metadata(root).unwrap().dev() {
            collect(root, &path, files);
        }
    }
}
