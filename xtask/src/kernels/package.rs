//! A kernel from a Debian suite, whichever this machine runs: fetched and unpacked, never installed.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::find;
use crate::setup::Suites;

/// Small, and with all that containers need.
const META_PACKAGE: &str = "linux-image-cloud-amd64";
/// Newer Debians build parts of a kernel as packages of their own.
const PARTS: [&str; 3] = ["linux-image-", "linux-binary-", "linux-modules-"];

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
        let apt = Suites::new(dir, suites)?;
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
