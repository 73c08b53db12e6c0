//! A Debian of its own for the suite `package`: what every Debian has, with systemd, and nothing more, packed once, below
//! `target/debian`. The suite unpacks it for each test.

use std::fs;

use anyhow::{Context as _, Result};

use crate::shell;

/// The oldest on which the package is to work.
const SUITE: &str = "bookworm";
const SOURCE: &str = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main";

/// Makes it, unless it is there.
pub(super) fn install() -> Result<()> {
    let dir = shell::target_dir().join("debian");
    let (root, partial) = (dir.join(format!("{SUITE}-systemd.tar")), dir.join("partial.tar"));
    if root.exists() {
        return Ok(());
    }
    fs::create_dir_all(&dir)?;
    let mut make = shell::command_as_root("mmdebstrap")?;
    make.args(["--quiet", "--variant=essential", "--include=systemd", "--mode=root", SUITE])
        .arg(&partial)
        .arg(SOURCE);
    shell::step("a Debian to install the package in is missing", &mut make).context(
        "mmdebstrap could not make it: its own message above names the reason; deb.debian.org must be in reach",
    )?;
    // Under another name until it is whole.
    fs::rename(&partial, &root).with_context(|| format!("make {}", root.display()))
}
