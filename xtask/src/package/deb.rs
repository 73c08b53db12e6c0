//! The Debian package: the binary, its unit and its configuration. Packed by dpkg-deb, which every machine with apt has and
//! which keeps to `SOURCE_DATE_EPOCH`; cargo-deb would take minutes to build and say the same in other words.

use std::fs;

use anyhow::{Context as _, Result};

use super::{Edition, binary::Binary, gzip, inventory::Inventory, manual::Manual, tree::Tree};
use crate::shell;

/// dpkg wants an address; nobody reads mail at this one.
const MAINTAINER: &str = "The umbra authors <authors@umbra.invalid>";

const DESCRIPTION: &str = "mirror live HTTP traffic to shadow services
 An agent that copies live HTTP requests to a shadow service, following Istio
 VirtualService rules. An eBPF program hands it new connections; applications
 and clients are left as they are, and whatever happens to the agent or to a
 shadow, traffic goes on.";

const SCRIPTS: [&str; 3] = ["postinst", "prerm", "postrm"];

pub(super) fn write(
    binary: &Binary,
    manual: &Manual,
    inventory: &Inventory,
    edition: &Edition,
) -> Result<()> {
    let source = |path: &str| {
        let path = shell::root().join(path);
        fs::read(&path).with_context(|| format!("read {}", path.display()))
    };
    let mut tree = Tree::default();
    tree.file("usr/bin/umbra", 0o755, binary.content()?);
    tree.file("usr/lib/systemd/system/umbra.service", 0o644, source("deploy/systemd/umbra.service")?);
    tree.file("etc/umbra/agent.yaml", 0o644, source("config/agent.yaml")?);
    tree.file("usr/share/doc/umbra/README.md.gz", 0o644, gzip(&source("README.md")?)?);
    tree.file("usr/share/doc/umbra/changelog.gz", 0o644, gzip(changelog(edition)?.as_bytes())?);
    for folder in ["examples", "manual"] {
        for entry in fs::read_dir(shell::root().join("config").join(folder))? {
            let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
            if path.is_file() {
                let place = format!("usr/share/doc/umbra/{folder}/{}", name.display());
                tree.file(&place, 0o644, fs::read(path)?);
            }
        }
    }
    manual.install(&mut tree)?;
    inventory.install(&mut tree)?;

    let arch = binary.arch.as_str();
    let control = format!(
        "Package: umbra\nVersion: {}\nArchitecture: {arch}\nMaintainer: {MAINTAINER}\nInstalled-Size: {}\n\
         Recommends: ca-certificates\nSection: net\nPriority: optional\nDescription: {DESCRIPTION}\n",
        edition.version,
        tree.size().div_ceil(1024)
    );
    tree.file("DEBIAN/control", 0o644, control);
    tree.file("DEBIAN/conffiles", 0o644, "/etc/umbra/agent.yaml\n");
    for script in SCRIPTS {
        tree.file(&format!("DEBIAN/{script}"), 0o755, source(&format!("deploy/deb/{script}"))?);
    }

    // Not below what is handed out: it is only a step.
    let staged = shell::target_dir().join(format!("package-staged-{arch}"));
    if staged.exists() {
        fs::remove_dir_all(&staged).with_context(|| format!("remove {}", staged.display()))?;
    }
    tree.place(&staged)?;
    let deb = edition.dir.join(format!("umbra_{}_{arch}.deb", edition.version));
    let mut build = shell::command("dpkg-deb");
    // Well compressed is for those who fetch it.
    let effort = if edition.profile == "release" { "-z6" } else { "-z0" };
    build.args(["--build", "--root-owner-group", "-Zxz", effort]).arg(&staged).arg(&deb);
    build.env("SOURCE_DATE_EPOCH", edition.seconds().to_string());
    shell::output(&mut build)?;
    Ok(fs::remove_dir_all(&staged)?)
}

/// Debian wants one with every package; what has changed is told by the history.
fn changelog(edition: &Edition) -> Result<String> {
    let (version, date) = (edition.version, edition.date("+%a, %d %b %Y %H:%M:%S %z")?);
    Ok(format!(
        "umbra ({version}) unstable; urgency=medium\n\n  * Version {version}.\n\n -- {MAINTAINER}  {date}\n"
    ))
}
