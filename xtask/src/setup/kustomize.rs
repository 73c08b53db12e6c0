//! kustomize, from the Debian that has it first: kubectl's own is as old as the kubectl that is there.

use anyhow::Result;

use super::Suites;
use crate::shell;

/// Fetches it to `target/kustomize`, unless it is there.
pub(super) fn install() -> Result<()> {
    let dir = shell::target_dir().join("kustomize");
    if dir.join("usr/bin/kustomize").is_file() {
        return Ok(());
    }
    println!("▸ kustomize is missing: fetch it from Debian 13, into {}", dir.display());
    Suites::new(&shell::target_dir().join("suites"), &["trixie"])?.unpack(&["kustomize".to_owned()], &dir)
}
